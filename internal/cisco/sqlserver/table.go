package sqlserver

import (
	"context"
	"database/sql/driver"
	"strings"

	"archivolt/internal/problem"
)

// HasTable tells whether JM's schema has another table.
func (s *Source) HasTable(_ context.Context, name string) (bool, error) {
	return len(s.lookUp(s.jm.schema, name)) > 0, nil
}

// Table gives the named columns of another table in JM's schema, row by row,
// as cells of JM are written; nil is NULL, or a column that the table lacks.
// The cells are valid until fn returns. found is false if there is no such
// table. It is read as JM is, in the same snapshot if there is one, so the
// order is that of the server.
func (s *Source) Table(ctx context.Context, name string, columns []string, fn func(cells [][]byte) error) (found bool, err error) {
	tables := s.lookUp(s.jm.schema, name)
	switch len(tables) {
	case 0:
		return false, nil
	case 1:
	default:
		return true, problem.New(problem.Failed, s.session.object, "there are several tables "+name+", which differ in letter case",
			"make a view of the right one in another schema and open that")
	}
	if err := s.begin(ctx); err != nil {
		return true, err
	}
	t, err := s.lookAt(ctx, tables[0])
	if err != nil {
		return true, err
	}
	var list []string
	where := make([]int, len(columns)) // in list; -1 is a column that the table lacks
	for i, name := range columns {
		where[i] = -1
		for _, c := range t.columns {
			if where[i] < 0 && strings.EqualFold(c.name, name) {
				where[i] = len(list)
				list = append(list, c.whole())
			}
		}
	}
	if len(list) == 0 {
		list = []string{"0"} // the rows count even without columns
	}
	var text []byte
	cells, ends := make([][]byte, len(columns)), make([]int, len(columns))
	var failed error
	_, err = s.read(ctx, t, list, reach{}, func(row []driver.Value) bool {
		text = text[:0]
		for i, w := range where {
			if w >= 0 {
				text = appendValue(text, row[w])
			}
			ends[i] = len(text)
		}
		text = append(text, 0) // so that empty text is not nil
		from := 0
		for i, w := range where {
			cells[i] = nil
			if w >= 0 && row[w] != nil {
				cells[i] = text[from:ends[i]:ends[i]]
			}
			from = ends[i]
		}
		failed = fn(cells)
		return failed == nil
	})
	if failed != nil {
		return true, failed
	}
	return true, err
}
