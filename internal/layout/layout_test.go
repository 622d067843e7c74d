package layout

import (
	"bytes"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"archivolt/internal/testenv"
)

// rooms lists every package with what it may import beside the standard
// library: packages of this module by their path below internal/, others by
// their full path. Test files may in addition import testOnly and the packages
// they test from outside.
var rooms = map[string][]string{
	"cmd/archivolt": {"problem", "durable", "keys", "passphrase", "cisco", "cisco/sample",
		"message", "transcript", "archive", "review", "export", "export/pdf", "proof", "identity", "seal", "audit", "config", "people", "filippo.io/age",
		"github.com/alecthomas/kong", "github.com/schollz/progressbar/v3", "golang.org/x/term",
		"golang.org/x/text/encoding", "golang.org/x/text/encoding/unicode", "golang.org/x/text/transform"},
	"cmd/archivoltd": {"problem", "keys", "keystore", "passphrase", "cisco/write", "cluster", "golang.org/x/term", "config", "capture", "xmpp", "seal", "ledger", "store", "store/sqlite",
		"github.com/alecthomas/kong", "github.com/prometheus/client_golang/prometheus", "github.com/prometheus/client_golang/prometheus/collectors", "github.com/prometheus/client_golang/prometheus/promhttp"},
	"internal/problem":        {},
	"internal/durable":        {},
	"internal/keys":           {"problem", "github.com/youmark/pkcs8", "filippo.io/age", "filippo.io/age/agessh", "golang.org/x/crypto/ssh"},
	"internal/message":        {"mellium.im/xmpp/jid", "golang.org/x/text/cases", "golang.org/x/text/unicode/norm"},
	"internal/stanza":         {"message"},
	"internal/transcript":     {"message"},
	"internal/cisco":          {"problem", "keys", "message", "stanza"},
	"internal/cisco/bacpac":   {"problem", "cisco", "golang.org/x/text/encoding/charmap"},
	"internal/cisco/csvfile":  {"problem", "cisco"},
	"internal/cisco/oracle":   {"problem", "cisco", "github.com/sijms/go-ora/v2", "github.com/sijms/go-ora/v2/configurations", "github.com/sijms/go-ora/v2/network"},
	"internal/cisco/postgres": {"problem", "cisco", "github.com/jackc/pgx/v5/pgconn"},
	"internal/cisco/sqlserver": {"problem", "cisco",
		"github.com/microsoft/go-mssqldb", "github.com/microsoft/go-mssqldb/msdsn"},
	"internal/cisco/sqlserver/tdstest": { // plays SQL Server; for tests alone
		"zombiezen.com/go/sqlite", "zombiezen.com/go/sqlite/sqlitex"},
	"internal/cisco/sqlite":     {"problem", "cisco", "zombiezen.com/go/sqlite", "zombiezen.com/go/sqlite/sqlitex"},
	"internal/cisco/write":      {"problem", "stanza", "zombiezen.com/go/sqlite", "zombiezen.com/go/sqlite/sqlitex", "github.com/jackc/pgx/v5/pgconn"}, // shares no cipher with the reader
	"internal/cisco/sample":     {},                                                                                                                    // shares nothing with the reader it tests
	"internal/cisco/sourcetest": {"cisco", "cisco/sample", "testenv", "zombiezen.com/go/sqlite", "zombiezen.com/go/sqlite/sqlitex"},                    // for tests only
	"internal/archive": {"problem", "message", "cisco", "cisco/bacpac", "cisco/csvfile", "cisco/oracle", "cisco/postgres", "cisco/sqlite", "cisco/sqlserver",
		"stanza", "seal", "ledger", "store", "store/sqlite", "filippo.io/age"},
	"internal/export":              {"problem", "message", "transcript"},
	"internal/export/pdf":          {"problem", "github.com/chromedp/chromedp", "github.com/chromedp/cdproto/cdp", "github.com/chromedp/cdproto/emulation", "github.com/chromedp/cdproto/io", "github.com/chromedp/cdproto/page"},
	"internal/review":              {"message", "transcript"},
	"internal/people":              {"problem", "message"},
	"internal/seal":                {"problem", "keys", "ledger", "filippo.io/age", "filippo.io/age/agessh"},
	"internal/ledger":              {"golang.org/x/mod/sumdb/tlog", "golang.org/x/mod/sumdb/note"},
	"internal/spool":               {},
	"internal/store":               {"ledger"},
	"internal/store/sqlite":        {"problem", "store", "ledger", "zombiezen.com/go/sqlite", "zombiezen.com/go/sqlite/sqlitex"},
	"internal/store/storetest":     {"store", "ledger"}, // for tests only
	"internal/capture":             {"problem", "durable", "message", "stanza", "xmpp", "seal", "ledger", "spool", "store", "cisco/write", "filippo.io/age"},
	"internal/capture/capturetest": {"capture", "cisco/write", "seal", "ledger", "store", "store/sqlite", "xmpp", "filippo.io/age"}, // for tests only
	"internal/audit":               {"problem", "ledger", "seal", "store", "filippo.io/age"},
	"internal/proof":               {"problem", "ledger", "golang.org/x/mod/sumdb/tlog"},
	"internal/identity":            {"problem", "keys", "filippo.io/age", "filippo.io/age/armor"},
	"internal/keystore":            {"problem", "durable", "keys", "cisco", "filippo.io/age", "golang.org/x/crypto/argon2"},
	"internal/cluster":             {"problem", "durable", "keystore"},
	"internal/passphrase":          {"problem", "keys", "golang.org/x/term"},
	"internal/config":              {"problem", "go.yaml.in/yaml/v3"},
	"internal/xmpp":                {"problem"},
	"contrib/prosody":              {}, // Lua, and its tests
	"internal/testenv":             {},
	"internal/layout":              {},
}

// testOnly may be imported by test files alone.
var testOnly = []string{"testenv", "keys", "archive", "cisco", "message", "problem", "cisco/sample", "cisco/sourcetest", "store/sqlite", "store/storetest", "transcript", "review", "audit", "ledger", "seal", "capture/capturetest", "xmpp", "github.com/rogpeppe/go-internal/testscript", "pgregory.net/rapid",
	"cisco/sqlserver/tdstest", "zombiezen.com/go/sqlite", "zombiezen.com/go/sqlite/sqlitex", "github.com/sqlc-dev/teesql/parser", "github.com/santhosh-tekuri/jsonschema/v6", "github.com/jackc/pgx/v5/pgconn",
	"export", "xmpp", "golang.org/x/net/html", "stanza", "filippo.io/age", "golang.org/x/mod/sumdb/tlog", "go.yaml.in/yaml/v3"}

// rsaDecryption is allowed in these packages only: no network surface may be
// asked to decrypt with an RSA key.
var rsaDecryption = []string{"internal/keys", "internal/cisco"}

// bannedNames say nothing about what a package holds.
var bannedNames = []string{"util", "utils", "common", "helper", "helpers", "misc", "base", "lib"}

// Limits on the shape of the code.
const (
	maxLines   = 700 // of a Go file
	maxMethods = 10  // of an interface
)

// source is one Go file of the module.
type source struct {
	path string // with slashes, from the root
	room string // its folder
	test bool
	text []byte
	file *ast.File
}

func sources(t *testing.T) (files []source, set *token.FileSet) {
	t.Helper()
	root := testenv.Root(t)
	set = token.NewFileSet()
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && (strings.HasPrefix(d.Name(), ".") || d.Name() == "testdata") && path != root {
			return fs.SkipDir
		}
		if d.IsDir() || !strings.HasSuffix(path, ".go") {
			return nil
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		file, err := parser.ParseFile(set, path, text, parser.ParseComments)
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(root, path)
		if err != nil {
			return err
		}
		rel = filepath.ToSlash(rel)
		files = append(files, source{path: rel, room: filepath.ToSlash(filepath.Dir(rel)),
			test: strings.HasSuffix(rel, "_test.go"), text: text, file: file})
		return nil
	})
	if err != nil || len(files) == 0 {
		t.Fatalf("%d files, %v", len(files), err)
	}
	return files, set
}

func TestImports(t *testing.T) {
	files, _ := sources(t)
	seen := map[string]bool{}
	for _, f := range files {
		allowed, known := rooms[f.room]
		if !known {
			t.Errorf("%s: the folder %s is not in the plan (internal/layout/layout_test.go)", f.path, f.room)
			continue
		}
		seen[f.room] = true
		for _, spec := range f.file.Imports {
			name, err := strconv.Unquote(spec.Path.Value)
			if err != nil {
				t.Fatal(err)
			}
			if short, ok := strings.CutPrefix(name, "archivolt/internal/"); ok {
				name = short
			} else if first, _, _ := strings.Cut(name, "/"); !strings.Contains(first, ".") {
				continue // standard library
			}
			if !slices.Contains(allowed, name) && !(f.test && slices.Contains(testOnly, name)) {
				t.Errorf("%s may not import %s", f.path, name)
			}
		}
	}
	for room := range rooms {
		if !seen[room] {
			t.Errorf("%s is in the plan and not in the house", room)
		}
	}
}

func TestShape(t *testing.T) {
	files, set := sources(t)
	documented := map[string]bool{}
	for _, f := range files {
		if n := bytes.Count(f.text, []byte("\n")); n > maxLines {
			t.Errorf("%s has %d lines, more than %d", f.path, n, maxLines)
		}
		if slices.Contains(bannedNames, f.file.Name.Name) {
			t.Errorf("%s: a package named %s says nothing", f.path, f.file.Name.Name)
		}
		if f.file.Doc != nil && !f.test {
			documented[f.room] = true
		}
		ast.Inspect(f.file, func(n ast.Node) bool {
			if i, ok := n.(*ast.InterfaceType); ok && i.Methods.NumFields() > maxMethods {
				t.Errorf("%s: an interface of %d methods", set.Position(i.Pos()), i.Methods.NumFields())
			}
			return true
		})
	}
	for room := range rooms {
		if !documented[room] {
			t.Errorf("%s has no package comment", room)
		}
	}
}

func TestExportedIsDocumented(t *testing.T) {
	files, set := sources(t)
	for _, f := range files {
		if f.test {
			continue
		}
		for _, d := range f.file.Decls {
			switch d := d.(type) {
			case *ast.FuncDecl:
				if d.Name.IsExported() && d.Doc == nil && !implements(d) {
					t.Errorf("%s: %s has no comment", set.Position(d.Pos()), d.Name.Name)
				}
			case *ast.GenDecl:
				for _, spec := range d.Specs {
					if s, ok := spec.(*ast.TypeSpec); ok && s.Name.IsExported() && d.Doc == nil && s.Doc == nil {
						t.Errorf("%s: %s has no comment", set.Position(s.Pos()), s.Name.Name)
					}
				}
			}
		}
	}
}

// implements tells whether d is a method whose meaning its interface gives.
func implements(d *ast.FuncDecl) bool {
	return d.Recv != nil && slices.Contains([]string{"Error", "Unwrap", "Run", "Help", "Read", "Len", "Less", "Swap", "Push", "Pop"}, d.Name.Name)
}

func TestRSADecryption(t *testing.T) {
	files, set := sources(t)
	found := 0
	for _, f := range files {
		if f.test {
			continue
		}
		ast.Inspect(f.file, func(n ast.Node) bool {
			call, ok := n.(*ast.SelectorExpr)
			if !ok {
				return true
			}
			pkg, ok := call.X.(*ast.Ident)
			if ok && pkg.Name == "rsa" && (strings.HasPrefix(call.Sel.Name, "Decrypt") || strings.Contains(call.Sel.Name, "DecryptOptions")) {
				found++
				if !slices.Contains(rsaDecryption, f.room) {
					t.Errorf("%s: RSA decryption belongs into %v", set.Position(call.Pos()), rsaDecryption)
				}
			}
			return true
		})
	}
	if found == 0 {
		t.Error("no RSA decryption was found at all: this test looks in the wrong place")
	}
}

// TestDependencies wants a line in docs/dependencies.md for every direct
// dependency, and no line for one that is gone.
func TestDependencies(t *testing.T) {
	root := testenv.Root(t)
	mod, err := os.ReadFile(filepath.Join(root, "go.mod"))
	if err != nil {
		t.Fatal(err)
	}
	doc, err := os.ReadFile(filepath.Join(root, "docs", "dependencies.md"))
	if err != nil {
		t.Fatal(err)
	}
	var direct []string
	for _, line := range strings.Split(string(mod), "\n") {
		fields := strings.Fields(strings.TrimPrefix(line, "require "))
		if len(fields) == 2 && strings.HasPrefix(fields[1], "v") {
			direct = append(direct, fields[0])
			if !bytes.Contains(doc, fmt.Appendf(nil, "| `%s` |", fields[0])) {
				t.Errorf("%s has no line in docs/dependencies.md", fields[0])
			}
		}
	}
	if lines := bytes.Count(doc, []byte("\n| `")); lines != len(direct) {
		t.Errorf("docs/dependencies.md has %d lines for %d direct dependencies", lines, len(direct))
	}
}
