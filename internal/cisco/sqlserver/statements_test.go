package sqlserver

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/sqlc-dev/teesql/parser"

	"archivolt/internal/cisco"
	"archivolt/internal/testenv"
)

func TestStatementsAreTSQL(t *testing.T) {
	for _, text := range []string{setSession, beginSnapshot, endSnapshot, selectServer, selectTables, selectColumns, selectIndexes, selectSize,
		grantSelect("dbo", "JM"), grantSelect("a]b", "x'y[z]")} {
		parse(t, text)
	}
	if want := fmt.Sprintf("SET LOCK_TIMEOUT %d;", LockTimeout.Milliseconds()); !strings.HasPrefix(setSession, want) {
		t.Errorf("the statement does not begin with %s", want)
	}
	tab := &table{tableName: tableName{schema: "dbo", name: "JM"}, columns: []column{{name: "TO_JID", typ: "nvarchar"}, {name: "from]jid", typ: "nvarchar"}, {name: "FROM_JID", typ: "nvarchar"}}}
	tab.only = anyHolds(tab.conditions(&cisco.Lookup{Starts: []string{"a'b[%_]", strings.Repeat("long", 30)}, Equals: []string{"x", `\\`, "'; --"}}))
	parse(t, selectRows(tab, []string{"1"}, false, false))
	tab.only = anyHolds(nil)
	parse(t, selectRows(tab, []string{"1"}, false, false))
	advice, err := (&Source{jm: tab}).Advice(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for statement := range strings.Lines(advice) {
		first, second, _ := strings.Cut(statement, ";")
		parse(t, first)
		parse(t, strings.Trim(second, " ;\n"))
	}
	// The parser must be able to object, or it proves nothing.
	for _, text := range []string{"SELECT FROM WHERE", "SELECT TOP (@p1) [a] FROM [x] WHERE [a] >", "SELECT CONVERT(int, [a] FROM [x]", "SELECT [a] FROM [x] ORDER [y]"} {
		if _, err := parser.Parse(context.Background(), strings.NewReader(text)); err == nil {
			t.Errorf("the parser takes %s", text)
		}
	}
}

// TestEveryVariant builds all statements that can come out of introspection:
// each type in each place, and each kind of key.
func TestEveryVariant(t *testing.T) {
	types := []string{"nvarchar", "nchar", "ntext", "varchar", "char", "text", "xml", "sql_variant", "uniqueidentifier", "bit", "float", "decimal", "time",
		"tinyint", "smallint", "int", "bigint", "date", "datetime", "datetime2", "smalldatetime", "datetimeoffset", "binary", "varbinary", "image", "timestamp"}
	var keys []key
	for _, typ := range []string{"tinyint", "smallint", "int", "bigint", "datetime", "smalldatetime", "datetime2"} {
		first := column{name: "k]1", typ: typ, scale: 7}
		keys = append(keys, key{index: "i", columns: []column{first}}, key{index: "i]x", columns: []column{first}, ties: true})
		for n := 2; n <= maxKeyColumns; n++ {
			columns := []column{first}
			for i := 1; i < n; i++ {
				columns = append(columns, column{name: fmt.Sprint("n", i), typ: "int"})
			}
			keys = append(keys, key{index: "PK JM", columns: columns})
		}
	}
	var list, conditions []string
	for _, typ := range types {
		c := column{name: "a [b]] " + typ, typ: typ}
		piece, longer := c.piece(cisco.ShortChars)
		list = append(list, c.whole(), c.moment(), piece)
		conditions = append(conditions, longer)
	}
	list = append(list, anyOf(conditions))
	n := 0
	for _, k := range append(keys, key{}) {
		tab := &table{tableName: tableName{schema: "s]", name: "t[;--"}, key: k}
		for _, after := range []bool{false, true} {
			for _, upto := range []bool{false, true} {
				if len(k.columns) == 0 && (after || upto) {
					continue
				}
				text := selectRows(tab, list, after, upto)
				parse(t, text)
				n++
				// Each parameter is used, and none that is not sent.
				sent := 1
				if after {
					sent += len(k.columns)
				}
				if upto {
					sent += len(k.columns)
				}
				for p := 1; p <= 10; p++ {
					if got := strings.Contains(text, fmt.Sprintf("@p%d,", p)) || strings.Contains(text, fmt.Sprintf("@p%d)", p)); got != (p <= sent) {
						t.Errorf("parameter %d used: %v, in %s", p, got, text)
					}
				}
			}
		}
	}
	if n != 4*len(keys)+1 {
		t.Errorf("%d statements", n)
	}
}

// TestBeyond compares what the conditions mean with the order of tuples, by
// evaluating them.
func TestBeyond(t *testing.T) {
	columns := []column{{name: "a", typ: "int"}, {name: "b", typ: "int"}, {name: "c", typ: "int"}}
	for n := 1; n <= 3; n++ {
		for code := range 3 * 3 * 3 * 3 * 3 * 3 {
			var row, at [3]int
			for i, x := 0, code; i < 3; i++ {
				row[i], at[i], x = x%3, x/3%3, x/9
			}
			compare := 0
			for i := n - 1; i >= 0; i-- {
				if row[i] != at[i] {
					compare = row[i] - at[i]
				}
			}
			for _, op := range []string{">", "<="} {
				text := beyond(columns[:n], op, 2)
				for i, name := range []string{"a", "b", "c"} {
					text = strings.ReplaceAll(text, "["+name+"]", fmt.Sprint(row[i]))
					text = strings.ReplaceAll(text, fmt.Sprintf("CONVERT(int, @p%d)", i+2), fmt.Sprint(at[i]))
				}
				if want := compare > 0 == (op == ">"); evaluate(text) != want {
					t.Fatalf("%v %s %v: %s", row[:n], op, at[:n], text)
				}
			}
		}
	}
}

var comparison = regexp.MustCompile(`(\d) (<=|>=|<|>|=) (\d)`)

// evaluate reduces a condition over single digits, from the inside out.
func evaluate(text string) bool {
	text = comparison.ReplaceAllStringFunc(text, func(s string) string {
		m := comparison.FindStringSubmatch(s)
		a, b := m[1], m[3]
		ok := map[string]bool{"<": a < b, ">": a > b, "=": a == b, "<=": a <= b, ">=": a >= b}[m[2]]
		return map[bool]string{true: "T", false: "F"}[ok]
	})
	for before := ""; before != text; {
		before = text
		for _, rule := range [][2]string{{"(T)", "T"}, {"(F)", "F"}, {"T AND T", "T"}, {"F AND F", "F"}, {"T AND F", "F"}, {"F AND T", "F"}} {
			text = strings.ReplaceAll(text, rule[0], rule[1])
		}
		if before == text { // AND binds more closely
			for _, rule := range [][2]string{{"T OR T", "T"}, {"F OR F", "F"}, {"T OR F", "T"}, {"F OR T", "T"}} {
				text = strings.ReplaceAll(text, rule[0], rule[1])
			}
		}
	}
	return text == "T"
}

// TestDocumentation parses the statements that administrators are given, and
// holds them against those that the program names.
func TestDocumentation(t *testing.T) {
	doc, err := os.ReadFile(filepath.Join(testenv.Root(t), "docs", "sqlserver.md"))
	if err != nil {
		t.Fatal(err)
	}
	blocks := regexp.MustCompile("(?s)```sql\n(.*?)```").FindAllStringSubmatch(string(doc), -1)
	if len(blocks) < 9 {
		t.Fatalf("%d blocks of statements", len(blocks))
	}
	for _, block := range blocks {
		for _, batch := range strings.Split(block[1], "\nGO\n") {
			if strings.TrimSpace(batch) != "" {
				parse(t, batch)
			}
		}
	}
	for _, text := range []string{grantSelect("dbo", "JM"), "ALTER DATABASE [tcmadb] SET ALLOW_SNAPSHOT_ISOLATION ON", fmt.Sprintf("at most %d rows", maxBatchRows),
		fmt.Sprintf("`LOCK_TIMEOUT` %d seconds", int(LockTimeout.Seconds()))} {
		if !strings.Contains(string(doc), text) {
			t.Errorf("docs/sqlserver.md does not have: %s", text)
		}
	}
	for _, name := range cisco.ColumnNames() {
		if !strings.Contains(string(doc), "["+name+"] ") {
			t.Errorf("the documented table lacks %s", name)
		}
	}
	for _, p := range parameters {
		if p != "server" && p != "user id" && p != "port" && !strings.Contains(strings.ToLower(string(doc)), "`"+p+"`") {
			t.Errorf("docs/sqlserver.md does not name the parameter %s", p)
		}
	}
}
