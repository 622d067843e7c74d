package csvfile

import (
	"bytes"
	"encoding/binary"
	"encoding/csv"
	"errors"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"archivolt/internal/cisco"
	"archivolt/internal/problem"
)

// naiveRecords splits CSV byte by byte, in the most obvious and slowest way.
func naiveRecords(t []byte, sep byte, isRow func([]byte) bool) (records []string) {
	for pos := 0; pos < len(t); {
		end, ok := naiveEnd(t, pos, sep, isRow)
		if !ok {
			for end = pos; end < len(t) && t[end] != '\n'; {
				end++
			}
		}
		if text := strings.TrimSuffix(string(t[pos:end]), "\r"); text != "" {
			records = append(records, text)
		}
		pos = end + 1
	}
	return records
}

// naiveEnd finds the end of the record at pos. ok is false if a quote in it is
// not closed.
func naiveEnd(t []byte, pos int, sep byte, isRow func([]byte) bool) (end int, ok bool) {
	for start := true; pos < len(t) && t[pos] != '\n'; {
		if start && t[pos] == '"' {
			closing := pos + 1
			for closing < len(t) {
				if t[closing] == '"' {
					if closing+1 == len(t) || t[closing+1] != '"' {
						break
					}
					closing++
				}
				closing++
			}
			line, next, two := bytes.Cut(t[pos:], []byte("\n"))
			if next, _, _ = bytes.Cut(next, []byte("\n")); closing > pos+len(line) && two && isRow != nil && isRow(bytes.TrimSuffix(next, cr)) {
				return 0, false
			}
			if closing == len(t) {
				return 0, false
			}
			rest := string(t[closing+1 : min(closing+3, len(t))])
			switch {
			case rest == "", rest == "\r", rest[0] == sep, rest[0] == '\n', rest == "\r\n":
				pos = closing + 1
			case bytes.IndexByte(t[pos:closing], '\n') >= 0:
				return 0, false
			default:
				pos++
			}
			start = false
			continue
		}
		start = t[pos] == sep
		pos++
	}
	return pos, true
}

// fuzzHeaders come before the fuzzer's rows, since it would hardly find one.
var fuzzHeaders = []string{"", "to_jid,from_jid,sent_date,body_text\n", "to_jid;\"from_jid\";sent_date;body_text\r\n",
	"to_jid\tfrom_jid\tsent_date\tbody_text\n", "to_jid\tfrom_jid\tsent_date\tbody_text\na\tb\t\\N\tc\n",
	"to_jid|from_jid|sent_date|body_text\n-|-|-|-\n", "to_jid from_jid sent_date  body_text\n------ -------- ---------- ---------\n",
	string(utf16Bytes("\ufeffto_jid,from_jid,sent_date,body_text\n", binary.LittleEndian))}

// FuzzRead: no panic; an error is a problem; the size of batches changes
// nothing, and each record is the same when read again; CSV has the records
// that a slow and obvious reader finds; nothing lies between records but line
// ends, and the header that sqlcmd repeats.
func FuzzRead(f *testing.F) {
	for _, c := range dialectCases {
		if len(c.data) < 10000 {
			f.Add([]byte(c.data), uint8(0), uint16(0))
		}
	}
	for i := range fuzzHeaders {
		for _, rows := range []string{"a,\"b\nc\n\"d\",e\n", "\"\"\"\n\"\n", "x\",\"y\n\n\"z", "\"a\"\r\n\"b\r\n\"\r", strings.Repeat("x\",\"y\n", 30),
			"a,\"b,2024-05-06,c\na,b,2024-05-06,\"c\n", "a\tb\t\\N\t\\n\n", "anna   ben      2024-05-06 \xf0\x9f\x98\x80       \n\n(1 row affected)"} {
			f.Add([]byte(rows), uint8(i), uint16(20))
		}
	}
	f.Fuzz(func(t *testing.T, data []byte, header uint8, limit uint16) {
		h := fuzzHeaders[int(header)%len(fuzzHeaders)]
		data = append([]byte(h), data...)
		if strings.HasPrefix(h, "\xff\xfe") && limit%2 == 0 { // else the rows are UTF-16 already
			data = append([]byte(h), utf16Bytes(string(data[len(h):]), binary.LittleEndian)...)
		}
		// Larger than what the fuzzer makes, and faster than an ordinary batch.
		const large = 64 << 10
		file, err := openBytes(data)
		if err != nil {
			var p *problem.Error
			if !errors.As(err, &p) || p.Class != problem.Failed || p.What == "" || p.Try == "" {
				t.Fatalf("no problem: %v", err)
			}
			return
		}
		rows, places, err := readAll(t, file, large)
		if err != nil {
			t.Fatal(err)
		}
		sameInBatches(t, file, rows, places, nil)
		checkGaps(t, file, data, places)
		if file.dialect.quotes() && file.encoding == utf8Text {
			want := naiveRecords(data[file.begin:file.end], file.dialect.Separator, file.Records().isRow)
			if !slices.EqualFunc(places, want, func(p place, text string) bool { return p.text == text }) {
				t.Fatalf("%d records, the slow reader has %d", len(places), len(want))
			}
		}
		file.maxRecord = int(limit) + 1
		rows, places, err = readAll(t, file, large)
		sameInBatches(t, file, rows, places, err)
	})
}

// sameInBatches reads with small batches what was read with large ones.
func sameInBatches(t *testing.T, f *File, rows []readRow, places []place, wantErr error) {
	for _, size := range []int{7, 61} {
		again, where, err := readAll(t, f, size)
		if !slices.Equal(again, rows) || !slices.Equal(where, places) {
			t.Fatalf("batches of %d: %d rows, want %d", size, len(again), len(rows))
		}
		if (err == nil) != (wantErr == nil) || err != nil && err.Error() != wantErr.Error() {
			t.Fatalf("batches of %d: error %v, want %v", size, err, wantErr)
		}
	}
}

// checkGaps looks at what no record holds.
func checkGaps(t *testing.T, f *File, data []byte, places []place) {
	pos := f.begin
	for _, p := range append(slices.Clone(places), place{offset: f.end}) {
		if p.offset < pos {
			t.Fatalf("a record at %d, where the last one ends at %d", p.offset, pos)
		}
		gap := data[pos:p.offset]
		if f.encoding != utf8Text {
			gap, _ = f.encoding.decode(nil, gap, true)
		}
		if f.dialect.SQLCmd {
			for _, line := range bytes.Split(gap, []byte("\n")) {
				if line = bytes.TrimSuffix(line, cr); len(line) > 0 && !bytes.Equal(line, f.header) && !bytes.Equal(line, f.underline) {
					t.Fatalf("%d bytes at %d are lost", len(gap), pos)
				}
			}
		} else if len(bytes.Trim(gap, "\r\n")) > 0 {
			t.Fatalf("%d bytes at %d are lost", len(gap), pos)
		}
		pos = p.offset + int64(p.length)
	}
}

// TestAgainstSlowReader makes many quotes, in files with quoted cells and
// without.
func TestAgainstSlowReader(t *testing.T) {
	piece := rapid.SampledFrom([]string{`"`, `"`, `""`, `,"`, `",`, `","`, ",", "\n", "\n", "\r\n", "\r", "x", "a,b,2024-05-06,c\n", "\na,\"b,2024-05-06,c\n"})
	rapid.Check(t, func(t *rapid.T) {
		data := []byte("to_jid,from_jid,sent_date,body_text\n" + strings.Join(rapid.SliceOf(piece).Draw(t, "rows"), ""))
		f, err := openBytes(data)
		if err != nil {
			t.Fatal(err)
		}
		for _, quoted := range []bool{false, true} {
			f.dialect.Quoted = quoted
			f.batchSize = rapid.IntRange(1, 60).Draw(t, "batch")
			var got []string
			for s := f.Records(); ; {
				b, err := s.Next()
				if err != nil {
					break
				}
				for _, rec := range b.Records {
					got = append(got, string(rec.Text))
				}
				b.Release()
			}
			if want := naiveRecords(data[f.begin:f.end], ',', f.Records().isRow); !slices.Equal(got, want) {
				t.Fatalf("quoted %v: records %q, want %q", quoted, got, want)
			}
		}
	})
}

// TestWrittenByEncodingCSV reads back tables that encoding/csv wrote, with any
// order of columns, separator, encoding and line end.
func TestWrittenByEncodingCSV(t *testing.T) {
	cell := rapid.OneOf(rapid.StringMatching(`[a-zA-Z+/=]{0,12}`), rapid.StringOf(rapid.RuneFrom([]rune("a\"\",;\t|\r\n ä€😀\x00'(){}\\N"))),
		rapid.String(), rapid.SampledFrom([]string{"NULL", "", `"`, "=1+1"}))
	rapid.Check(t, func(t *rapid.T) {
		order := rapid.Permutation(cisco.ColumnNames()).Draw(t, "order")
		var out bytes.Buffer
		w := csv.NewWriter(&out)
		w.Comma = rapid.SampledFrom([]rune(",;|\t")).Draw(t, "separator")
		w.UseCRLF = rapid.Bool().Draw(t, "CR LF")
		if err := w.Write(order); err != nil {
			t.Fatal(err)
		}
		var want []readRow
		for range rapid.IntRange(0, 8).Draw(t, "rows") {
			r := short("") // what a file of JM does not have is NULL
			record := make([]string, len(order))
			for i, name := range order {
				text := strings.ToValidUTF8(cell.Draw(t, name), "?")
				if strings.Contains(text, `\N`) || strings.HasSuffix(text, ")") {
					text = "x" // another dialect, or a count of rows
				}
				record[i] = text
				switch {
				case text == "" || text == "NULL":
					text = null
				case w.UseCRLF && strings.ContainsAny(text, "\"\r\n"+string(w.Comma)):
					text = strings.ReplaceAll(strings.ReplaceAll(text, "\r", ""), "\n", "\r\n")
				}
				r.Cells[cisco.ColumnNamed(name)] = text
			}
			if err := w.Write(record); err != nil {
				t.Fatal(err)
			}
			want = append(want, r)
		}
		w.Flush()
		data := out.Bytes()
		switch rapid.SampledFrom([]string{"plain", "mark", "little", "big"}).Draw(t, "encoding") {
		case "mark":
			data = append([]byte("\ufeff"), data...)
		case "little":
			data = utf16Bytes("\ufeff"+string(data), binary.LittleEndian)
		case "big":
			data = utf16Bytes("\ufeff"+string(data), binary.BigEndian)
		}
		f, err := openBytes(data)
		if err != nil {
			t.Fatal(err)
		}
		for _, size := range []int{batchSize, rapid.IntRange(1, 200).Draw(t, "batch")} {
			f.batchSize = size
			got := 0
			for s := f.Records(); ; {
				b, err := s.Next()
				if err != nil {
					break
				}
				for i := range b.Records {
					if row := split1(f, &b.Records[i], b.First+int64(i)); got >= len(want) || row != want[got] {
						t.Fatalf("batches of %d, row %d: %q", size, got+1, row)
					}
					got++
				}
				b.Release()
			}
			if got != len(want) {
				t.Fatalf("batches of %d: %d rows, want %d", size, got, len(want))
			}
		}
	})
}
