package sqlserver

import (
	"context"
	"database/sql/driver"
	"io"
	"math"
	"strconv"
	"time"
)

const (
	// A batch begins with few rows, and grows or shrinks towards batchText.
	// maxBatchRows stays below the 5000 locks at which SQL Server escalates.
	minBatchRows   = 16
	firstBatchRows = 256
	maxBatchRows   = 2000
	batchText      = 4 << 20 // bytes
	// batchTries is how often a batch is read that is in somebody's way.
	batchTries = 3
)

// reach is how far a reading goes.
type reach struct {
	known bool
	rows  int64 // of the whole table
	key   []any // of the last row, as parameters; for a table that is read along a key
}

// read gives the rows of t one by one: the expressions of list, which each may
// keep until it returns. It stops when each returns false. A table with
// a key is read in batches, and each is called between the statements. The result is how
// far a complete reading went. Errors are problems, with the number of rows
// given so far.
func (s *Source) read(ctx context.Context, t *table, list []string, to reach, each func(row []driver.Value) bool) (reach, error) {
	if err := s.begin(ctx); err != nil {
		return reach{}, err
	}
	if to.known && to.rows == 0 {
		return to, nil
	}
	if len(t.key.columns) > 0 {
		return s.readBatches(ctx, t, list, to, each)
	}
	limit := int64(math.MaxInt64)
	if to.known {
		limit = to.rows
	}
	done := reach{known: true}
	a, err := s.session.query(ctx, len(list), selectRows(t, list, false, false), limit)
	if err != nil {
		return done, s.readProblem(ctx, t, err, 0)
	}
	defer a.close()
	for {
		row, err := a.next()
		if err == io.EOF {
			break
		}
		if err != nil {
			return done, s.readProblem(ctx, t, err, done.rows)
		}
		done.rows++
		if !each(row) {
			return reach{}, nil
		}
	}
	if err := a.confirm(done.rows); err != nil {
		return done, s.readProblem(ctx, t, err, done.rows)
	}
	return done, nil
}

func (s *Source) readProblem(ctx context.Context, t *table, err error, n int64) error {
	return denied(s.session.problem(ctx, err, n), t.schema, t.name)
}

// readBatches is read along the key of t.
func (s *Source) readBatches(ctx context.Context, t *table, list []string, to reach, each func(row []driver.Value) bool) (reach, error) {
	keys := len(t.key.columns)
	for _, c := range t.key.columns {
		list = append(list[:len(list):len(list)], quote(c.name))
	}
	done := reach{known: true}
	for want := int64(firstBatchRows); ; {
		args := append([]any{want}, done.key...)
		if to.known {
			args = append(args, to.key...)
		}
		rows, size, err := s.batch(ctx, len(list), selectRows(t, list, done.key != nil, to.known), args)
		if err != nil {
			return done, s.readProblem(ctx, t, err, done.rows)
		}
		for _, row := range rows {
			done.rows++
			if !each(row[:len(row)-keys]) {
				return reach{}, nil
			}
		}
		if int64(len(rows)) < want {
			if len(rows) > 0 {
				done.key = t.key.params(rows[len(rows)-1])
			}
			return done, nil
		}
		done.key = t.key.params(rows[len(rows)-1])
		want = min(maxBatchRows, max(minBatchRows, int64(len(rows))*batchText/int64(size+1)))
	}
}

// batch reads one batch to its end. It has given no row on yet, so outside of
// a transaction it can be read again when it was in somebody's way.
func (s *Source) batch(ctx context.Context, columns int, text string, args []any) (rows [][]driver.Value, size int, err error) {
	for try := 1; ; try++ {
		rows, size, err = s.batchOnce(ctx, columns, text, args)
		if err == nil || try == batchTries || s.begun || ctx.Err() != nil || !again(err) {
			return rows, size, err
		}
	}
}

func (s *Source) batchOnce(ctx context.Context, columns int, text string, args []any) (rows [][]driver.Value, size int, err error) {
	a, err := s.session.query(ctx, columns, text, args...)
	if err != nil {
		return nil, 0, err
	}
	defer a.close()
	for {
		row, err := a.next()
		if err == io.EOF {
			return rows, size, a.confirm(int64(len(rows)))
		}
		if err != nil {
			return nil, 0, err
		}
		for _, v := range row {
			if s, ok := v.(string); ok {
				size += len(s)
			}
		}
		rows = append(rows, row)
	}
}

// params are the values of the key, which end a row, as parameters that give
// exactly the same value again.
func (k key) params(row []driver.Value) (params []any) {
	for i, v := range row[len(row)-len(k.columns):] {
		if t, ok := v.(time.Time); ok {
			v = t.Format(k.columns[i].layout())
		}
		params = append(params, v)
	}
	return params
}

// layout is how a date is written for CONVERT's style 126, with as many
// decimals as the type takes.
func (c column) layout() string {
	const seconds = "2006-01-02T15:04:05"
	switch {
	case c.typ == "datetime":
		return seconds + ".000"
	case c.typ == "datetime2" && c.scale > 0:
		return seconds + ".0000000"[:c.scale+1]
	}
	return seconds
}

// appendValue writes a value as cells of JM are written. NULL is nothing.
func appendValue(to []byte, v driver.Value) []byte {
	switch v := v.(type) {
	case string:
		return append(to, v...)
	case int64:
		return strconv.AppendInt(to, v, 10)
	case time.Time:
		v = v.UTC()
		if v.Nanosecond()%int(time.Millisecond) == 0 {
			return v.AppendFormat(to, "2006-01-02 15:04:05.000")
		}
		return v.AppendFormat(to, "2006-01-02 15:04:05.0000000")
	}
	return to
}
