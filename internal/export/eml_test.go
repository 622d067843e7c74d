package export

import (
	"bytes"
	"errors"
	"net/mail"
	"strings"
	"testing"
	"time"
)

func emlFile(t testing.TB, s *Slice, look Look) []byte {
	return oneFile(t, s, func(dir Folder) error {
		w := NewEML(dir, look)
		return errors.Join(w.Write(s), w.Close())
	})
}

// TestEML: the golden conversation, read by Python and net/mail, and reviewed files.
func TestEML(t *testing.T) {
	look := goldenLook(t)
	var raw [][]byte
	list := goldenSlices(t)
	for _, s := range list {
		raw = append(raw, emlFile(t, s, look))
		golden(t, "golden/eml/"+s.Name()+".eml", raw[len(raw)-1])
		if !bytes.Equal(raw[len(raw)-1], emlFile(t, s, look)) {
			t.Error("the same slice gives other bytes")
		}
	}
	for i, p := range readMail(t, raw...) {
		checkEML(t, &p, list[i])
	}
	m, err := mail.ReadMessage(bytes.NewReader(raw[2]))
	if err != nil {
		t.Fatal(err)
	}
	from, err := m.Header.AddressList("From")
	if err != nil || len(from) != 1 || *from[0] != (mail.Address{Name: "Anna Berg", Address: "anna@example.com"}) {
		t.Errorf("from %v, %v", from, err)
	}
	to, err := m.Header.AddressList("To")
	if err != nil || len(to) != 1 || *to[0] != (mail.Address{Name: `Борис "Bo" Иванов`, Address: "boris@example.com"}) {
		t.Errorf("to %v, %v", to, err)
	}
	date, err := m.Header.Date()
	if err != nil || date.Format(time.RFC3339) != "2024-01-31T09:02:02+01:00" {
		t.Errorf("date %v, %v", date, err)
	}
}

// checkEML holds a file against what all have in common.
func checkEML(t testing.TB, p *parsed, s *Slice) {
	t.Helper()
	checkMailFields(t, p)
	if p.Type != "multipart/alternative" || len(p.Parts) != 2 || p.Parts[0].Type != "text/plain" || p.Parts[1].Type != "text/html" ||
		p.Parts[0].Encoding != "quoted-printable" || p.Parts[1].Encoding != "quoted-printable" {
		t.Fatalf("%s of %+v", p.Type, p.Parts)
	}
	checkTranscript(t, p.Parts[0].Text, len(s.Events))
	page := p.Parts[1].Text
	if n := strings.Count(page, `<div class="message">`); n != len(s.Events) {
		t.Errorf("%d messages in HTML, want %d", n, len(s.Events))
	}
	// These letters are in the template nowhere: all that is in the page was said by somebody.
	for _, bad := range []string{"<script", "<img", "<a ", "<link", "<iframe", "<object", "src=", "href=", "javascript:", "url("} {
		if strings.Contains(strings.ToLower(tags(page)), bad) {
			t.Errorf("%s in the page", bad)
		}
	}
	if strings.ContainsFunc(page, isHidden) && strings.ContainsFunc(strings.ReplaceAll(page, "\r", ""), isHidden) {
		t.Error("hidden characters in the page")
	}
}

// tags is what stands between < and > in a page.
func tags(page string) string {
	var b strings.Builder
	for _, part := range strings.Split(page, "<")[1:] {
		tag, _, _ := strings.Cut(part, ">")
		b.WriteString("<" + tag + ">")
	}
	return b.String()
}

func TestEMLHostile(t *testing.T) {
	names := func(string) string {
		return "</title><script>alert(1)</script>\r\nBcc: all@example.com, \"<evil@example.com>\""
	}
	var raw [][]byte
	list := hostileSlices(t)
	for _, s := range list {
		raw = append(raw, emlFile(t, s, Look{Title: "x\r\nBcc: y", Person: names, Room: names}), emlFile(t, s, Look{}))
	}
	for i, p := range readMail(t, raw...) {
		checkEML(t, &p, list[i/2])
	}
}

func TestEMLLarge(t *testing.T) {
	list := []*Slice{synthetic(2, strings.Repeat("Доброе утро <b> \x00", 1<<15), 0), synthetic(MaxEvents, "Did the forms for Rotterdam leave today?", 0)}
	for i, p := range readMail(t, emlFile(t, list[0], Look{}), emlFile(t, list[1], Look{})) {
		checkEML(t, &p, list[i])
	}
}
