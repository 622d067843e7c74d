//go:build unix

package postgres

import (
	"context"
	"strings"
	"testing"

	"archivolt/internal/cisco/sample"
	"archivolt/internal/cisco/sourcetest"
	"archivolt/internal/testenv"
)

func csv(t *testing.T, rows []sample.Row) string {
	t.Helper()
	var b strings.Builder
	if err := sample.WriteCSV(&b, rows); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func open(t *testing.T, url string, o Options) *Source {
	t.Helper()
	s, err := Open(context.Background(), url, o)
	if err != nil {
		t.Fatalf("%v", err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func TestSource(t *testing.T) {
	server := testenv.StartPostgres(t)
	n := 0
	sourcetest.Run(t, func(t *testing.T, rows []sample.Row) sourcetest.Table {
		n++
		name := "db" + string(rune('0'+n))
		server.SQL("postgres", "CREATE DATABASE "+name)
		server.SQL(name, testenv.JM)
		server.CopyCSV(name, "jm", csv(t, rows))
		return open(t, server.URL("postgres", name), Options{})
	})
}
