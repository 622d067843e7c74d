package archive

import (
	"context"

	"archivolt/internal/cisco"
)

// stored is where the rows of a part are stored, and how they are opened. Rows
// are named by their index in the source's order, from 0.
type stored interface {
	// Describe says for people how and where the rows are stored.
	Describe() string
	// Notes tells what is unusual about that.
	Notes() []string
	// Size is about how many bytes a scan reads, comparable with the sum of
	// job.bytes; 0 if nobody knows.
	Size() int64
	Close() error

	// survey fills the index of p.
	survey(s *survey, p *part) error
	// ordered ends the survey, when the order of the rows in time is known and
	// the way in which they are going to be read.
	ordered(s *survey, p *part) error
	// scan gives every row once, the same in the same order each time, as jobs
	// of about so many bytes. When emit returns false the scan ends with nil.
	scan(ctx context.Context, p *part, bytes int, emit func(*job) bool) error
	// fetches tells whether fetch works.
	fetches() bool
	// fetch puts the rows with these indexes into j, in that order.
	fetch(ctx context.Context, p *part, rows []int, j *job) error
	// open opens those rows of a job that are wanted, or all if wanted is nil.
	open(w *worker, j *job, wanted func(row int) bool)
}

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
