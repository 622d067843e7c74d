package export

import (
	"bytes"
	"testing"
)

// TestGoldenRecords writes the golden conversation as JSONL and CSV.
func TestGoldenRecords(t *testing.T) {
	var jsonl, csv bytes.Buffer
	lines, cells := NewJSONL(&jsonl), NewCSV(&csv, false)
	for _, u := range goldenConversation() {
		r := Utterance(u)
		for _, w := range []interface{ Write(*Record) error }{lines, cells} {
			if err := w.Write(&r); err != nil {
				t.Fatal(err)
			}
		}
	}
	for _, w := range []interface{ Close() error }{lines, cells} {
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
	}
	golden(t, "golden/messages.jsonl", jsonl.Bytes())
	golden(t, "golden/messages.csv", csv.Bytes())
}
