package seal

import (
	"bytes"
	"crypto/hkdf"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"filippo.io/age"
	"golang.org/x/mod/sumdb/tlog"

	"archivolt/internal/ledger"
	"archivolt/internal/testenv"
)

var update = flag.Bool("update", false, "make docs/format/vectors/envelope.json anew")

// vectors are those of docs/format/envelope.md. Bytes are Base64, hashes and
// keys hexadecimal.
type vectors struct {
	Identity    string       `json:"identity"`
	Recipient   string       `json:"recipient"`
	Archive     string       `json:"archive"`
	Epoch       uint64       `json:"epoch"`
	Wrap        []byte       `json:"wrap"`
	ContentKey  string       `json:"content_key"`
	TokenKey    string       `json:"token_key"`
	CommitKey   string       `json:"commitment_key"`
	KeyCommit   string       `json:"key_commitment"`
	Record      vectorRecord `json:"record"`
	Entries     [][]byte     `json:"entries"`
	Leaves      []string     `json:"leaves"`
	Root        string       `json:"root"`
	RecordIndex int64        `json:"record_index"`
	RecordProof []string     `json:"record_proof"`
	Verifier    string       `json:"verifier"`
	Checkpoint  string       `json:"checkpoint"`
}

type vectorRecord struct {
	Source       string   `json:"source"`
	Number       uint64   `json:"number"`
	Time         int64    `json:"time"`
	Participants []string `json:"participants"`
	Tokens       string   `json:"tokens"`
	Associated   []byte   `json:"associated_data"`
	Direction    string   `json:"direction"`
	Stanza       string   `json:"stanza"`
	Plain        []byte   `json:"plain"`
	Sealed       []byte   `json:"sealed"`
	Key          string   `json:"record_key"`
	Commitment   string   `json:"commitment"`
	Digest       string   `json:"digest"`
}

// makeVectors makes them. The stanza has all that makes bytes differ from what
// an XML library would write.
func makeVectors(t *testing.T) *vectors {
	t.Helper()
	// Alice's key of RFC 7748 section 6.1.
	const identity, recipient = "AGE-SECRET-KEY-1WURK6ZNNRZJH60QKC9E9RVNXGH05CTU8A0QFJ243WLA628DE9S4QRFH26J", "age1s5s0qzvfxzn4gayt0hwtg0hhtgxm7wsdycup4a8t5j5ca25mfe4qt4hs7q"
	id := ledger.ID{0x0f, 0x1e, 0x2d, 0x3c, 0x4b, 0x5a, 0x69, 0x78, 0x87, 0x96, 0xa5, 0xb4, 0xc3, 0xd2, 0xe1, 0xf0}
	r, err := ParseRecipients(false, File{Name: "f", Data: []byte(recipient)})
	if err != nil {
		t.Fatal(err)
	}
	e, wraps, err := NewEpoch(id, 1, r)
	if err != nil {
		t.Fatal(err)
	}
	at := time.Date(2026, 11, 24, 12, 0, 0, 123e6, time.UTC)
	people := []string{"anna@example.org", "boris@example.net"}
	h := Header{Source: "queue/example.org/5fd0c2", Number: 17, Time: at.UnixMilli(), Tokens: e.Tokens(people...)}
	c := Content{Direction: 'O', Stanza: []byte("<message  xmlns='jabber:client' from='anna@example.org/pc' to='boris@example.net' id=\"m&amp;17\" type='chat'><body>Grüße &lt;3</body></message>")}
	sealed, record, err := e.Seal(&h, &c)
	if err != nil {
		t.Fatal(err)
	}
	v := &vectors{Identity: identity, Recipient: recipient, Archive: id.String(), Epoch: 1, Wrap: wraps[0], RecordIndex: 3}
	v.TokenKey, v.CommitKey = hex.EncodeToString(e.keys.token), hex.EncodeToString(e.keys.commit)
	commitment, key := e.Commitment(), e.RecordKey(&h)
	v.KeyCommit = hex.EncodeToString(commitment[:])
	v.Record = vectorRecord{h.Source, h.Number, h.Time, people, hex.EncodeToString(h.Tokens), bytes.Clone(e.aad(&h)), string(c.Direction), string(c.Stanza), c.marshal(nil), sealed,
		hex.EncodeToString(key[:]), hex.EncodeToString(record.Commitment[:]), hex.EncodeToString(record.Sealed[:])}
	event := func(name ledger.Name, detail string) ledger.Entry {
		return &ledger.Event{Time: at.UnixMilli(), Name: name, Detail: detail}
	}
	for _, entry := range []ledger.Entry{event(ledger.Created, "archivoltd 1.0"), event(ledger.Started, "archivoltd 1.0, for the first time"),
		&ledger.Epoch{Number: 1, Time: at.UnixMilli(), Commitment: commitment, Class: r.Class(), Recipients: r.Fingerprints(), Writer: "archivoltd 1.0"},
		record, event(ledger.Stopped, "archivoltd 1.0")} {
		v.Entries = append(v.Entries, entry.Append(nil, id))
	}
	v.addTree(t, id, at)
	return v
}

// addTree adds leaves, root, proof and checkpoint, with package tlog alone.
func (v *vectors) addTree(t *testing.T, id ledger.ID, at time.Time) {
	t.Helper()
	var stored []tlog.Hash
	reader := tlog.HashReaderFunc(func(indexes []int64) (list []tlog.Hash, err error) {
		for _, i := range indexes {
			list = append(list, stored[i])
		}
		return list, nil
	})
	for i, entry := range v.Entries {
		leaf := tlog.RecordHash(entry)
		v.Leaves = append(v.Leaves, hex.EncodeToString(leaf[:]))
		more, err := tlog.StoredHashesForRecordHash(int64(i), leaf, reader)
		if err != nil {
			t.Fatal(err)
		}
		stored = append(stored, more...)
	}
	size := int64(len(v.Entries))
	root, err := tlog.TreeHash(size, reader)
	if err != nil {
		t.Fatal(err)
	}
	proof, err := tlog.ProveRecord(size, v.RecordIndex, reader)
	if err != nil {
		t.Fatal(err)
	}
	v.Root = hex.EncodeToString(root[:])
	for _, h := range proof {
		v.RecordProof = append(v.RecordProof, hex.EncodeToString(h[:]))
	}
	secret, verifier, err := ledger.NewSigningKey(bytes.NewReader(bytes.Repeat([]byte{1}, 64)), id)
	if err != nil {
		t.Fatal(err)
	}
	text, err := (&ledger.Checkpoint{ID: id, Size: size, Root: root, Time: at}).Sign(secret)
	if err != nil {
		t.Fatal(err)
	}
	v.Verifier, v.Checkpoint = verifier, string(text)
}

// TestVectors opens the vectors of docs/format/envelope.md: what version 1 has
// sealed is opened for ever.
func TestVectors(t *testing.T) {
	path := filepath.Join(testenv.Root(t), "docs", "format", "vectors", "envelope.json")
	if *update {
		v := makeVectors(t)
		v.ContentKey = contentKey(t, v)
		text, err := json.MarshalIndent(v, "", "  ")
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, append(text, '\n'), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var v vectors
	if err := json.Unmarshal(data, &v); err != nil {
		t.Fatal(err)
	}
	id, err := ledger.ParseID(v.Archive)
	if err != nil {
		t.Fatal(err)
	}
	officer, err := age.ParseX25519Identity(v.Identity)
	if err != nil || officer.Recipient().String() != v.Recipient {
		t.Fatalf("%v", err)
	}
	e, err := OpenEpoch(id, v.Epoch, [][]byte{v.Wrap}, officer)
	if err != nil {
		t.Fatal(err)
	}
	r := &v.Record
	h := Header{Source: r.Source, Number: r.Number, Time: r.Time, Tokens: e.Tokens(r.Participants...)}
	plain, err := e.Open(nil, &h, r.Sealed)
	if err != nil || !bytes.Equal(plain, r.Plain) || !bytes.Equal(e.aad(&h), r.Associated) {
		t.Fatalf("%q, %v", plain, err)
	}
	c, err := ParseContent(plain)
	if err != nil || string(c.Stanza) != r.Stanza || string(c.Direction) != r.Direction {
		t.Errorf("%q, %v", c.Stanza, err)
	}
	commitment, key := e.Commitment(), e.RecordKey(&h)
	record := Commit(key, plain)
	for name, pair := range map[string][2]string{
		"tokens":         {hex.EncodeToString(h.Tokens), r.Tokens},
		"token key":      {hex.EncodeToString(e.keys.token), v.TokenKey},
		"commitment key": {hex.EncodeToString(e.keys.commit), v.CommitKey},
		"content key":    {contentKey(t, &v), v.ContentKey},
		"key commitment": {hex.EncodeToString(commitment[:]), v.KeyCommit},
		"record key":     {hex.EncodeToString(key[:]), r.Key},
		"commitment":     {hex.EncodeToString(record[:]), r.Commitment},
	} {
		if pair[0] != pair[1] {
			t.Errorf("%s: %s, want %s", name, pair[0], pair[1])
		}
	}
	again := v
	again.Leaves, again.RecordProof = nil, nil
	point, err := ledger.OpenCheckpoint([]byte(v.Checkpoint), v.Verifier)
	if err != nil {
		t.Fatal(err)
	}
	again.addTree(t, id, point.Time)
	if again.Root != v.Root || hex.EncodeToString(point.Root[:]) != v.Root || strings.Join(again.Leaves, " ") != strings.Join(v.Leaves, " ") || strings.Join(again.RecordProof, " ") != strings.Join(v.RecordProof, " ") || again.Checkpoint != v.Checkpoint {
		t.Errorf("%+v", again)
	}
	for i, entry := range v.Entries {
		parsed, err := ledger.Parse(entry, id)
		if err != nil || !bytes.Equal(parsed.Append(nil, id), entry) {
			t.Errorf("entry %d: %v", i, err)
		}
	}
	if found, ok := mustParse(t, v.Entries[v.RecordIndex], id).(*ledger.Record); !ok || hex.EncodeToString(found.Commitment[:]) != r.Commitment || hex.EncodeToString(found.Sealed[:]) != r.Digest {
		t.Errorf("%+v", found)
	}
}

func mustParse(t *testing.T, entry []byte, id ledger.ID) ledger.Entry {
	t.Helper()
	parsed, err := ledger.Parse(entry, id)
	if err != nil {
		t.Fatal(err)
	}
	return parsed
}

// contentKey derives the key that the epoch has and does not show.
func contentKey(t *testing.T, v *vectors) string {
	t.Helper()
	officer, err := age.ParseX25519Identity(v.Identity)
	if err != nil {
		t.Fatal(err)
	}
	r, err := age.Decrypt(bytes.NewReader(v.Wrap), officer)
	if err != nil {
		t.Fatal(err)
	}
	key, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	salt, err := hex.DecodeString(v.Archive + fmt.Sprintf("%016x", v.Epoch))
	if err != nil {
		t.Fatal(err)
	}
	content, err := hkdf.Key(sha256.New, key, salt, "archivolt v1 content", KeySize)
	if err != nil {
		t.Fatal(err)
	}
	return hex.EncodeToString(content)
}

// TestPythonOpens has contrib/verify/archivolt_open.py, which shares no code
// with this package, open the vectors, and refuse each one that is changed.
func TestPythonOpens(t *testing.T) {
	path := filepath.Join(testenv.Root(t), "docs", "format", "vectors", "envelope.json")
	script := filepath.Join(testenv.Root(t), "contrib", "verify", "archivolt_open.py")
	interpreter := testenv.Python(t, "cryptography")
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var v vectors
	if err := json.Unmarshal(data, &v); err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command(interpreter, script, path).CombinedOutput()
	if err != nil || string(out) != v.Record.Stanza+"\n" {
		t.Errorf("%s, %v", out, err)
	}
	text, err := os.ReadFile(script)
	if err != nil || bytes.Count(text, []byte("\n")) > 60 {
		t.Errorf("%d lines, %v", bytes.Count(text, []byte("\n")), err)
	}
	for name, change := range map[string]func(*vectors){
		"wrap":       func(v *vectors) { v.Wrap[len(v.Wrap)-1] ^= 1 },
		"header":     func(v *vectors) { v.Wrap[len("age-encryption.org/v1\n-> X25519 ")] ^= 3 },
		"sealed":     func(v *vectors) { v.Record.Sealed[20] ^= 1 },
		"time":       func(v *vectors) { v.Record.Time++ },
		"token":      func(v *vectors) { v.Record.Participants[0] = "nobody@example.org" },
		"entry":      func(v *vectors) { v.Entries[1][40] ^= 1 },
		"proof":      func(v *vectors) { v.RecordProof[0] = v.RecordProof[1] },
		"checkpoint": func(v *vectors) { v.Checkpoint = strings.Replace(v.Checkpoint, "time 2026", "time 2027", 1) },
		"commitment": func(v *vectors) { v.KeyCommit = v.TokenKey },
	} {
		var changed vectors
		if err := json.Unmarshal(data, &changed); err != nil {
			t.Fatal(err)
		}
		change(&changed)
		text, err := json.Marshal(&changed)
		if err != nil {
			t.Fatal(err)
		}
		file := filepath.Join(t.TempDir(), "v.json")
		if err := os.WriteFile(file, text, 0o600); err != nil {
			t.Fatal(err)
		}
		if out, err := exec.Command(interpreter, script, file).CombinedOutput(); err == nil {
			t.Errorf("%s changed, and yet %s", name, out)
		}
	}
}
