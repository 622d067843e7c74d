package sqlserver

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"zombiezen.com/go/sqlite"

	"archivolt/internal/cisco"
	"archivolt/internal/cisco/sqlserver/tdstest"
	"archivolt/internal/problem"
)

const (
	failed      = problem.Failed
	unavailable = problem.Unavailable
)

// want wants a problem with a text, that names neither user nor password.
func want(t testing.TB, err error, class problem.Class, what string, try ...string) {
	t.Helper()
	var p *problem.Error
	if !errors.As(err, &p) {
		t.Fatalf("%v is no problem", err)
	}
	if p.Class != class || p.What != what {
		t.Errorf("class %d, %q; want %d, %q", p.Class, p.What, class, what)
	}
	for _, part := range try {
		if !strings.Contains(p.Try, part) {
			t.Errorf("%q does not say %q", p.Try, part)
		}
	}
	if p.Object == "" || strings.Contains(p.Error(), tdstest.User) || strings.Contains(p.Error()+p.Try, tdstest.Password) {
		t.Errorf("%q tells what it must not, or has no object", p.Error())
	}
}

func tryOpen(t testing.TB, url, password string, tables ...string) error {
	t.Helper()
	src, err := Open(t.Context(), url, Options{Password: password, Table: strings.Join(tables, ""), AllowLocks: true})
	if err == nil {
		src.Close()
	}
	return err
}

func TestOpenFails(t *testing.T) {
	s := start(t, nil)
	url := s.URL()
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	closed.Close()
	stranger, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer stranger.Close()
	go func() {
		for {
			conn, err := stranger.Accept()
			if err != nil {
				return
			}
			_, _ = conn.Write([]byte("220 mail.example ESMTP and some more words\r\n"))
			conn.Close()
		}
	}()
	for _, c := range []struct {
		name, url, password, table string
		class                      problem.Class
		what, try                  string
	}{
		{"wrong password", url, "x", "", unavailable, "the server refused the login", "ARCHIVOLT_DB_PASSWORD"},
		{"no password", url, "", "", unavailable, "the server refused the login", "ARCHIVOLT_DB_PASSWORD"},
		{"wrong database", strings.Replace(url, "=tcmadb", "=other", 1), tdstest.Password, "", problem.NoArchive,
			"there is no such database, or this login may not open it", "database="},
		{"no such table", url, tdstest.Password, "J]M2", problem.NoArchive, "there is no table dbo.J]M2, or this login may not see it",
			"GRANT SELECT ON OBJECT::[dbo].[J]]M2] TO [archivolt_reader]"},
		{"nothing listens", strings.Replace(url, s.Address(), closed.Addr().String(), 1), "", "", unavailable,
			"cannot be reached: nothing listens on that port", "port"},
		{"no such host", "sqlserver://u@no-such-host.invalid:1433?database=x", "", "", unavailable, "cannot be reached: there is no host of that name", "host"},
		{"another service", strings.Replace(url, s.Address(), stranger.Addr().String(), 1), "", "", unavailable,
			"what answers there does not end the login as SQL Server does", "port"},
		{"a port that is none", "sqlserver://u@h:99999999?database=x", "", "", problem.Usage, "", "sqlserver://USER@HOST"},
		{"misspelt parameter", url + "&encrpyt=true", "", "", problem.Usage, "the connection string has the parameter encrpyt, which means nothing here", ""},
		{"a parameter that writes", url + "&change+password=x", "", "", problem.Usage, "the connection string has the parameter change password, which means nothing here", ""},
		{"encryption that is not there", s.URL("encrypt=true"), tdstest.Password, "", unavailable, "the server offers no encryption, which encrypt=true asks for", "certificate"},
		{"certificate file that is not there", s.URL("encrypt=true", "certificate=none.pem"), tdstest.Password, "", problem.Usage, "", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			err := tryOpen(t, c.url, c.password, c.table)
			var p *problem.Error
			if c.what == "" && errors.As(err, &p) {
				c.what = p.What
				if !strings.HasPrefix(c.what, "the connection string cannot be used: ") || strings.Contains(c.what, "sqlserver://") {
					t.Errorf("%q", c.what)
				}
			}
			want(t, err, c.class, c.what, c.try)
		})
	}
	if err := tryOpen(t, url, tdstest.Password); err != nil {
		t.Error(err)
	}
	// Where reading would hold up the archiver, it needs somebody's word.
	_, err = Open(t.Context(), url, Options{Password: tdstest.Password})
	want(t, err, problem.Failed, "reading would lock the whole table, and the archiver could not write until it ends: the database allows no snapshot, and the table has no index that allows short reads",
		"--allow-locks", "ALTER DATABASE [tcmadb] SET ALLOW_SNAPSHOT_ISOLATION ON")
	// Without a word about encryption there is encryption.
	want(t, tryOpen(t, strings.Replace(url, "&encrypt=false", "", 1), tdstest.Password), unavailable, "the server offers no encryption, which encrypt=true asks for")
	var p *problem.Error
	if err := tryOpen(t, url, "x"); !errors.As(err, &p) || p.Object != "127.0.0.1/tcmadb" {
		t.Errorf("object %q", p.Object)
	}
}

// TestTLS encrypts the whole connection, or the login alone.
func TestTLS(t *testing.T) {
	rows := made(300)
	s := start(t, rows)
	s.Behave(tdstest.Behaviour{TLS: true})
	file := filepath.Join(t.TempDir(), "server.pem")
	if err := os.WriteFile(file, s.CertificatePEM(), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, parameters := range [][]string{
		{"encrypt=true", "certificate=" + file}, {"encrypt=true", "serverCertificate=" + file}, {"encrypt=true", "TrustServerCertificate=true"}, {"encrypt=false", "TrustServerCertificate=true"}, {"encrypt=disable"},
	} {
		t.Run(strings.Join(parameters, " "), func(t *testing.T) {
			src := open(t, s, parameters...)
			compare(t, scan(t, src, cisco.ScanOptions{}), rows)
			notes := strings.Join(src.Notes(), "\n")
			clear, blind := strings.Contains(notes, "is not encrypted"), strings.Contains(notes, "is not checked")
			if clear != (parameters[0] != "encrypt=true") || blind != (!clear && parameters[1] == "TrustServerCertificate=true") {
				t.Errorf("notes %q", notes)
			}
		})
	}
	want(t, tryOpen(t, s.URL("encrypt=true"), tdstest.Password), unavailable, "the certificate of the server is signed by nobody whom this computer trusts",
		"certificate=FILE", "TrustServerCertificate=true", "pose as the server")
	want(t, tryOpen(t, s.URL("encrypt=true", "certificate="+file, "hostNameInCertificate=db.example.com"), tdstest.Password), unavailable,
		"the certificate of the server is made for another name", "hostNameInCertificate=NAME")
}

// TestFaults breaks readings in the middle.
func TestFaults(t *testing.T) {
	rows := made(3000)
	plainTable, keyed := start(t, rows), tdstest.Start(t, func(db *sqlite.Conn) {
		create(t, db, strings.TrimSuffix(tdstest.JM, ")")+", id int NOT NULL PRIMARY KEY)")
		insert(t, db, rows, func(i int) any { return int64(i) })
	})
	for _, c := range []struct {
		name      string
		server    *tdstest.Server
		behaviour tdstest.Behaviour
		what      string // "" if all goes well
		rows      int
	}{
		{"cut", plainTable, tdstest.Behaviour{Fault: tdstest.Fault{Cut: true}, After: 1234}, "the connection was lost after 1234 rows", 1234},
		{"cut at once", plainTable, tdstest.Behaviour{Fault: tdstest.Fault{Cut: true}}, "the connection was lost after 0 rows", 0},
		{"cut in a snapshot", plainTable, tdstest.Behaviour{Snapshot: true, Fault: tdstest.Fault{Cut: true}, After: 7}, "the connection was lost after 7 rows", 7},
		{"cut in a batch", keyed, tdstest.Behaviour{Fault: tdstest.Fault{Cut: true}, After: 300}, "the connection was lost after 256 rows", 256},
		{"an answer that looks complete", plainTable, tdstest.Behaviour{Fault: tdstest.Fault{Short: true}, After: 1000}, "the connection was lost after 1000 rows", 1000},
		{"a batch that looks complete", keyed, tdstest.Behaviour{Fault: tdstest.Fault{Short: true}, After: 100}, "the connection was lost after 0 rows", 0},
		{"a row that does not arrive", plainTable, tdstest.Behaviour{Fault: tdstest.Fault{Lose: true}, After: len(rows) - 1}, fmt.Sprintf("the connection was lost after %d rows", len(rows)-1), len(rows) - 1},
		{"lock", plainTable, tdstest.Behaviour{Fault: tdstest.Fault{Error: 1222}, After: 5}, "another program holds a lock on the table, and it was not waited for longer than 5 seconds; reading ended after 5 rows", 5},
		{"deadlock", plainTable, tdstest.Behaviour{Fault: tdstest.Fault{Error: 1205}, After: 5}, "the server ended the statement to let another program go on (a deadlock) after 5 rows", 5},
		{"lock, twice in a batch", keyed, tdstest.Behaviour{Fault: tdstest.Fault{Error: 1222}, After: 100, Times: 2}, "", len(rows)},
		{"deadlock, twice in a later batch", keyed, tdstest.Behaviour{Fault: tdstest.Fault{Error: 1205}, After: 300, Times: 2}, "", len(rows)},
		{"lock, for ever", keyed, tdstest.Behaviour{Fault: tdstest.Fault{Error: 1222}, After: 300}, "another program holds a lock on the table, and it was not waited for longer than 5 seconds; reading ended after 256 rows", 256},
		{"deadlock in a snapshot", keyed, tdstest.Behaviour{Snapshot: true, Fault: tdstest.Fault{Error: 1205}, After: 100, Times: 1}, "the server ended the statement to let another program go on (a deadlock) after 0 rows", 0},
		{"snapshot lost", plainTable, tdstest.Behaviour{Snapshot: true, Fault: tdstest.Fault{Error: 3961}, After: 9}, "the server could not keep the snapshot of the table after 9 rows (error 3961)", 9},
		{"memory", plainTable, tdstest.Behaviour{Fault: tdstest.Fault{Error: 701}, After: 9}, "the server is short of resources after 9 rows (error 701)", 9},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.server.Behave(c.behaviour)
			src := open(t, c.server)
			got, err := tryScan(t.Context(), src, cisco.ScanOptions{})
			compare(t, got, rows[:c.rows])
			if c.what == "" {
				if err != nil {
					t.Fatal(err)
				}
				return
			}
			want(t, err, unavailable, c.what, "try again")
			if strings.Contains(c.what, "connection") {
				_, err := tryScan(t.Context(), src, cisco.ScanOptions{})
				if err == nil {
					t.Error("a second scan over a lost connection succeeds")
				}
			}
		})
	}
}

func TestRefused(t *testing.T) {
	s := start(t, made(30))
	scanError := func(b tdstest.Behaviour) error {
		s.Behave(b)
		_, err := tryScan(t.Context(), open(t, s), cisco.ScanOptions{})
		return err
	}
	want(t, scanError(tdstest.Behaviour{Deny: true}), failed, "this login may not read the table", "GRANT SELECT ON OBJECT::[dbo].[JM] TO [archivolt_reader]")
	want(t, scanError(tdstest.Behaviour{Fault: tdstest.Fault{Error: 8115}, After: 3}), failed, "SQL Server refused to go on after 3 rows (error 8115)", "8115")
	want(t, scanError(tdstest.Behaviour{Fault: tdstest.Fault{Error: 208}}), problem.NoArchive, "the table or the database is gone")
	s.Behave(tdstest.Behaviour{NoSize: true})
	if src := open(t, s); src.Size() != 0 {
		t.Errorf("size %d, which the login may not know", src.Size())
	}
}

// TestChanges changes the table between two scans.
func TestChanges(t *testing.T) {
	rows := made(2500)
	fresh := plain(cisco.SentDate, "2031-01-01 00:00:00.000")
	byID := strings.TrimSuffix(tdstest.JM, ")") + ", id int NOT NULL PRIMARY KEY)"
	const changed = "the table changed between two readings of it"
	for _, c := range []struct {
		name     string
		table    string
		snapshot bool
		change   string // a statement; "" inserts a row at the end
		what     string
	}{
		{"one SELECT, a row more", tdstest.JM, false, "", ""},
		{"one SELECT, a row less", tdstest.JM, false, "DELETE FROM JM WHERE rowid = 2400", changed},
		{"one SELECT, another row", tdstest.JM, false, "UPDATE JM SET TO_JID = 'x' WHERE rowid = 500", changed},
		{"one SELECT, last row less", tdstest.JM, false, "DELETE FROM JM WHERE rowid = (SELECT max(rowid) FROM JM)", changed},
		{"batches, a row more", byID, false, "", ""},
		{"batches, a row less", byID, false, "DELETE FROM JM WHERE id = 1700", changed},
		{"snapshot, a row more", tdstest.JM, true, "", ""},
		{"snapshot, rows less", byID, true, "DELETE FROM JM WHERE rowid > 2", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			var id []func(int) any
			if c.table == byID {
				id = append(id, func(i int) any { return int64(i) })
			}
			s := tdstest.Start(t, func(db *sqlite.Conn) {
				create(t, db, c.table)
				insert(t, db, rows, id...)
			})
			s.Behave(tdstest.Behaviour{Snapshot: c.snapshot})
			src := open(t, s)
			if got := scan(t, src, cisco.ScanOptions{Short: true}); len(got) != len(rows) {
				t.Fatalf("%d rows, want %d", len(got), len(rows))
			}
			s.Change(t, func(db *sqlite.Conn) {
				if c.change != "" {
					create(t, db, c.change)
				} else if c.table == byID {
					insert(t, db, []cells{fresh}, func(int) any { return int64(1e9) })
				} else {
					insert(t, db, []cells{fresh})
				}
			})
			got, err := tryScan(t.Context(), src, cisco.ScanOptions{})
			if c.what != "" {
				want(t, err, unavailable, c.what, "snapshot")
				if strings.Contains(c.change, "rowid = 500") && len(got) >= 1000 {
					t.Errorf("noticed after %d rows", len(got))
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			compare(t, got, rows)
		})
	}
}

// TestNoteOfLocks warns where reading may lock the table, and nowhere else.
func TestNoteOfLocks(t *testing.T) {
	s := start(t, nil)
	const warning = "is read under locks that last until the end"
	const unsteady = "the database allows no snapshot: rows"
	for _, c := range []struct {
		b    tdstest.Behaviour
		warn bool
	}{{tdstest.Behaviour{}, true}, {tdstest.Behaviour{Snapshot: true}, false}, {tdstest.Behaviour{Versioned: true}, false}, {tdstest.Behaviour{ReadOnly: true}, false}} {
		s.Behave(c.b)
		notes := strings.Join(open(t, s).Notes(), "\n")
		if got := strings.Contains(notes, warning); got != c.warn {
			t.Errorf("%+v: warned of locks: %v", c.b, got)
		}
		if got := strings.Contains(notes, unsteady); got != (c.warn || c.b.Versioned) {
			t.Errorf("%+v: warned of changes: %v", c.b, got)
		}
	}
}

// TestStop breaks a scan off by emit, by the context while rows come, and
// while the server stalls, with and without an answer to the attention.
func TestStop(t *testing.T) {
	rows := made(3000)
	s := start(t, rows)
	for _, c := range []struct {
		name   string
		fault  tdstest.Fault
		usable bool
	}{
		{"stalls", tdstest.Fault{Stall: true}, true},
		{"stalls and is deaf", tdstest.Fault{Stall: true, Deaf: true}, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			s.Behave(tdstest.Behaviour{Fault: c.fault, After: 2000, Times: 1})
			src := open(t, s)
			ctx, cancel := context.WithCancel(t.Context())
			n := 0
			var begin time.Time
			err := src.Scan(ctx, cisco.ScanOptions{BatchBytes: 1000}, func(b cisco.Batch) bool {
				n += len(take(b))
				if begin.IsZero() {
					<-s.Faulted() // 2000 rows are less than may wait for emit
					begin = time.Now()
					cancel()
				}
				return true
			})
			if err != context.Canceled {
				t.Errorf("error %v", err)
			}
			if took := time.Since(begin); took > time.Second {
				t.Errorf("took %v", took)
			}
			s.Behave(tdstest.Behaviour{})
			if c.usable {
				compare(t, scan(t, src, cisco.ScanOptions{}), rows)
			}
		})
	}
	t.Run("emit", func(t *testing.T) {
		s.Behave(tdstest.Behaviour{})
		src := open(t, s)
		for range 3 {
			n := 0
			begin := time.Now()
			err := src.Scan(t.Context(), cisco.ScanOptions{BatchBytes: 1000}, func(b cisco.Batch) bool {
				n++
				b.Release()
				return n < 3
			})
			if err != nil || n != 3 || time.Since(begin) > time.Second {
				t.Errorf("%v after %d batches and %v", err, n, time.Since(begin))
			}
		}
		compare(t, scan(t, src, cisco.ScanOptions{}), rows)
	})
	t.Run("opening", func(t *testing.T) {
		s.Behave(tdstest.Behaviour{Mute: true})
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		defer cancel()
		begin := time.Now()
		if _, err := Open(ctx, s.URL(), Options{}); err != context.DeadlineExceeded || time.Since(begin) > time.Second {
			t.Errorf("%v after %v", err, time.Since(begin))
		}
	})
}
