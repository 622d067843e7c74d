package sqlserver

import (
	"strings"
	"testing"

	"zombiezen.com/go/sqlite"

	"archivolt/internal/cisco/sample"
	"archivolt/internal/cisco/sourcetest"
	"archivolt/internal/cisco/sqlserver/tdstest"
)

// TestConformance: what comes from the stand-in is what every source must
// give, in each way of reading.
func TestConformance(t *testing.T) {
	// datetime would round to 1/300 s.
	table := strings.Replace(tdstest.JM, "datetime", "datetime2(3)", 1)
	for name, c := range map[string]struct {
		table    string
		snapshot bool
	}{"one statement": {table, false}, "snapshot": {table, true}, "batches": {strings.TrimSuffix(table, ")") + ", id int NOT NULL PRIMARY KEY)", false}} {
		t.Run(name, func(t *testing.T) {
			sourcetest.Run(t, func(t *testing.T, rows []sample.Row) sourcetest.Table {
				server := tdstest.Start(t, func(db *sqlite.Conn) {
					create(t, db, c.table)
					var list []cells
					for _, r := range rows {
						list = append(list, cells(r.Cells))
					}
					if name == "batches" {
						insert(t, db, list, func(i int) any { return int64(i) })
					} else {
						insert(t, db, list)
					}
				})
				server.Behave(tdstest.Behaviour{Snapshot: c.snapshot})
				return open(t, server)
			})
		})
	}
}
