package bacpac

import (
	"bytes"
	"context"
	"errors"
	"io"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"testing"

	"archivolt/internal/cisco"
	"archivolt/internal/problem"
	"archivolt/internal/testenv"
)

// fromParts makes a file of one table whose parts are these bytes, without a
// zip archive around them.
func fromParts(tb testing.TB, model string, parts ...[]byte) *File {
	tb.Helper()
	m, err := parseModel(strings.NewReader(model))
	if err != nil {
		tb.Fatal(err)
	}
	f := &File{name: "x.bacpac", model: m, tables: map[*table][]part{}}
	for i, p := range parts {
		f.tables[m.tables[0]] = append(f.tables[m.tables[0]], part{name: "Data/part", size: int64(len(p)), at: dataPart{piece: i},
			open: func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(p)), nil }})
	}
	return f
}

// allTypes has columns of all kinds, three of them of JM.
var allTypes = append(slices.Clone(jm), "a", "int", "b", "bit", "c", "real", "d", "money", "e", "decimal(10,2)", "f", "uniqueidentifier", "g", "varbinary(9)",
	"h", "date", "i", "time", "j", "smalldatetime", "k", "datetime2", "l", "datetimeoffset", "m", "ntext", "n", "xml", "o", "tinyint not null")

const allTypesRow = "04 2a000000  01 01  04 0000c03f  08 0000000039300000  13 0a0201 39300000000000000000000000000000" +
	"10 0037c47bd31e4640bd696f623058d0a7  0300 00ff10  03 6e280b  05 07b9f6595f  04 1393ab02  08 07b9f6595f6e280b  0a 070ff12336 6e280b 2701" +
	"04000000 61006200  0800000000000000 3c0061002f003e00  09"

// TestTruncatedRows cuts the rows after every byte: what is whole before is
// read, and anything else is an error.
func TestTruncatedRows(t *testing.T) {
	model := modelXML(tableXML("[dbo].[JM]", allTypes...))
	row := append(jmRow("test 1"), unhex(allTypesRow)...)
	data := bytes.Repeat(row, 3)
	for n := range len(data) {
		f := fromParts(t, model, data[:n])
		s, err := newSource(f, Options{})
		if err != nil {
			t.Fatal(err)
		}
		rows, err := scan(s, cisco.ScanOptions{})
		whole := n / len(row)
		if len(rows) != whole || (err == nil) != (n%len(row) == 0) {
			t.Fatalf("%d bytes: %d rows, %v", n, len(rows), err)
		}
		for _, r := range rows {
			if r.cells[cisco.BodyText] != "test 1" || r.problem != "" {
				t.Fatalf("%d bytes: %+v", n, r)
			}
		}
		if err != nil {
			wantProblem(t, err, problem.Failed, "Data/part", map[int]string{0: "; 0 rows were", 1: "; 1 row was", 2: "; 2 rows were"}[whole])
		}
		if all, err2 := rowsOf(f, "", "JM"); len(all) != whole || (err2 == nil) != (err == nil) {
			t.Fatalf("%d bytes: Rows gives %d, %v", n, len(all), err2)
		}
	}
}

// TestDamagedArchive changes every byte of an archive in turn, and cuts it at
// every byte: that is an error, or changes nothing that is read.
func TestDamagedArchive(t *testing.T) {
	model := modelXML(tableXML("[dbo].[JM]", jm...))
	const name = "Data/dbo.JM/TableData-000-00000.BCP"
	data := pack(t, entry{"model.xml", []byte(model)}, entry{name, bytes.Repeat(jmRow("some text"), 20)},
		entry{"_rels/.rels", []byte(`<Relationships><Relationship Type="table=JM" Target="/` + name + `" /><Relationship Type="schema=dbo" Target="/` + name + `" /></Relationships>`)})
	read := func(data []byte) (rows []scanned, notes []string, err error) {
		s, err := openSource(data, Options{})
		if err != nil {
			return nil, nil, err
		}
		rows, err = scan(s, cisco.ScanOptions{})
		return rows, s.Notes(), err
	}
	want, notes, err := read(data)
	if err != nil || len(want) != 20 {
		t.Fatal(len(want), err)
	}
	check := func(what string, i int, data []byte) {
		got, n, err := read(data)
		if err == nil && (!reflect.DeepEqual(got, want) || !reflect.DeepEqual(n, notes)) {
			t.Errorf("%s byte %d: %d rows and no error", what, i, len(got))
		}
		var p *problem.Error
		if err != nil && (!errors.As(err, &p) || p.What == "" || p.Try == "") {
			t.Errorf("%s byte %d: %v", what, i, err)
		}
	}
	for i := range data {
		for _, bit := range []byte{0x01, 0x20, 0xff} {
			changed := bytes.Clone(data)
			changed[i] ^= bit
			check("changed", i, changed)
		}
		check("cut at", i, data[:i])
	}
}

// TestRowsBeforeDamage: rows are given, then the error says how many.
func TestRowsBeforeDamage(t *testing.T) {
	model := modelXML(tableXML("[dbo].[JM]", jm...))
	data := bacpacOf(t, model, "dbo.JM", bytes.Repeat(jmRow("x"), 30000))
	at := bytes.Index(data, []byte("PK\x01\x02")) - 40 // in the last part's compressed bytes or its checksum
	for _, i := range []int{at, at + 28} {
		changed := bytes.Clone(data)
		changed[i] ^= 0x55
		s, err := openSource(changed, Options{})
		if err != nil {
			t.Fatal(err)
		}
		rows, err := scan(s, cisco.ScanOptions{})
		var p *problem.Error
		if !errors.As(err, &p) || len(rows) == 0 || !strings.Contains(p.What, "TableData-000-00000.BCP is ") || !strings.Contains(p.What, " rows were read before") {
			t.Errorf("byte %d: %d rows, %v", i, len(rows), err)
		}
	}
}

// endless gives the same bytes again and again.
type endless struct {
	head, body string
	pos        int
}

func (e *endless) Read(p []byte) (n int, _ error) {
	for n < len(p) {
		if e.pos < len(e.head) {
			k := copy(p[n:], e.head[e.pos:])
			e.pos, n = e.pos+k, n+k
			continue
		}
		i := (e.pos - len(e.head)) % len(e.body)
		k := copy(p[n:], e.body[i:])
		e.pos, n = e.pos+k, n+k
	}
	return n, nil
}

// allocated returns how many bytes fn allocates in all.
func allocated(fn func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	fn()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}

// TestModelBounds: a model without an end is refused, in little memory.
func TestModelBounds(t *testing.T) {
	head := `<DataSchemaModel><Model>`
	for name, c := range map[string]struct {
		e    endless
		want string
	}{
		"text":  {endless{head: head + "<a>", body: "x"}, "a value of more than 16 MiB"},
		"CDATA": {endless{head: head + "<a><![CDATA[", body: "x"}, "a value of more than 16 MiB"},
		"name":  {endless{head: head + `<a b="`, body: "x"}, "a value of more than 16 MiB"},
		"depth": {endless{head: head, body: "<a>"}, "nests too deeply"},
	} {
		var err error
		if n := allocated(func() { _, err = parseModel(&c.e) }); n > 256<<20 {
			t.Errorf("%s: %d MiB", name, n>>20)
		}
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
	short := &tokenReader{r: &endless{body: "<a/>"}, total: maxModel - 100}
	_, err := io.ReadAll(short)
	if err == nil || !strings.Contains(err.Error(), "larger than 512 MiB") {
		t.Error(err)
	}
	deep := strings.Repeat("<a>", maxDepth) + strings.Repeat("</a>", maxDepth)
	if _, err := parseRels(strings.NewReader(deep)); err != nil {
		t.Error(err)
	}
	if _, err := parseRels(strings.NewReader("<a>" + deep + "</a>")); err == nil || !strings.Contains(err.Error(), "nests too deeply") {
		t.Error(err)
	}
}

// TestLengthWithoutData: a length takes no memory before its bytes are there,
// even where the archive's directory promises them.
func TestLengthWithoutData(t *testing.T) {
	f := fromParts(t, modelXML(tableXML("[dbo].[t]", "v", "nvarchar(max)")), unhex("0000000f00000000 6100"))
	f.tables[f.model.tables[0]][0].size = 1 << 40
	var err error
	if n := allocated(func() { _, err = rowsOf(f, "", "t") }); n > 1<<20 {
		t.Errorf("%d bytes", n)
	}
	wantProblem(t, err, problem.Failed, "cut off", "row 1, column v")
	// Whole rows, but fewer bytes than promised.
	f = fromParts(t, modelXML(tableXML("[dbo].[t]", "v", "int not null")), unhex("05000000"))
	f.tables[f.model.tables[0]][0].size = 8
	rows, err := rowsOf(f, "", "t")
	if wantProblem(t, err, problem.Failed, "Data/part is cut off; 1 row was read before"); len(rows) != 1 {
		t.Errorf("%q", rows)
	}
}

// TestHugeValue reads a value of many megabytes, and refuses rows that are
// larger than allowed.
func TestHugeValue(t *testing.T) {
	columns := append(slices.Clone(jm), "MESSAGE_TEXT", "nvarchar(max)")
	const n = 20 << 20 // bytes
	// One character of two bytes first, so that pairs lie across the ends of the buffer.
	value := append(append(unhex("0000400100000000 6100"), bytes.Repeat([]byte("\x3d\xd8\x00\xde"), n/4-1)...), unhex("6200")...)
	row := append(append(jmRow(null)[:len(jmRow(null))-8], value...), unhex("ffffffffffffffff")...)
	s, err := openSource(bacpacOf(t, modelXML(tableXML("[dbo].[JM]", columns...)), "dbo.JM", slices.Concat(row, row)), Options{})
	if err != nil {
		t.Fatal(err)
	}
	count := 0
	err = s.Scan(t.Context(), cisco.ScanOptions{}, func(b cisco.Batch) bool {
		var row cisco.Row
		for i := range b.Len() {
			b.Row(i, &row)
			if c := row.Cells[cisco.BodyText]; len(c) != n-2 || strings.Trim(string(c[1:n-3]), "😀") != "" || c[0] != 'a' || c[n-3] != 'b' {
				t.Errorf("%d bytes", len(c))
			}
			count++
		}
		b.Release()
		return true
	})
	if err != nil || count != 2 {
		t.Errorf("%d rows, %v", count, err)
	}
	// Two values of 160 MiB each: allowed each by itself. Nothing is there of the second.
	zeros := &endless{body: "\x00"}
	head := append(jmRow(null)[:len(jmRow(null))-8], unhex("0000000a00000000")...)
	f := fromParts(t, modelXML(tableXML("[dbo].[JM]", columns...)), nil)
	f.tables[f.model.tables[0]] = []part{{name: "Data/part", size: 1 << 40, open: func() (io.ReadCloser, error) {
		return io.NopCloser(io.MultiReader(bytes.NewReader(head), io.LimitReader(zeros, 0x0a000000), bytes.NewReader(unhex("0000000a00000000")), zeros)), nil
	}}}
	found, err := f.Rows(context.Background(), "", "JM", []string{"TO_JID"}, func([][]byte) error { return nil })
	if !found {
		t.Error("no table")
	}
	wantProblem(t, err, problem.Failed, "makes the row longer than 256 MiB")
}

// TestMemory reads 200 MB of rows, and uses no memory that grows with them.
func TestMemory(t *testing.T) {
	if testenv.Race {
		t.Skip("skipped under the race detector, where pools drop what they hold")
	}
	row := jmRow(strings.Repeat("text ", 20))
	f := fromParts(t, modelXML(tableXML("[dbo].[JM]", jm...)), nil)
	size := int64(200e6) / int64(len(row)) * int64(len(row))
	f.tables[f.model.tables[0]] = []part{{name: "Data/part", size: size, open: func() (io.ReadCloser, error) {
		return io.NopCloser(io.LimitReader(&endless{body: string(bytes.Repeat(row, 100))}, size)), nil
	}}}
	s, err := newSource(f, Options{})
	if err != nil {
		t.Fatal(err)
	}
	rows := int64(0)
	n := allocated(func() {
		err = s.Scan(t.Context(), cisco.ScanOptions{}, func(b cisco.Batch) bool { rows += int64(b.Len()); b.Release(); return true })
	})
	if err != nil || rows != size/int64(len(row)) || n > 16<<20 {
		t.Errorf("%d rows, %v, %d MiB allocated in all", rows, err, n>>20)
	}
}
