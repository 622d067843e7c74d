package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"filippo.io/age"

	"archivolt/internal/config"
	"archivolt/internal/seal"
	"archivolt/internal/xmpp"
)

// checkLog wants each line of a log to be one JSON object whose keys stand in
// it once, with values that programs and people can read: texts, plain numbers
// and truths, and lists of texts.
func checkLog(t testing.TB, log string) {
	t.Helper()
	for line := range strings.Lines(log) {
		if strings.HasPrefix(line, "archivoltd: ") || strings.HasPrefix(line, "  try: ") { // of a run that has ended
			continue
		}
		if err := checkLine(line); err != nil {
			t.Errorf("the log has a bad line, %v:\n%s", err, line)
		}
	}
}

func checkLine(line string) error {
	d := json.NewDecoder(strings.NewReader(line))
	d.UseNumber()
	if first, err := d.Token(); err != nil || first != json.Delim('{') {
		return fmt.Errorf("it is no object: %v", err)
	}
	seen := map[string]any{}
	for d.More() {
		key, err := d.Token()
		if err != nil {
			return err
		}
		var value any
		if err := d.Decode(&value); err != nil {
			return err
		}
		name := key.(string)
		if _, twice := seen[name]; twice {
			return fmt.Errorf("%s stands in it twice", name)
		}
		seen[name] = value
		list, isList := value.([]any)
		for _, v := range list {
			if _, text := v.(string); !text {
				return fmt.Errorf("%s is a list of something else than texts", name)
			}
		}
		if _, isObject := value.(map[string]any); isObject || isList && len(list) == 0 {
			return fmt.Errorf("%s has parts", name)
		}
	}
	for _, name := range []string{"time", "level", "msg"} {
		if _, text := seen[name].(string); !text {
			return fmt.Errorf("%s is missing", name)
		}
	}
	if wait, ok := seen["again_in"]; ok {
		text, _ := wait.(string)
		if _, err := time.ParseDuration(text); err != nil {
			return fmt.Errorf("again_in is %v", wait)
		}
	}
	if _, err := d.Token(); err != nil { // the closing brace
		return err
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return errors.New("there is more than one object")
	}
	return nil
}

// TestLog: what a daemon says that starts, finds no server and ends.
func TestLog(t *testing.T) {
	dir := t.TempDir()
	officer, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	recipients, err := seal.ParseRecipients(false, seal.File{Name: "officer.pub", Data: []byte(officer.Recipient().String())})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	var log logged
	a := &app{ctx: ctx, out: io.Discard, err: &log}
	d := &config.Daemon{Archive: filepath.Join(dir, "archive.db"), StateDir: filepath.Join(dir, "state"), Listen: config.NoListen, XMPP: []config.XMPPServer{{Server: config.Prosody}}}
	away, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := away.Addr().String()
	away.Close()
	ended := make(chan error)
	go func() {
		ended <- (&runCmd{}).capture(a, d, &parts{recipients: recipients, components: []*xmpp.Component{{Address: address, Name: "archive.example.org", Secret: []byte("s"), Domains: []string{"example.org"}}}})
	}()
	deadline := time.After(time.Minute)
	for log.lines("no connection to the XMPP server", `"again_in":"`) == 0 {
		select {
		case <-time.After(10 * time.Millisecond):
		case err := <-ended:
			t.Fatalf("it has ended: %v\n%s", err, log.String())
		case <-deadline:
			t.Fatalf("it does not say that the server is away\n%s", log.String())
		}
	}
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	checkLog(t, log.String())
	if log.lines(`"server":"prosody"`, `"component":"archive.example.org"`, `"address":"`+address+`"`) == 0 {
		t.Errorf("it does not say which server is away\n%s", log.String())
	}
	if log.lines(`"msg":"started"`, `"archive":"`) != 1 {
		t.Errorf("it does not say which archive this is\n%s", log.String())
	}
}
