package bacpac

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"archivolt/internal/cisco"
	"archivolt/internal/cisco/sample"
	"archivolt/internal/cisco/sourcetest"
	"archivolt/internal/problem"
)

// jm are the columns that a table JM needs at least.
var jm = []string{"TO_JID", "nvarchar(3071) not null", "FROM_JID", "nvarchar(3071) not null", "SENT_DATE", "datetime not null", "BODY_TEXT", "nvarchar(max)"}

// jmRow is a row of them: a, b, 2003-02-01 11:22:33.123 and a body.
func jmRow(body string) []byte {
	b := "0200 6100 0200 6200 13930000f177bb00 ffffffffffffffff"
	if body != null {
		b = strings.TrimSuffix(b, "ffffffffffffffff") + fmt.Sprintf("%02x00000000000000", 2*len(body)) + utf16Hex(body)
	}
	return unhex(b)
}

func openSource(data []byte, o Options) (*Source, error) {
	f, err := openBytes(data)
	if err != nil {
		return nil, err
	}
	return newSource(f, o)
}

// sampleRows makes an archive's rows, all of its kinds.
func sampleRows(utterances int) []sample.Row {
	rows := sample.New(sample.Options{Seed: 7, Utterances: utterances}).Rows
	rows[0].Cells[9], rows[0].Cells[11] = sample.NULL, "long 😀 "+strings.Repeat("text äß中 ", 30000) // more than a buffer
	rows[1].Cells[9] = ""
	return rows
}

// TestSample reads what the sample's writer, which shares no code with this
// package, made of rows.
func TestSample(t *testing.T) {
	rows := sampleRows(3000) // more than one part
	path := filepath.Join(t.TempDir(), "a.bacpac")
	var b bytes.Buffer
	if err := sample.WriteBacpac(&b, rows); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, b.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	s, err := Open(path, Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if n := len(s.file.tables[s.table]); n < 2 {
		t.Fatalf("%d parts", n)
	}
	if got := s.Describe(); got != "bacpac, table dbo.JM, from Microsoft SQL Server 2019 (a sample), exported 2024-06-01" {
		t.Error(got)
	}
	if len(s.Notes()) > 0 {
		t.Errorf("notes %q", s.Notes())
	}
	for _, o := range []cisco.ScanOptions{{}, {BatchBytes: 1}, {BatchBytes: 5000, Short: true}} {
		got, err := scan(s, o)
		if err != nil || len(got) != len(rows) {
			t.Fatalf("%d rows, want %d, %v", len(got), len(rows), err)
		}
		size := int64(0)
		for i, r := range got {
			size += r.size
			if r.number != int64(i+1) || r.problem != "" {
				t.Fatalf("row %d: number %d, problem %q", i+1, r.number, r.problem)
			}
			short := false
			for c, cell := range rows[i].Cells {
				want := strings.Replace(cell, sample.NULL, null, 1)
				if o.Short && c >= int(cisco.BodyString) && c <= int(cisco.MessageText) {
					if chars := []rune(want); len(chars) > cisco.ShortChars {
						want, short = string(chars[:cisco.ShortChars]), true
					}
				}
				if r.cells[c] != want {
					t.Fatalf("row %d, %s: %.100q, want %.100q", i+1, cisco.Column(c), r.cells[c], want)
				}
			}
			if r.short != short {
				t.Fatalf("row %d: short %v", i+1, r.short)
			}
		}
		if ratio := float64(size) / float64(s.Size()); !o.Short && (ratio < 0.8 || ratio > 1.25) {
			t.Errorf("the rows' sizes are %d, Size is %d", size, s.Size())
		}
	}
}

// TestColumns: names in any letter case and order, missing and further ones,
// computed ones that are not in the data.
func TestColumns(t *testing.T) {
	model := modelXML(tableXML("[im].[Jm]", "id", "bigint not null", "sent_date", "datetime2(3)", "sum", "computed", "Body_String", "nvarchar(4000)",
		"to_jid", "[dbo].[address]", "from_jid", "varchar(50)", "version", "timestamp not null"), aliases)
	row := unhex("0100000000000000 08" + "80e2e3595f6e280b" + "0000 0200 6100 0200 6200 0800 0000000000000001")
	s, err := openSource(bacpacOf(t, model, "im.Jm", row), Options{})
	if err != nil {
		t.Fatal(err)
	}
	if want := []string{"lacks the columns SUBJECT, THREAD_ID, MSG_TYPE, DIRECTION, BODY_LEN, MESSAGE_LEN, MESSAGE_STRING, BODY_TEXT, MESSAGE_TEXT and HISTORY_FLAG",
		"has 2 columns that are not the archiver's, which are ignored"}; !reflect.DeepEqual(s.Notes(), want) {
		t.Errorf("%q", s.Notes())
	}
	rows, err := scan(s, cisco.ScanOptions{})
	want := scanned{number: 1, size: 25}
	for c := range want.cells {
		want.cells[c] = null
	}
	want.cells[cisco.ToJID], want.cells[cisco.FromJID], want.cells[cisco.SentDate], want.cells[cisco.BodyString] = "a", "b", "2003-02-01 11:22:33.000", ""
	if err != nil || len(rows) != 1 || rows[0] != want {
		t.Errorf("%+v, %v", rows, err)
	}
}

func TestChoice(t *testing.T) {
	two := modelXML(tableXML("[dbo].[JM]", jm...), tableXML("[old].[jm]", jm...), tableXML("[dbo].[few]", "TO_JID", "int"),
		tableXML("[dbo].[twice]", append(slices.Clone(jm), "to_jid", "int")...))
	data := pack(t, entry{"model.xml", []byte(two)}, entry{"Data/dbo.JM/TableData-000-00000.BCP", jmRow("new")}, entry{"Data/old.jm/TableData-000-00000.BCP", jmRow("old")})
	for _, o := range []Options{{Schema: "OLD"}, {Schema: "old", Table: "JM"}} {
		s, err := openSource(data, o)
		if err != nil {
			t.Fatal(err)
		}
		rows, err := scan(s, cisco.ScanOptions{})
		if err != nil || len(rows) != 1 || rows[0].cells[cisco.BodyText] != "old" {
			t.Errorf("%+v: %+v, %v", o, rows, err)
		}
	}
	// Two tables in two schemas, one of which has exactly the name: still nobody knows which is meant.
	both := modelXML(tableXML("[dbo].[JM]", jm...), tableXML("[old].[JM]", jm...))
	_, err := openSource(bacpacOf(t, both, "dbo.JM", jmRow("x")), Options{})
	wantProblem(t, err, problem.Usage, "JM 2 times", "dbo.JM, old.JM")
	_, err = openSource(data, Options{})
	wantProblem(t, err, problem.Usage, "dbo.JM, old.jm")
	_, err = openSource(data, Options{Schema: "other"})
	wantProblem(t, err, problem.Failed, "no table other.JM")
	_, err = openSource(data, Options{Table: "few"})
	wantProblem(t, err, problem.Failed, "this table lacks the columns FROM_JID, SENT_DATE and BODY_STRING")
	_, err = openSource(data, Options{Table: "twice"})
	wantProblem(t, err, problem.Failed, "TO_JID twice")
	// A type in JM that is not known, in a column that is not needed: what follows it cannot be found.
	odd := modelXML(tableXML("[dbo].[JM]", append(slices.Clone(jm), "x", "sql_variant")...))
	_, err = openSource(bacpacOf(t, odd, "dbo.JM", jmRow("x")), Options{})
	wantProblem(t, err, problem.Failed, "column x", "sql_variant")
}

func TestTable(t *testing.T) {
	model := modelXML(tableXML("[dbo].[JM]", jm...), tableXML("[dbo].[TC_ROOMS]", "ROOM_JID", "nvarchar(10) not null", "START", "bigint"),
		tableXML("[x].[tc_rooms]", "ROOM_JID", "nvarchar(10)"), tableXML("[x].[AFT_LOG]", "JID", "nvarchar(9)"))
	s, err := openSource(pack(t, entry{"model.xml", []byte(model)}, entry{"Data/dbo.JM/TableData-000-00000.BCP", jmRow("x")},
		entry{"Data/dbo.TC_ROOMS/TableData-001-00000.BCP", unhex("0200 7200 ff" + "0000 08 0500000000000000")}), Options{})
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	keep := func(cells [][]byte) error {
		for _, c := range cells {
			got = append(got, fmt.Sprintf("%q %v", c, c == nil))
		}
		return nil
	}
	found, err := s.Table(t.Context(), "tc_rooms", []string{"start", "room_jid", "none"}, keep)
	if want := []string{`"" true`, `"r" false`, `"" true`, `"5" false`, `"" false`, `"" true`}; !found || err != nil || !slices.Equal(got, want) {
		t.Errorf("%v, %v, %q", found, err, got)
	}
	got = nil
	if found, err := s.Table(t.Context(), "AFT_LOG", []string{"jid"}, keep); !found || err != nil || got != nil {
		t.Errorf("an empty table: %v, %v, %q", found, err, got)
	}
	if found, err := s.Table(t.Context(), "TC_USERS", []string{"x"}, keep); found || err != nil {
		t.Errorf("no table: %v, %v", found, err)
	}
	stop := errors.New("stop")
	if found, err := s.Table(t.Context(), "TC_ROOMS", nil, func(cells [][]byte) error { return stop }); !found || !errors.Is(err, stop) {
		t.Errorf("%v, %v", found, err)
	}
}

// TestParts: several parts in the order of their numbers, and archives that
// lack one.
func TestParts(t *testing.T) {
	model := entry{"model.xml", []byte(modelXML(tableXML("[dbo].[JM]", jm...)))}
	part := func(name, body string) entry { return entry{"Data/dbo.JM/" + name, jmRow(body)} }
	s, err := openSource(pack(t, part("TableData-001-00002.BCP", "d"), model, part("TableData-000-00010.BCP", "b"), part("TableData-001-00000.bcp", "c"),
		part("TableData-000-00009.BCP", "a"), entry{"Data/dbo.JM/TableData-002-00000.BCP", nil}, entry{"Data/", nil}), Options{})
	if err != nil {
		t.Fatal(err)
	}
	rows, err := scan(s, cisco.ScanOptions{})
	got := ""
	for _, r := range rows {
		got += r.cells[cisco.BodyText]
	}
	if err != nil || got != "abcd" {
		t.Errorf("%q, %v", got, err)
	}
	if len(s.Notes()) != 2 || !strings.Contains(s.Notes()[1], "a gap") {
		t.Errorf("%q", s.Notes())
	}
	rels := func(target, table string) entry {
		return entry{"_rels/.rels", []byte(`<Relationships><Relationship Type="table=` + table + `" Target="` + target + `" Id="1" /><Relationship Type="schema=dbo" Target="` +
			target + `" Id="2" /><Relationship Type="http://x/other" Target="/y" /></Relationships>`)}
	}
	good := "/Data/dbo.JM/TableData-000-00000.BCP"
	for name, c := range map[string]struct {
		entries []entry
		words   []string // of the problem; none for success
	}{
		"by relationships": {[]entry{model, rels("/Data/strange/TableData-000-00000.BCP", "JM"), {"Data/strange/TableData-000-00000.BCP", jmRow("x")}}, nil},
		"a part lacks":     {[]entry{model, rels(good, "JM"), part("TableData-000-00001.BCP", "x")}, []string{"lacks a part with rows", "TableData-000-00000.BCP"}},
		"stranger":         {[]entry{model, rels(good, "JN"), part("TableData-000-00000.BCP", "x")}, []string{"a table that its model does not have"}},
		"no folder's table": {[]entry{model, part("TableData-000-00000.BCP", "x"), {"Data/dbo.other/TableData-000-00000.BCP", nil}},
			[]string{"a table that its model does not have", "dbo.other"}},
		"unknown part": {[]entry{model, part("TableData-000.BCP", "x")}, []string{"data that is not understood", "TableData-000.BCP"}},
		"outside":      {[]entry{model, part("TableData-000-00000.BCP", "x"), {"Date/dbo.JM/TableData-000-00001.BCP", nil}}, []string{"not understood", "Date/dbo.JM"}},
		"two folders":  {[]entry{model, part("TableData-000-00000.BCP", "x"), {"Data/[dbo].[JM]/TableData-000-00001.BCP", nil}}, []string{"two folders", "dbo.JM"}},
		"twice":        {[]entry{model, part("TableData-000-00000.BCP", "x"), part("TableData-000-00000.BCP", "x")}, []string{"twice"}},
		"bad rels":     {[]entry{model, {"_rels/.rels", []byte("<a")}, part("TableData-000-00000.BCP", "x")}, []string{"_rels/.rels is no valid XML"}},
	} {
		s, err := openSource(pack(t, c.entries...), Options{})
		if c.words != nil {
			wantProblem(t, err, problem.Failed, c.words...)
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if rows, err := scan(s, cisco.ScanOptions{}); err != nil || len(rows) != 1 {
			t.Errorf("%s: %d rows, %v", name, len(rows), err)
		}
	}
}

// TestFolders: names of tables in part names, percent-encoded or not, with no
// relationships to help.
func TestFolders(t *testing.T) {
	for _, c := range []struct{ table, folder string }{
		{"[dbo].[JM]", "dbo.JM"}, {"[dbo].[JM]", "DBO.jm"}, {"[a b].[Größe]", "a%20b.Gr%C3%B6%C3%9Fe"}, {"[a b].[c]", "a b.c"}, {"[a%20b].[c]", "a%20b.c"},
		{"[a b].[c]", "a%2520b.c"}, {"[x.y].[z]]]", "x.y.z]"}, {"[x.y].[z]]]", "[x.y].[z]]]"}, {"[a/b].[c]", "a%2Fb.c"},
	} {
		f, err := openBytes(bacpacOf(t, modelXML(tableXML(c.table, "v", "int not null")), c.folder, unhex("05000000")))
		if err != nil {
			t.Errorf("%v: %v", c, err)
			continue
		}
		info := f.Tables()[0]
		if rows, err := rowsOf(f, info.Schema, info.Name); err != nil || !reflect.DeepEqual(rows, [][]string{{"5"}}) {
			t.Errorf("%v: %q, %v", c, rows, err)
		}
	}
	// A database that tells JM from jm.
	f, err := openBytes(pack(t, entry{"model.xml", []byte(modelXML(tableXML("[d].[T]", "v", "int not null"), tableXML("[d].[t]", "v", "int not null")))},
		entry{"Data/d.t/TableData-000-00000.BCP", unhex("05000000")}, entry{"Data/d.T/TableData-000-00000.BCP", unhex("06000000")}))
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{"t": "5", "T": "6"} {
		if rows, err := rowsOf(f, "d", name); err != nil || rows[0][0] != want {
			t.Errorf("%s: %q, %v", name, rows, err)
		}
	}
}

// TestBadValueInScan: a value that its type cannot have costs its row alone.
func TestBadValueInScan(t *testing.T) {
	bad := bytes.Replace(jmRow("x"), unhex("13930000f177bb00"), unhex("13930000ffffffff"), 1)
	s, err := openSource(bacpacOf(t, modelXML(tableXML("[dbo].[JM]", jm...)), "dbo.JM", slices.Concat(jmRow("a"), bad, jmRow("b"))), Options{})
	if err != nil {
		t.Fatal(err)
	}
	rows, err := scan(s, cisco.ScanOptions{})
	if err != nil || len(rows) != 3 || rows[0].problem != "" || rows[1].problem != "the column SENT_DATE has a value that its type does not have" ||
		rows[1].cells[cisco.BodyText] != "x" || rows[2].problem != "" || rows[2].cells[cisco.SentDate] != "2003-02-01 11:22:33.123" {
		t.Errorf("%+v, %v", rows, err)
	}
}

func TestStopping(t *testing.T) {
	s, err := openSource(bacpacOf(t, modelXML(tableXML("[dbo].[JM]", jm...)), "dbo.JM", bytes.Repeat(jmRow(null), 20000)), Options{})
	if err != nil {
		t.Fatal(err)
	}
	batches := 0
	if err := s.Scan(t.Context(), cisco.ScanOptions{BatchBytes: 100}, func(b cisco.Batch) bool { batches++; b.Release(); return batches < 3 }); err != nil || batches != 3 {
		t.Errorf("%d batches, %v", batches, err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	err = s.Scan(ctx, cisco.ScanOptions{BatchBytes: 100}, func(b cisco.Batch) bool { cancel(); b.Release(); return true })
	if !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
	most := 0
	if err := s.Scan(t.Context(), cisco.ScanOptions{BatchBytes: 1 << 30}, func(b cisco.Batch) bool { most = max(most, b.Len()); b.Release(); return true }); err != nil || most != batchRows {
		t.Errorf("batches of %d rows, %v", most, err)
	}
}

// TestRefusals: what is no bacpac is named.
func TestRefusals(t *testing.T) {
	dir := t.TempDir()
	_, err := Open(filepath.Join(dir, "none"), Options{})
	if !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no file: %v", err)
	}
	_, err = Open(dir, Options{})
	wantProblem(t, err, problem.Failed, "this is a folder")
	model := entry{"model.xml", []byte(modelXML(tableXML("[dbo].[JM]", jm...)))}
	good := bacpacOf(t, string(model.data), "dbo.JM", jmRow("x"))
	locked := bytes.Clone(good)
	at := bytes.Index(locked, []byte("PK\x01\x02")) // the first entry of the directory: its flags are at 8
	locked[at+8] |= 1
	method := bytes.Clone(good)
	method[at+10] = 9
	for name, c := range map[string]struct {
		data  []byte
		words []string
	}{
		"empty":        {nil, []string{"empty"}},
		"dacpac":       {pack(t, model, entry{"Origin.xml", []byte("<DacOrigin><PackageProperties><ContainsExportedData>false</ContainsExportedData></PackageProperties></DacOrigin>")}), []string{"dacpac", "no rows"}},
		"dacpac 2":     {pack(t, model), []string{"dacpac"}},
		"zip":          {pack(t, entry{"a.txt", nil}), []string{"a zip archive, but no bacpac", "no model.xml"}},
		"nothing":      {pack(t), []string{"no model.xml"}},
		"inside":       {pack(t, entry{"x/a.BACPAC", nil}), []string{"with a bacpac in it"}},
		"folder":       {pack(t, entry{"x/model.xml", nil}), []string{"in a folder"}},
		"xlsx":         {pack(t, entry{"[Content_Types].xml", nil}, entry{"xl/workbook.xml", nil}), []string{"Excel"}},
		"docx":         {pack(t, entry{"word/document.xml", nil}), []string{"Word"}},
		"encrypted":    {locked, []string{"encrypted with a password"}},
		"method":       {method, []string{"model.xml is compressed in a way"}},
		"cut":          {good[:len(good)-30], []string{"damaged or incomplete"}},
		"volumes":      {append([]byte("PK\x07\x08"), good...), []string{"several volumes"}},
		"bak":          {[]byte("TAPE\x00\x00\x03\x00"), []string{"a backup of SQL Server"}},
		"bak 2":        {[]byte("MSSQLBAK\x02"), []string{"a compressed backup of SQL Server"}},
		"gzip":         {[]byte("\x1f\x8b\x08"), []string{"gzip"}},
		"csv":          {[]byte("to_jid,from_jid\nä,b\n"), []string{"this is text"}},
		"csv, UTF-16":  {[]byte("\xff\xfea\x00"), []string{"this is text"}},
		"binary":       {[]byte("\x00\x01\x02"), []string{"does not begin as a zip archive"}},
		"no XML":       {bacpacOf(t, "<DataSchemaModel><Model>", "dbo.JM", nil), []string{"model.xml is no valid XML at line 1"}},
		"other XML":    {bacpacOf(t, "<a/>", "dbo.JM", nil), []string{"root is not DataSchemaModel"}},
		"empty model":  {bacpacOf(t, "", "dbo.JM", nil), []string{"model.xml is empty"}},
		"table's name": {bacpacOf(t, modelXML(tableXML("JM")), "dbo.JM", nil), []string{"a table with the name JM"}},
		"length":       {bacpacOf(t, modelXML(tableXML("[dbo].[JM]", "a", "varchar(-1)")), "dbo.JM", nil), []string{"the Length -1 at column a"}},
	} {
		path := filepath.Join(dir, strings.ReplaceAll(name, ",", ""))
		if err := os.WriteFile(path, c.data, 0o600); err != nil {
			t.Fatal(err)
		}
		s, err := Open(path, Options{})
		if err == nil {
			s.Close()
			t.Errorf("%s is read", name)
			continue
		}
		wantProblem(t, err, problem.Failed, c.words...)
	}
	// An export of a database whose tables are empty is no dacpac.
	s, err := openSource(bacpacOf(t, string(model.data), "dbo.JM"), Options{})
	if err != nil {
		t.Fatal(err)
	}
	if rows, err := scan(s, cisco.ScanOptions{}); err != nil || len(rows) != 0 {
		t.Errorf("%d rows, %v", len(rows), err)
	}
}

// TestChangedModel: people edit models; that is only noted.
func TestChangedModel(t *testing.T) {
	model := modelXML(tableXML("[dbo].[JM]", jm...))
	for origin, want := range map[string]string{
		`<DacOrigin><Checksums><Checksum Uri="/model.xml">` + strings.Repeat("0A", 32) + `</Checksum></Checksums></DacOrigin>`: "changed after the export",
		`<DacOrigin>`: "an Origin.xml that cannot be read",
	} {
		f, err := openBytes(pack(t, entry{"model.xml", []byte(model)}, entry{"Origin.xml", []byte(origin)}, entry{"Data/dbo.JM/TableData-000-00000.BCP", jmRow("x")}))
		if err != nil || len(f.notes) != 1 || !strings.Contains(f.notes[0], want) {
			t.Errorf("%v, %v", f, err)
		}
	}
}

// TestConformance: a bacpac does what every source must.
func TestConformance(t *testing.T) {
	sourcetest.Run(t, func(t *testing.T, rows []sample.Row) sourcetest.Table {
		path := filepath.Join(t.TempDir(), "tcmadb.bacpac")
		file, err := os.Create(path)
		if err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(sample.WriteBacpac(file, rows), file.Close()); err != nil {
			t.Fatal(err)
		}
		s, err := Open(path, Options{})
		if err != nil {
			t.Fatal(err)
		}
		return s
	})
}
