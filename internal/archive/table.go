package archive

import (
	"context"

	"archivolt/internal/cisco"
)

// table is one stored table JM, wherever it lies.
type table interface {
	// Describe says for people how and where the table is stored.
	Describe() string
	// Notes tells what is unusual about it.
	Notes() []string
	// Size is about how many bytes a scan reads, comparable with the sum of
	// cisco.Row.Size; 0 if nobody knows.
	Size() int64
	// Scan gives every row once, the same rows in the same order each time.
	// Batches are emit's to release; when it returns false the scan ends with
	// nil. Any error means that rows are missing.
	Scan(ctx context.Context, o cisco.ScanOptions, emit func(cisco.Batch) bool) error
	Close() error
}

// database is a table that knows the others beside it.
type database interface {
	table
	// TableName is what was opened; schema is empty where there are none.
	TableName() (schema, table string)
	// HasTable tells whether there is a table of that name, in any letter case.
	HasTable(ctx context.Context, name string) (bool, error)
	// Table gives the named columns of another table as text, row by row; nil
	// is NULL, or a column that the table lacks.
	Table(ctx context.Context, name string, columns []string, fn func(cells [][]byte) error) (found bool, err error)
}

// fetcher is a table that finds rows again.
type fetcher interface {
	// Fetches tells whether this table can do it.
	Fetches() bool
	// Fetch gives the rows at places, in that order. Their numbers mean nothing.
	Fetch(ctx context.Context, places []cisco.Place) (cisco.Batch, error)
}
