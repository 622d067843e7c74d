package bacpac

import (
	"archive/zip"
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"archivolt/internal/cisco"
	"archivolt/internal/problem"
)

// unhex reads bytes as people write them down: "04 | 61 00" with anything
// between that is no hexadecimal digit.
func unhex(s string) []byte {
	s = strings.Map(func(r rune) rune {
		if strings.ContainsRune("0123456789abcdefABCDEF", r) {
			return r
		}
		return -1
	}, s)
	b, err := hex.DecodeString(s)
	if err != nil {
		panic(err)
	}
	return b
}

// utf16Hex is ASCII as little-endian UTF-16.
func utf16Hex(s string) string {
	var b strings.Builder
	for i := range len(s) {
		fmt.Fprintf(&b, "%02x00", s[i])
	}
	return b.String()
}

// columnXML is a column of model.xml. typ is "nvarchar(20) not null",
// "decimal(10,2)", "computed", or the whole name of an alias type in brackets.
func columnXML(table, name, typ string) string {
	full := table + ".[" + name + "]"
	if typ == "computed" {
		return `<Entry><Element Type="SqlComputedColumn" Name="` + full + `"><Property Name="ExpressionScript"><Value><![CDATA[(1)]]></Value></Property></Element></Entry>`
	}
	typ, notNull := strings.CutSuffix(typ, " not null")
	base, args, _ := strings.Cut(strings.TrimSuffix(typ, ")"), "(")
	b := `<Entry><Element Type="SqlSimpleColumn" Name="` + full + `">`
	if notNull {
		b += `<Property Name="IsNullable" Value="False" />`
	}
	b += `<Relationship Name="TypeSpecifier"><Entry><Element Type="SqlTypeSpecifier">`
	switch first, second, two := strings.Cut(args, ","); {
	case args == "max":
		b += `<Property Name="IsMax" Value="True" />`
	case two:
		b += `<Property Name="Scale" Value="` + second + `" /><Property Name="Precision" Value="` + first + `" />`
	case args != "" && (strings.HasPrefix(base, "date") || base == "time"):
		b += `<Property Name="Scale" Value="` + args + `" />`
	case args != "" && base == "float":
		b += `<Property Name="Precision" Value="` + args + `" />`
	case args != "":
		b += `<Property Name="Length" Value="` + args + `" />`
	}
	ref := `ExternalSource="BuiltIns" Name="[` + base + `]"`
	if strings.HasPrefix(base, "[") {
		ref = `Name="` + base + `"`
	}
	return b + `<Relationship Name="Type"><Entry><References ` + ref + ` /></Entry></Relationship></Element></Entry></Relationship></Element></Entry>`
}

// tableXML is a table of model.xml: name is "[dbo].[JM]", columns are names
// and types in turn.
func tableXML(name string, columns ...string) string {
	b := `<Element Type="SqlTable" Name="` + name + `"><Property Name="IsAnsiNullsOn" Value="True" /><Relationship Name="Columns">`
	for i := 0; i < len(columns); i += 2 {
		b += columnXML(name, columns[i], columns[i+1])
	}
	return b + `</Relationship></Element>`
}

func modelXML(elements ...string) string {
	return "\ufeff" + `<?xml version="1.0" encoding="utf-8"?><DataSchemaModel xmlns="http://schemas.microsoft.com/sqlserver/dac/Serialization/2012/02">` +
		`<Header><CustomData Category="AnsiNulls"><Metadata Name="AnsiNulls" Value="True" /></CustomData></Header><Model>` +
		`<Element Type="SqlDatabaseOptions"><Property Name="Collation" Value="SQL_Latin1_General_CP1_CI_AS" /></Element>` +
		strings.Join(elements, "") + `</Model></DataSchemaModel>`
}

// entry is a file of an archive.
type entry struct {
	name string
	data []byte
}

// pack makes a zip archive.
func pack(tb testing.TB, entries ...entry) []byte {
	tb.Helper()
	var b bytes.Buffer
	w := zip.NewWriter(&b)
	for _, e := range entries {
		part, err := w.Create(e.name)
		if err == nil {
			_, err = part.Write(e.data)
		}
		if err != nil {
			tb.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		tb.Fatal(err)
	}
	return b.Bytes()
}

// bacpacOf packs a model with the parts of one table.
func bacpacOf(tb testing.TB, model, folder string, parts ...[]byte) []byte {
	tb.Helper()
	entries := []entry{{"model.xml", []byte(model)}, {"Origin.xml", []byte(`<DacOrigin><PackageProperties><ContainsExportedData>true</ContainsExportedData></PackageProperties></DacOrigin>`)}}
	for i, p := range parts {
		entries = append(entries, entry{fmt.Sprintf("Data/%s/TableData-000-%05d.BCP", folder, i), p})
	}
	return pack(tb, entries...)
}

func openBytes(data []byte) (*File, error) {
	return newFile("x.bacpac", bytes.NewReader(data), int64(len(data)))
}

const null = "<NULL>"

// rowsOf reads a whole table as text.
func rowsOf(f *File, schema, table string, columns ...string) (rows [][]string, err error) {
	found, err := f.Rows(context.Background(), schema, table, columns, func(cells [][]byte) error {
		var row []string
		for _, c := range cells {
			if c == nil {
				row = append(row, null)
			} else {
				row = append(row, string(c))
			}
		}
		rows = append(rows, row)
		return nil
	})
	if err == nil && !found {
		err = errors.New("no such table")
	}
	return rows, err
}

// scanned is a row as a scan gave it.
type scanned struct {
	number  int64
	cells   [cisco.NumColumns]string
	short   bool
	problem string
	size    int64
}

func scan(s *Source, o cisco.ScanOptions) (rows []scanned, err error) {
	err = s.Scan(context.Background(), o, func(b cisco.Batch) bool {
		var row cisco.Row
		for i := range b.Len() {
			b.Row(i, &row)
			r := scanned{number: row.Number, short: row.Short, problem: row.Problem, size: row.Size}
			for c, cell := range row.Cells {
				r.cells[c] = null
				if cell != nil {
					r.cells[c] = string(cell)
				}
			}
			rows = append(rows, r)
		}
		b.Release()
		return true
	})
	return rows, err
}

// wantProblem looks for a problem of class c that says all of words.
func wantProblem(tb testing.TB, err error, c problem.Class, words ...string) {
	tb.Helper()
	var p *problem.Error
	if !errors.As(err, &p) {
		tb.Fatalf("no problem: %v", err)
	}
	if p.Class != c || p.Try == "" || p.Object == "" {
		tb.Errorf("class %d, object %q, try %q", p.Class, p.Object, p.Try)
	}
	if missing := slices.DeleteFunc(slices.Clone(words), func(w string) bool { return strings.Contains(p.What, w) }); len(missing) > 0 {
		tb.Errorf("%q does not say %q", p.What, missing)
	}
}
