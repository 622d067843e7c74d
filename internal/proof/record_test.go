package proof

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
	"unicode/utf8"
)

// record is a line as an export has it.
const record = `{"time":"2024-01-02T03:04:05.000Z","from":"a@example.com","to":null,"body":"he said \"status\":\"ok\", \\","recipients":["b@example.com","c@example.com"],"copies":2,"history":false,"status":"ok","reason":null,"row":"jm.csv:1"}`

func TestRecordStatus(t *testing.T) {
	for line, want := range map[string]string{
		record:                "ok",
		`{"status":"no-key"}`: "no-key",
		` { "a" : [ "x" , "y" ] , "b":[], "status" : "plain" } `: "plain",
		`{"st\u0061tus":"d\u0061maged"}`:                         "damaged",
		`{"status":"unverified","n":-1.5e300}`:                   "unverified",
		`{"status":"ok","body":"\ud800"}`:                        "ok",
		"{\"status\":\"ok\"}\r":                                  "ok",
		``:                                                       "",
		`{}`:                                                     "",
		`[]`:                                                     "",
		`"status"`:                                               "",
		`{"status":"ok"`:                                         "",
		`{"status":"ok"} {}`:                                     "",
		`{"status":"OK"}`:                                        "",
		`{"Status":"ok"}`:                                        "",
		`{"status":null}`:                                        "",
		`{"status":["ok"]}`:                                      "",
		`{"status":"ok","status":"ok"}`:                          "",
		`{"status":"ok","status":"x"}`:                           "",
		`{"status":"ok","a":{}}`:                                 "",
		`{"status":"ok","a":[1]}`:                                "",
		`{"status":"ok","a":[["x"]]}`:                            "",
		`{"status":"ok","a":NaN}`:                                "",
		"{\"status\":\"ok\",\"a\":\"\xff\"}":                     "",
		"{\"status\":\"ok\",\"a\":\"\x01\"}":                     "",
		"\ufeff{\"status\":\"ok\"}":                              "",
		strings.Repeat("[", 100_000):                             "",
		`{"status":"ok","a":` + strings.Repeat("[", 500) + strings.Repeat("]", 500) + `}`: "",
	} {
		if got, wrong := recordStatus([]byte(line)); got != want && want != "" || (wrong == "") != (want != "") {
			t.Errorf("%.80q: %q, %q, want %q", line, got, wrong, want)
		}
	}
}

// FuzzRecordStatus compares with encoding/json reading token by token.
func FuzzRecordStatus(f *testing.F) {
	f.Add([]byte(record))
	f.Add([]byte(`{"a":[ "x", "\\" ],"status":"no-key","n":1e9}`))
	f.Add([]byte(`{"status":"ok","a":{}}`))
	f.Fuzz(func(t *testing.T, line []byte) {
		got, wrong := recordStatus(line)
		want, ok := slowStatus(line)
		if (wrong == "") != ok || ok && got != want {
			t.Fatalf("%q, %q; token by token %q, %v", got, wrong, want, ok)
		}
	})
}

func slowStatus(line []byte) (status string, ok bool) {
	if !utf8.Valid(line) || !json.Valid(line) {
		return "", false
	}
	d := json.NewDecoder(bytes.NewReader(line))
	if first, _ := d.Token(); first != json.Delim('{') {
		return "", false
	}
	found := 0
	for d.More() {
		name, _ := d.Token()
		value, _ := d.Token()
		if value == json.Delim('[') {
			for d.More() {
				if item, _ := d.Token(); item == nil || !isText(item) {
					return "", false
				}
			}
			_, _ = d.Token()
		} else if value == json.Delim('{') {
			return "", false
		}
		if name == "status" {
			found++
			status, _ = value.(string)
		}
	}
	return status, found == 1 && new(ByStatus).count(status) != nil
}

func isText(v any) bool { _, ok := v.(string); return ok }
