package stanza

import (
	"bytes"
	"encoding/xml"
	"errors"
	"io"
	"reflect"
	"strings"
	"testing"
	"unicode/utf8"
)

// outline is what a simple walk with encoding/xml finds: of <message/> the id,
// and the first body and thread.
type outline struct {
	id, body, thread   string
	hasBody, hasThread bool
}

// walk reads raw to its end. In a child that is wanted it takes the character
// data that is not inside further elements, as Parse does.
func walk(raw []byte) (o outline, err error) {
	d := xml.NewDecoder(bytes.NewReader(raw))
	depth, space, text := 0, "", ""
	var wanted *string
	for {
		token, err := d.Token()
		if err == io.EOF {
			return o, nil
		} else if err != nil {
			return o, err
		}
		switch token := token.(type) {
		case xml.StartElement:
			depth++
			switch {
			case depth == 1:
				space = token.Name.Space
				for _, a := range token.Attr {
					if a.Name.Space == "" && a.Name.Local == "id" {
						o.id = a.Value
					}
				}
			case depth == 2 && token.Name.Space == space && token.Name.Local == "body" && !o.hasBody:
				o.hasBody, wanted, text = true, &o.body, ""
			case depth == 2 && token.Name.Space == space && token.Name.Local == "thread" && !o.hasThread:
				// Parse looks on when the first thread is empty.
				wanted, text = &o.thread, ""
			}
		case xml.CharData:
			if depth == 2 && wanted != nil {
				text += string(token)
			}
		case xml.EndElement:
			if depth == 2 && wanted != nil {
				*wanted, wanted = text, nil
				o.hasThread = o.thread != ""
			}
			depth--
		}
	}
}

// spaces undoes the one liberty of encoding/xml: it leaves line ends and tabs
// of attribute values as they are (XML 1.0 section 3.3.3).
var spaces = strings.NewReplacer("\t", " ", "\n", " ", "\r", " ")

// FuzzParse: no panic; the strings are UTF-8; the id is the one of StartTagID;
// a used message is read into as a fresh one, and known texts change nothing. What Parse accepts encoding/xml
// accepts, and finds the same id, body and thread; and it does not matter what
// follows once the start tag is whole.
func FuzzParse(f *testing.F) {
	for _, c := range wellFormed {
		f.Add([]byte(c.raw))
	}
	for _, c := range hostile {
		f.Add([]byte(c.raw))
	}
	f.Add([]byte(ciscoStanza))
	var used Message
	f.Fuzz(func(t *testing.T, raw []byte) {
		var m Message
		err := m.Parse(raw)
		if again := used.Parse(raw); !reflect.DeepEqual(again, err) || !reflect.DeepEqual(used, m) {
			t.Fatalf("a used message: %v, %s\na fresh one: %v, %s", again, show(used), err, show(m))
		}
		known := []string{m.ID, "body", m.From}
		for _, b := range m.Bodies {
			known = append(known, b.Text)
		}
		if again := used.Parse(raw, known...); !reflect.DeepEqual(again, err) || !reflect.DeepEqual(used, m) {
			t.Fatalf("with known texts: %v, %s\nwithout: %v, %s", again, show(used), err, show(m))
		}
		if id := StartTagID(raw); id != m.ID {
			t.Fatalf("id %q and %q", id, m.ID)
		}
		checkUTF8(t, reflect.ValueOf(m))
		if err != nil {
			var e *Error
			if !errors.As(err, &e) || e.Offset < 0 || e.Offset > len(raw) || e.What == "" {
				t.Fatalf("%#v", err)
			}
			if e.What != trailing {
				return
			}
			raw = raw[:e.Offset]
		}
		o, err := walk(raw)
		if err != nil {
			// Its names are those of XML 1.0's fourth edition, which knows fewer.
			if strings.Contains(err.Error(), "invalid XML name") && !isASCII(raw) {
				return
			}
			t.Fatalf("encoding/xml: %v", err)
		}
		if spaces.Replace(o.id) != spaces.Replace(m.ID) || o.thread != m.Thread || o.hasBody != (len(m.Bodies) > 0) || o.hasBody && o.body != m.Bodies[0].Text {
			t.Fatalf("encoding/xml: %+v\nParse: %s", o, show(m))
		}
		// Cut in the middle, nothing that is still told differs.
		var half Message
		if err := half.Parse(raw[:len(raw)/2]); err == nil && !reflect.DeepEqual(half, m) {
			t.Fatal("half a stanza is whole")
		}
		if half.ID != "" && half.ID != m.ID || len(half.Bodies) > len(m.Bodies) || len(half.Bodies) > 0 && !reflect.DeepEqual(half.Bodies, m.Bodies[:len(half.Bodies)]) {
			t.Fatalf("half: %s\nwhole: %s", show(half), show(m))
		}
	})
}

func isASCII(p []byte) bool {
	return !bytes.ContainsFunc(p, func(r rune) bool { return r >= utf8.RuneSelf })
}

// checkUTF8 looks into all strings of a message.
func checkUTF8(t *testing.T, v reflect.Value) {
	switch v.Kind() {
	case reflect.String:
		if !utf8.ValidString(v.String()) {
			t.Fatalf("not UTF-8: %q", v.String())
		}
	case reflect.Pointer:
		if !v.IsNil() {
			checkUTF8(t, v.Elem())
		}
	case reflect.Slice:
		for i := range v.Len() {
			checkUTF8(t, v.Index(i))
		}
	case reflect.Struct:
		for i := range v.NumField() {
			if v.Type().Field(i).IsExported() {
				checkUTF8(t, v.Field(i))
			}
		}
	}
}
