package archive

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"archivolt/internal/cisco/bacpac"
	"archivolt/internal/cisco/csvfile"
	"archivolt/internal/cisco/oracle"
	"archivolt/internal/cisco/postgres"
	"archivolt/internal/cisco/sqlite"
	"archivolt/internal/cisco/sqlserver"
	"archivolt/internal/problem"
)

// Options say how databases are opened; files need none of it, but for the
// name of the table.
type Options struct {
	Schema   string // of the table; empty for the usual one
	Table    string // empty for JM
	Password string // of databases
	// AllowLocks reads a database even where that may hold up who writes to it.
	AllowLocks bool
}

// PasswordVariable is the environment variable that holds the password of
// databases.
const PasswordVariable = "ARCHIVOLT_DB_PASSWORD"

// extensions are what a folder is searched for.
var extensions = []string{".csv", ".tsv", ".txt", ".rpt", ".bacpac", ".db", ".sqlite", ".sqlite3"}

// Open opens the archives that names name, read as one: files, URLs of
// databases, and folders, which stand for all archives in them.
func Open(ctx context.Context, names []string, keys Keys, o Options) (*Archive, error) {
	a := &Archive{keys: keys.Cisco, identities: keys.Identities}
	for _, name := range names {
		if err := a.add(ctx, name, o); err != nil {
			a.Close()
			return nil, err
		}
	}
	return a, nil
}

func (a *Archive) add(ctx context.Context, name string, o Options) error {
	if scheme, _, ok := strings.Cut(name, "://"); ok && len(scheme) > 1 { // one letter is a drive of Windows
		return a.addDatabase(ctx, scheme, name, o)
	}
	info, err := os.Stat(name)
	if errors.Is(err, fs.ErrNotExist) {
		return problem.New(problem.NoArchive, name, "there is no such archive", "check the name")
	}
	if err != nil {
		return err
	}
	if !info.IsDir() {
		return a.addFile(ctx, name, o)
	}
	entries, err := os.ReadDir(name)
	if err != nil {
		return err
	}
	found := 0
	for _, e := range entries {
		if e.IsDir() || !slices.Contains(extensions, strings.ToLower(filepath.Ext(e.Name()))) {
			continue
		}
		if err := a.addFile(ctx, filepath.Join(name, e.Name()), o); err != nil {
			var p *problem.Error
			if !errors.As(err, &p) || isDatabase(filepath.Join(name, e.Name())) && p.Class != problem.NoArchive {
				return err // an archive that cannot be read is not passed over
			}
			a.notes = append(a.notes, fmt.Sprintf("%s is passed over: %s", p.Object, p.What))
			continue
		}
		found++
	}
	if found == 0 {
		return problem.New(problem.NoArchive, name, "this folder holds no archive", "name the file itself, or see with archivolt check FILE what is wrong with it")
	}
	return nil
}

func (a *Archive) addFile(ctx context.Context, path string, o Options) error {
	for _, p := range a.parts {
		if same(p.path, path) {
			a.notes = append(a.notes, path+" is named twice, and read once")
			return nil
		}
	}
	name := filepath.Base(path)
	if slices.ContainsFunc(a.parts, func(q *part) bool { return q.name == name }) {
		name = filepath.ToSlash(path) // every node's export may be called jm.csv
	}
	ours, err := isOwn(path)
	if err != nil {
		return err
	}
	if ours {
		o, err := a.openOwn(path)
		if err != nil {
			return err
		}
		return a.addPart(name, path, o)
	}
	t, err := openFile(path, o)
	if err != nil {
		return err
	}
	again := func(schema, table string) (table, error) {
		o.Schema, o.Table = schema, table
		return openFile(path, o)
	}
	return a.addTables(ctx, name, path, t, again)
}

// openFile opens a file by what it begins with.
func openFile(path string, o Options) (table, error) {
	begin, err := beginning(path, len(sqlite.Magic))
	if err != nil {
		return nil, err
	}
	switch {
	case bytes.HasPrefix(begin, []byte(sqlite.Magic)):
		return sqlite.Open(path, o.Table)
	case bytes.HasPrefix(begin, []byte("PK\x03\x04")), strings.EqualFold(filepath.Ext(path), ".bacpac"):
		return bacpac.Open(path, bacpac.Options{Schema: o.Schema, Table: o.Table})
	}
	return csvfile.Open(path)
}

// isDatabase tells whether a file is one that holds tables, whatever is wrong
// with it.
func isDatabase(path string) bool {
	begin, err := beginning(path, len(sqlite.Magic))
	return err == nil && bytes.HasPrefix(begin, []byte(sqlite.Magic)) || strings.EqualFold(filepath.Ext(path), ".bacpac")
}

// beginning reads the first n bytes of a file, or all if it has less. What is
// no file has none.
func beginning(path string, n int) ([]byte, error) {
	if info, err := os.Stat(path); err != nil || !info.Mode().IsRegular() {
		return nil, err
	}
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	begin := make([]byte, n)
	n, err = io.ReadFull(file, begin)
	if err != nil && !errors.Is(err, io.ErrUnexpectedEOF) && !errors.Is(err, io.EOF) {
		return nil, err
	}
	return begin[:n], nil
}

// same tells whether two names are of one file.
func same(a, b string) bool {
	x, errA := os.Stat(a)
	y, errB := os.Stat(b)
	return errA == nil && errB == nil && os.SameFile(x, y)
}

func (a *Archive) addDatabase(ctx context.Context, scheme, name string, o Options) error {
	if hasPassword(name) {
		return problem.New(problem.Usage, "", "this URL holds a password, which every user of this machine can see",
			"leave it out, and set the environment variable "+PasswordVariable+" instead")
	}
	for _, p := range a.parts {
		if p.path == name {
			a.notes = append(a.notes, p.name+" is named twice, and read once")
			return nil
		}
	}
	open := func(schema, table string) (table, error) {
		switch strings.ToLower(scheme) {
		case "postgres", "postgresql":
			return postgres.Open(ctx, name, postgres.Options{Schema: schema, Table: table, Password: o.Password})
		case "oracle":
			return oracle.Open(ctx, name, oracle.Options{Schema: schema, Table: table, Password: o.Password})
		case "sqlserver":
			return sqlserver.Open(ctx, name, sqlserver.Options{Schema: schema, Table: table, Password: o.Password, AllowLocks: o.AllowLocks})
		}
		return nil, problem.New(problem.NoArchive, scheme+"://", "this is no kind of database that Archivolt reads", "name a postgres://, sqlserver:// or oracle:// URL, or export the table and name the file")
	}
	t, err := open(o.Schema, o.Table)
	if err != nil {
		return err
	}
	return a.addTables(ctx, serverAndDatabase(name), name, t, open)
}

// hasPassword tells whether a URL holds a password, in its user part or among
// its parameters.
func hasPassword(name string) bool {
	u, err := url.Parse(name)
	if err != nil {
		return strings.Contains(strings.ToLower(name), "password=") || strings.Count(name, ":") > 2 && strings.Contains(name, "@")
	}
	if _, ok := u.User.Password(); ok {
		return true
	}
	for key := range u.Query() {
		if slices.Contains([]string{"password", "pwd", "sslpassword"}, strings.ToLower(key)) {
			return true
		}
	}
	return false
}

// serverAndDatabase is how results name a database: its URL without user and
// parameters.
func serverAndDatabase(name string) string {
	u, err := url.Parse(name)
	if err != nil {
		return "database"
	}
	text := u.Host + u.Path
	for _, parameter := range []string{"host", "database", "dbname"} {
		if v := u.Query().Get(parameter); v != "" {
			text += "/" + v
		}
	}
	return strings.ReplaceAll(strings.Trim(text, "/"), "//", "/")
}

// addTables adds a table JM, and of a database also the others that say what
// was said: each is opened by itself, since all are read at the same time.
func (a *Archive) addTables(ctx context.Context, name, path string, t table, open func(schema, table string) (table, error)) error {
	d, ok := t.(database)
	if !ok {
		return a.addPart(name, path, &jm{table: t})
	}
	known := &rooms{database: d}
	if err := a.addPart(name, path, &jm{table: t, rooms: known}); err != nil {
		return err
	}
	a.rooms = append(a.rooms, known)
	schema, first := d.TableName()
	for _, other := range []string{roomArchive, fileLog} {
		has, err := d.HasTable(ctx, other)
		if err != nil {
			return err
		}
		if !has || strings.EqualFold(first, other) {
			continue
		}
		name := name + "/" + other
		if other == fileLog {
			t, err := open(schema, first)
			if err != nil {
				return err
			}
			if err := a.addPart(name, path+"#"+other, &jm{table: &transfers{database: t.(database)}, rooms: known}); err != nil {
				return err
			}
			continue
		}
		t, err := open(schema, other)
		if err != nil {
			return err
		}
		if err := a.addPart(name, path+"#"+other, &jm{table: t, rooms: known}); err != nil {
			return err
		}
	}
	return nil
}

// addPart adds what was opened, and closes it if it cannot be added.
func (a *Archive) addPart(name, path string, s stored) error {
	if len(a.parts) > 0 && kindOf(a.parts[0].stored) != kindOf(s) {
		_ = s.Close() // only read
		return mixed(a.parts[0].name, name)
	}
	a.parts = append(a.parts, &part{name: name, path: path, stored: s})
	for _, n := range s.Notes() {
		a.notes = append(a.notes, name+" "+n)
	}
	return nil
}
