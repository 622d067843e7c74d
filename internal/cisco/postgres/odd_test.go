//go:build unix

package postgres

import (
	"context"
	"errors"
	"strings"
	"testing"

	"archivolt/internal/cisco"
	"archivolt/internal/problem"
	"archivolt/internal/testenv"
)

// bodies returns BODY_STRING of all rows that read gives.
func bodies(t *testing.T, read func(emit func(cisco.Batch) bool) error) string {
	t.Helper()
	var list []string
	if err := read(func(b cisco.Batch) bool {
		for i := range b.Len() {
			var r cisco.Row
			b.Row(i, &r)
			list = append(list, string(r.Cells[cisco.BodyString]))
		}
		return true
	}); err != nil {
		t.Fatal(err)
	}
	return strings.Join(list, ",")
}

// TestHiddenRows: a policy that hides rows from the user is no end of the
// archive.
func TestHiddenRows(t *testing.T) {
	server := one(t, 10)
	server.SQL("postgres", `CREATE ROLE officer LOGIN; GRANT SELECT ON jm TO officer; ALTER TABLE jm ENABLE ROW LEVEL SECURITY;
		CREATE POLICY half ON jm FOR SELECT TO officer USING (extract(second FROM sent_date)::int % 2 = 0)`)
	s := open(t, server.URL("officer", "postgres"), Options{})
	err := s.Scan(context.Background(), cisco.ScanOptions{}, func(b cisco.Batch) bool { b.Release(); return true })
	var p *problem.Error
	if !errors.As(err, &p) || !strings.HasPrefix(p.What, "a policy hides rows of a table from this user") {
		t.Errorf("it ends with %v", err)
	}
}

// TestInheritance: a table with children is read with their rows, which are not
// found again by ctid.
func TestInheritance(t *testing.T) {
	server := testenv.StartPostgres(t)
	server.SQL("postgres", testenv.JM+`CREATE TABLE jm_a () INHERITS (jm); CREATE TABLE jm_b () INHERITS (jm);
		INSERT INTO jm_a VALUES ('a@x', 'b@x', now(), '', '', 'c', 'I', 1, 1, 'one', '', '', '', 'N');
		INSERT INTO jm_b VALUES ('a@x', 'b@x', now(), '', '', 'c', 'I', 1, 1, 'two', '', '', '', 'N')`)
	s := open(t, server.URL("postgres", "postgres"), Options{})
	if s.Fetches() {
		t.Error("rows of two tables have one ctid")
	}
	got := bodies(t, func(emit func(cisco.Batch) bool) error {
		return s.Scan(context.Background(), cisco.ScanOptions{}, emit)
	})
	if got != "one,two" {
		t.Error(got)
	}
	if advice, err := s.Advice(context.Background()); advice != "" || err != nil {
		t.Errorf("%q, %v", advice, err)
	}
}

// TestEncodings: what a database holds is read, whatever it calls its encoding.
func TestEncodings(t *testing.T) {
	server := testenv.StartPostgres(t)
	const long = "üüüüüüüüüüüüüüüüüüüüüüüüüüüüüüüüüüüüüüüü@example.com"
	for encoding, c := range map[string]struct{ rows, want, found string }{
		"SQL_ASCII": {`E'caf\xe9'`, "caf\xe9,long", "long"},
		"LATIN1":    {`'café'`, "café,long", "long"},
	} {
		server.SQL("postgres", "CREATE DATABASE "+encoding+" ENCODING '"+encoding+"' LC_COLLATE 'C' LC_CTYPE 'C' TEMPLATE template0")
		name := strings.ToLower(encoding)
		server.SQL(name, "SET client_encoding = 'UTF8';"+testenv.JM+"INSERT INTO jm VALUES ('a@x', 'b@x', now(), '', '', 'c', 'I', 1, 1, "+c.rows+", '', '', '', 'N'), ('"+long+"/r', 'b@x', now(), '', '', 'c', 'I', 1, 1, 'long', '', '', '', 'N')")
		s := open(t, server.URL("postgres", name), Options{})
		if got := bodies(t, func(emit func(cisco.Batch) bool) error {
			return s.Scan(context.Background(), cisco.ScanOptions{}, emit)
		}); got != c.want {
			t.Errorf("%s: %q", encoding, got)
		}
		l := cisco.Lookup{Starts: []string{long + "/", "жанна@x/"}, Equals: []string{"жанна@x"}}
		if got := bodies(t, func(emit func(cisco.Batch) bool) error {
			return s.Find(context.Background(), l, cisco.ScanOptions{}, emit)
		}); got != c.found {
			t.Errorf("%s: %q is found", encoding, got)
		}
	}
}

// TestExactName: of two tables that differ in letter case, the one that is
// written so is taken.
func TestExactName(t *testing.T) {
	server := testenv.StartPostgres(t)
	server.SQL("postgres", testenv.JM+`CREATE TABLE "JM" AS SELECT * FROM jm;
		INSERT INTO "JM" VALUES ('a@x', 'b@x', now(), '', '', 'c', 'I', 1, 1, 'upper', '', '', '', 'N')`)
	for table, want := range map[string]string{"JM": "upper", "jm": "", "": ""} {
		s := open(t, server.URL("postgres", "postgres"), Options{Table: table})
		if got := bodies(t, func(emit func(cisco.Batch) bool) error {
			return s.Scan(context.Background(), cisco.ScanOptions{}, emit)
		}); got != want {
			t.Errorf("%q: %q", table, got)
		}
	}
}
