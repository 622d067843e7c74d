package seal

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"errors"
	"reflect"
	"strings"
	"testing"

	"filippo.io/age"
	"pgregory.net/rapid"

	"archivolt/internal/keys"
	"archivolt/internal/ledger"
	"archivolt/internal/problem"
)

var id = ledger.ID{1, 2, 3}

// officer is an identity with its recipients.
type officer struct {
	text     string // recipient
	identity age.Identity
}

func hybrid(t *testing.T) officer {
	i, err := age.GenerateHybridIdentity()
	if err != nil {
		t.Fatal(err)
	}
	return officer{i.Recipient().String(), i}
}

func x25519(t *testing.T) officer {
	i, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	return officer{i.Recipient().String(), i}
}

func recipients(t *testing.T, mixed bool, texts ...string) *Recipients {
	t.Helper()
	r, err := ParseRecipients(mixed, File{"officers", []byte(strings.Join(texts, "\n"))})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

var header = Header{Source: "prosody/q1", Number: 7, Time: 1700000000123, Tokens: []byte("aaaaaaaabbbbbbbb")}
var content = Content{Direction: 'O', Stanza: []byte("<message xmlns='jabber:client'><body>secret</body></message>")}

func TestSealAndOpen(t *testing.T) {
	alice, bob, stranger := hybrid(t), hybrid(t), hybrid(t)
	e, wraps, err := NewEpoch(id, 3, recipients(t, false, alice.text, bob.text))
	if err != nil || len(wraps) != 1 {
		t.Fatal(len(wraps), err)
	}
	sealed, entry, err := e.Seal(&header, &content)
	if err != nil {
		t.Fatal(err)
	}
	if entry.Sealed != sha256.Sum256(sealed) || entry.Epoch != 3 || entry.Source != header.Source || entry.Number != 7 || !bytes.Equal(entry.Tokens, header.Tokens) {
		t.Errorf("the entry is %+v", entry)
	}
	token := e.Token("alice@example.org")
	e.Forget()
	for _, who := range []officer{alice, bob} {
		o, err := OpenEpoch(id, 3, wraps, who.identity)
		if err != nil {
			t.Fatal(err)
		}
		if o.Commitment() != e.Commitment() || o.Token("alice@example.org") != token {
			t.Error("the epoch that was opened has other keys")
		}
		plain, err := o.Open(nil, &header, sealed)
		if err != nil {
			t.Fatal(err)
		}
		got, err := ParseContent(plain)
		if err != nil || !reflect.DeepEqual(got, content) {
			t.Errorf("it opens as %+v, %v", got, err)
		}
		key := o.RecordKey(&header)
		m := hmac.New(sha256.New, key[:])
		m.Write([]byte("\x01O" + string(content.Stanza)))
		if !bytes.Equal(m.Sum(nil), entry.Commitment[:]) {
			t.Error("the commitment does not fit the plaintext")
		}
	}
	if _, err := OpenEpoch(id, 3, wraps, stranger.identity); !errors.Is(err, ErrNotRecipient) {
		t.Errorf("a stranger gets %v", err)
	}
	if _, err := OpenEpoch(id, 3, [][]byte{wraps[0][:len(wraps[0])-1]}, alice.identity); !errors.Is(err, ErrWrap) {
		t.Errorf("a cut wrap gives %v", err)
	}
}

// TestNothingChanges changes every byte of a sealed record, and everything that
// stands beside it in clear.
func TestNothingChanges(t *testing.T) {
	alice := x25519(t)
	e, wraps, err := NewEpoch(id, 3, recipients(t, false, alice.text))
	if err != nil {
		t.Fatal(err)
	}
	sealed, _, err := e.Seal(&header, &content)
	if err != nil {
		t.Fatal(err)
	}
	for i := range sealed {
		changed := bytes.Clone(sealed)
		changed[i] ^= 1
		if _, err := e.Open(nil, &header, changed); !errors.Is(err, ErrSealed) {
			t.Fatalf("byte %d changed: %v", i, err)
		}
		if _, err := e.Open(nil, &header, sealed[:i]); !errors.Is(err, ErrSealed) {
			t.Fatalf("%d bytes: %v", i, err)
		}
	}
	for name, change := range map[string]func(*Header){
		"source": func(h *Header) { h.Source = "prosody/q2" },
		"number": func(h *Header) { h.Number++ },
		"time":   func(h *Header) { h.Time++ },
		"tokens": func(h *Header) { h.Tokens = h.Tokens[:8] },
	} {
		h := header
		change(&h)
		if _, err := e.Open(nil, &h, sealed); !errors.Is(err, ErrSealed) {
			t.Errorf("%s changed: %v", name, err)
		}
	}
	for _, other := range []struct {
		id     ledger.ID
		number uint64
	}{{id, 4}, {ledger.ID{9}, 3}} { // the same key, wrapped into another place
		o, err := OpenEpoch(other.id, other.number, wraps, alice.identity)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := o.Open(nil, &header, sealed); !errors.Is(err, ErrSealed) || o.Commitment() == e.Commitment() {
			t.Errorf("in archive %v, epoch %d: %v", other.id, other.number, err)
		}
	}
}

func TestTokens(t *testing.T) {
	alice := x25519(t)
	to := recipients(t, false, alice.text)
	a, _, err := NewEpoch(id, 1, to)
	b, _, err2 := NewEpoch(id, 2, to)
	if err != nil || err2 != nil {
		t.Fatal(err, err2)
	}
	rapid.Check(t, func(r *rapid.T) {
		people := rapid.SliceOfN(rapid.SampledFrom([]string{"", "a@x", "b@x", "c@x", "room@y"}), 0, 6).Draw(r, "people")
		tokens := a.Tokens(people...)
		distinct := map[string]bool{}
		for _, p := range people {
			if p != "" {
				distinct[p] = true
				token := a.Token(p)
				if !strings.Contains(string(tokens), string(token[:])) {
					r.Errorf("%s has no token", p)
				}
			}
		}
		if len(tokens) != len(distinct)*ledger.TokenSize {
			r.Errorf("%d people have %d bytes of tokens", len(distinct), len(tokens))
		}
		entry := ledger.Record{Tokens: tokens}
		if _, err := ledger.Parse(entry.Append(nil, id), id); err != nil {
			r.Error(err)
		}
	})
	if a.Token("a@x") == b.Token("a@x") {
		t.Error("two epochs have one token for a person")
	}
}

func TestRecipients(t *testing.T) {
	pq, classic := hybrid(t), x25519(t)
	rsa, err := keys.Generate(2048)
	if err != nil {
		t.Fatal(err)
	}
	pem, err := rsa.Public().MarshalPEM()
	if err != nil {
		t.Fatal(err)
	}
	private, err := rsa.MarshalPEM(nil)
	if err != nil {
		t.Fatal(err)
	}
	both := []File{{"a.pub", []byte("# officer\nverifier: ed25519:AAAA\nrecipient: " + pq.text + "\n")}, {"b.pem", pem}}
	if _, err := ParseRecipients(false, both...); problem.ClassOf(err) != problem.Usage || !strings.Contains(err.Error(), "b.pem") {
		t.Errorf("two classes: %v", err)
	}
	mixed, err := ParseRecipients(true, both...)
	if err != nil {
		t.Fatal(err)
	}
	if got := mixed.Class(); got != "pq classic" {
		t.Errorf("the class is %q", got)
	}
	if got := mixed.NotPostQuantum(); !reflect.DeepEqual(got, []string{"b.pem"}) {
		t.Errorf("not post-quantum because of %q", got)
	}
	e, wraps, err := NewEpoch(id, 1, mixed)
	if err != nil || len(wraps) != 2 {
		t.Fatal(len(wraps), err)
	}
	identities, err := Identities(nil, []*keys.Private{rsa})
	if err != nil {
		t.Fatal(err)
	}
	for _, who := range []age.Identity{pq.identity, identities[0]} {
		if o, err := OpenEpoch(id, 1, wraps, who); err != nil || o.Commitment() != e.Commitment() {
			t.Errorf("one of two recipients: %v", err)
		}
	}
	line, err := rsa.Public().AgeRecipient()
	if err != nil {
		t.Fatal(err)
	}
	same := recipients(t, false, line, line+" officer@desk", classic.text)
	if got := len(same.Fingerprints()); got != 2 {
		t.Errorf("one key twice counts as %d recipients with another", got)
	}
	for name, data := range map[string]string{
		"nothing":        "",
		"comments":       "# nobody yet\n",
		"a private key":  string(private),
		"an identity":    "# archivolt identity\nsigning-key: ed25519:AAAA\n",
		"an age secret":  "AGE-SECRET-KEY-1QQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQ\n",
		"a damaged line": classic.text[:len(classic.text)-1] + "\n",
		"binary":         "\x00\x01\x02\xff",
	} {
		_, err := ParseRecipients(false, File{"f", []byte(data)})
		if problem.ClassOf(err) != problem.Usage {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// FuzzOpen: nothing opens that was not sealed.
func FuzzOpen(f *testing.F) {
	i, err := age.GenerateX25519Identity()
	if err != nil {
		f.Fatal(err)
	}
	to, err := ParseRecipients(false, File{"f", []byte(i.Recipient().String())})
	if err != nil {
		f.Fatal(err)
	}
	e, wraps, err := NewEpoch(id, 1, to)
	if err != nil {
		f.Fatal(err)
	}
	sealed, _, err := e.Seal(&header, &content)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(sealed, wraps[0])
	f.Fuzz(func(t *testing.T, record, wrap []byte) {
		if plain, err := e.Open(nil, &header, record); err == nil && !bytes.Equal(record, sealed) {
			t.Errorf("%x opens as %x", record, plain)
		}
		if o, err := OpenEpoch(id, 1, [][]byte{wrap}, i); err == nil && o.Commitment() != e.Commitment() && bytes.Equal(wrap, wraps[0]) {
			t.Error("the wrap opens as another key")
		}
	})
}

func BenchmarkSeal(b *testing.B) {
	i, err := age.GenerateX25519Identity()
	if err != nil {
		b.Fatal(err)
	}
	to, err := ParseRecipients(false, File{"f", []byte(i.Recipient().String())})
	if err != nil {
		b.Fatal(err)
	}
	e, _, err := NewEpoch(id, 1, to)
	if err != nil {
		b.Fatal(err)
	}
	c := Content{Stanza: bytes.Repeat([]byte("x"), 600)}
	b.ReportAllocs()
	for n := range b.N {
		h := Header{Source: "s", Number: uint64(n), Tokens: e.Tokens("a@example.org", "b@example.org")}
		if _, _, err := e.Seal(&h, &c); err != nil {
			b.Fatal(err)
		}
	}
}
