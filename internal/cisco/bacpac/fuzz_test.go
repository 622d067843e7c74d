package bacpac

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"strings"
	"testing"

	"archivolt/internal/cisco"
	"archivolt/internal/problem"
)

// FuzzModel: no panic and no hang; a model that is read has names and types
// that can be shown, and its tables can be laid out or refused.
func FuzzModel(f *testing.F) {
	f.Add([]byte(modelXML(tableXML("[dbo].[JM]", allTypes...), aliases)))
	f.Add([]byte(modelXML(tableXML("[dbo].[t]", "a", "[dbo].[t2]", "b", "computed", "c", "char(3) not null", "d", "decimal(5,2)"),
		`<Element Type="SqlUserDefinedDataType" Name="[dbo].[t2]"><Relationship Name="Type"><Entry><References Name="[dbo].[t2]" /></Entry></Relationship></Element>`)))
	f.Add([]byte(`<DataSchemaModel><Model><Element Type="SqlTable" Name="[a].[b]"/></Model></DataSchemaModel>`))
	f.Add([]byte("<DataSchemaModel><!DOCTYPE a [<!ENTITY b \"c\">]>&b;"))
	f.Fuzz(func(t *testing.T, data []byte) {
		m, err := parseModel(bytes.NewReader(data))
		if (m == nil) != (err != nil) {
			t.Fatal(m, err)
		}
		if owners, err := parseRels(bytes.NewReader(data)); (owners == nil) != (err != nil) {
			t.Fatal(owners, err)
		}
		if m == nil {
			return
		}
		file := &File{name: "x", model: m}
		for i, info := range file.Tables() {
			if info.Schema != m.tables[i].schema || len(info.Columns) != len(m.tables[i].columns) {
				t.Fatalf("%+v", info)
			}
			for _, l := range layouts() {
				fields, _, err := file.fields(m.tables[i], l, func(string) int { return -1 })
				var p *problem.Error
				if err != nil && !errors.As(err, &p) {
					t.Fatal(err)
				}
				for _, f := range fields {
					if f.prefix+f.width == 0 || f.width > streamBuffer || f.most > MaxValue {
						t.Fatalf("%+v", f)
					}
				}
			}
		}
	})
}

// fuzzModels are the tables whose rows are fuzzed.
var fuzzModels = []string{
	modelXML(tableXML("[dbo].[JM]", allTypes...)),
	modelXML(tableXML("[dbo].[JM]", jm...)),
	modelXML(tableXML("[dbo].[JM]", "TO_JID", "varchar(20)", "FROM_JID", "char(2) not null", "SENT_DATE", "datetime2 not null", "BODY_TEXT", "text", "x", "bit not null", "y", "rowversion")),
}

// FuzzRows: no panic; every error is a problem; a scan and Rows see the same
// rows, whatever the batches; no row costs less than its bytes, and all that is
// read is what was there.
func FuzzRows(f *testing.F) {
	f.Add(uint8(0), append(jmRow("test"), unhex(allTypesRow)...), uint16(3))
	f.Add(uint8(1), slices.Concat(jmRow("a"), jmRow(null), jmRow("")), uint16(0))
	f.Add(uint8(2), unhex("0200 6100 61006200 07b9f6595f6e280b 04000000 61006200 0101 0800 0000000000000001"), uint16(9))
	f.Add(uint8(2), unhex("0100 61 0200 6162 07b9f6595f6e280b 02000000 6162 01 08 0000000000000001"), uint16(9))
	f.Fuzz(func(t *testing.T, which uint8, data []byte, cut uint16) {
		if len(data) > 1<<16 {
			return
		}
		model := fuzzModels[int(which)%len(fuzzModels)]
		at := min(int(cut), len(data))
		file := fromParts(t, model, data[:at], data[at:])
		s, err := newSource(file, Options{})
		if err != nil {
			t.Fatal(err)
		}
		rows, err := scan(s, cisco.ScanOptions{})
		var p *problem.Error
		if err != nil && (!errors.As(err, &p) || p.What == "" || p.Try == "") {
			t.Fatal(err)
		}
		text := 0
		for i, r := range rows {
			if r.number != int64(i+1) {
				t.Fatalf("row %d has the number %d", i+1, r.number)
			}
			text += int(r.size)
		}
		// A byte gives three of text at most, and a time of eight bytes 27.
		if text > 4*len(data)+23*len(rows) {
			t.Fatalf("%d bytes of text of %d", text, len(data))
		}
		again, err2 := scan(s, cisco.ScanOptions{BatchBytes: 1})
		if !slices.Equal(rows, again) || (err == nil) != (err2 == nil) || err != nil && err.Error() != err2.Error() {
			t.Fatalf("%d rows and %d, %v and %v", len(rows), len(again), err, err2)
		}
		short, err3 := scan(s, cisco.ScanOptions{Short: true})
		if len(short) != len(rows) || (err == nil) != (err3 == nil) {
			t.Fatalf("short: %d rows and %d, %v and %v", len(rows), len(short), err, err3)
		}
		for i, r := range short {
			if full := rows[i].cells[cisco.BodyText]; full != r.cells[cisco.BodyText] && (!r.short || !strings.HasPrefix(full, r.cells[cisco.BodyText])) {
				t.Fatalf("short row %d: %q of %q", i+1, r.cells[cisco.BodyText], full)
			}
		}
		// Rows ends at the first value that its type cannot have, which a scan only marks.
		n := 0
		_, err = file.Rows(context.Background(), "", "JM", cisco.ColumnNames(), func(cells [][]byte) error {
			for c, cell := range cells {
				if got := rows[n].cells[c]; cell == nil && got != null || cell != nil && got != string(cell) {
					t.Fatalf("row %d, %s: %q and %q", n+1, cisco.Column(c), got, cell)
				}
			}
			n++
			return nil
		})
		if bad := slices.IndexFunc(rows, func(r scanned) bool { return r.problem != "" }); bad >= 0 && n != bad || bad < 0 && n != len(rows) || bad >= 0 && err == nil {
			t.Fatalf("Rows gives %d of %d, %v", n, len(rows), err)
		}
	})
}
