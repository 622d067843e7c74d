package sample

import (
	"archive/zip"
	"bytes"
	"encoding/hex"
	"io"
	"strings"
	"testing"
)

// bacpacRow is a row with a cell of every kind.
func bacpacRow() Row {
	return Row{Cells: [14]string{"a@b", "😀", "2003-02-01 11:22:33.123", NULL, "", "c", "I", "12", "-1", "ä", NULL, NULL, "test", "N"}}
}

// TestWriteBacpac compares a row with bytes put together by hand: lengths from
// Microsoft's table of bcp's prefixes, datetime2 as docs/format/bacpac.md says,
// and nvarchar(max) as it lies in a file that SqlPackage wrote
// (08 00 00 00 00 00 00 00 74 00 65 00 73 00 74 00).
func TestWriteBacpac(t *testing.T) {
	want := "0600" + "610040006200" + // TO_JID nvarchar
		"0400" + "3dd800de" + // FROM_JID, a surrogate pair
		"30a7f6595f" + "6e280b" + // SENT_DATE: 409531230000 units of 100 ns, day 731246
		"ffff" + // SUBJECT NULL
		"0000" + // THREAD_ID empty
		"0200" + "6300" + "0200" + "4900" + // MSG_TYPE, DIRECTION
		"0c000000" + "ffffffff" + // BODY_LEN, MESSAGE_LEN
		"0200" + "e400" + "ffff" + // BODY_STRING, MESSAGE_STRING
		"ffffffffffffffff" + // BODY_TEXT NULL
		"0800000000000000" + "7400650073007400" + // MESSAGE_TEXT
		"0200" + "4e00" // HISTORY_FLAG
	var b bytes.Buffer
	if err := WriteBacpac(&b, []Row{bacpacRow(), bacpacRow()}); err != nil {
		t.Fatal(err)
	}
	r, err := zip.NewReader(bytes.NewReader(b.Bytes()), int64(b.Len()))
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, f := range r.File {
		names = append(names, f.Name)
		if !strings.HasSuffix(f.Name, ".BCP") {
			continue
		}
		part, err := f.Open()
		if err != nil {
			t.Fatal(err)
		}
		data, err := io.ReadAll(part)
		if got := hex.EncodeToString(data); err != nil || got != want+want {
			t.Errorf("%s, %v\nwant twice\n%s", got, err, want)
		}
	}
	if got := strings.Join(names, " "); got != "model.xml DacMetadata.xml Data/dbo.JM/TableData-000-00000.BCP _rels/.rels Origin.xml [Content_Types].xml" {
		t.Error(got)
	}
	for what, change := range map[string]func(*Row){"NULL": func(r *Row) { r.Cells[0] = NULL }, "too long": func(r *Row) { r.Cells[13] = "NN" },
		"no number": func(r *Row) { r.Cells[7] = "x" }, "no date": func(r *Row) { r.Cells[2] = "x" }} {
		row := bacpacRow()
		change(&row)
		if err := WriteBacpac(io.Discard, []Row{bacpacRow(), row}); err == nil || !strings.HasPrefix(err.Error(), "row 2, ") {
			t.Errorf("%s: %v", what, err)
		}
	}
}
