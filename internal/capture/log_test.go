package capture

import (
	"bytes"
	"encoding/json"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"
)

// TestLogOfFailingStore: the wait until the next attempt is logged so that
// somebody can read it.
func TestLogOfFailingStore(t *testing.T) {
	p := newPlace(t)
	n := 0
	sink := &failing{Sink: p.sink(t), fail: func(bool) error {
		if n++; n == 1 {
			return errors.New("the store is away")
		}
		return nil
	}}
	var log bytes.Buffer // a handler writes each line at once, under its lock
	cfg := p.config()
	cfg.Log = slog.New(slog.NewJSONHandler(&log, nil))
	s, err := Start(cfg, sink)
	if err != nil {
		t.Fatal(err)
	}
	if err := deliver(s, numbered(1, 10)); err != nil {
		t.Fatal(err)
	}
	stop(t, s) // nothing is logged from now on
	found := false
	for line := range strings.Lines(log.String()) {
		var said struct {
			Msg   string
			Again string `json:"again_in"`
			Error string
		}
		if err := json.Unmarshal([]byte(line), &said); err != nil {
			t.Fatalf("%v: %s", err, line)
		}
		if strings.HasPrefix(said.Msg, "the store does not take what was captured") {
			found = true
			if d, err := time.ParseDuration(said.Again); err != nil || d != minRetry || said.Error != "the store is away" {
				t.Errorf("it says %s", line)
			}
		}
	}
	if !found {
		t.Errorf("it does not say that the store fails:\n%s", log.String())
	}
}
