package sample

import (
	"bufio"
	"io"
	"strings"
)

// WriteCSV writes rows as "psql --csv" does: a header in lower case, NULL as
// nothing, an empty text as "".
func WriteCSV(w io.Writer, rows []Row) error {
	b := bufio.NewWriter(w)
	_, _ = b.WriteString(strings.ToLower(strings.Join(Columns, ",")) + "\n") // buffered: an error shows at Flush
	for i := range rows {
		for j, cell := range rows[i].Cells {
			if j > 0 {
				_ = b.WriteByte(',')
			}
			switch {
			case cell == NULL:
			case cell == "" || strings.ContainsAny(cell, ",\"\r\n"):
				_, _ = b.WriteString(`"` + strings.ReplaceAll(cell, `"`, `""`) + `"`)
			default:
				_, _ = b.WriteString(cell)
			}
		}
		_ = b.WriteByte('\n')
	}
	return b.Flush()
}
