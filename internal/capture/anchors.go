package capture

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"time"
)

// Anchor keeps checkpoints where whoever can change the store cannot change
// them.
type Anchor interface {
	Keep(ctx context.Context, checkpoint []byte) error
	String() string
}

const anchorTimeout = 10 * time.Second

// FileAnchor appends checkpoints to a file, on another disk or machine.
type FileAnchor string

// Keep appends the checkpoint and waits for the disk.
func (f FileAnchor) Keep(_ context.Context, checkpoint []byte) (err error) {
	file, err := os.OpenFile(string(f), os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	defer func() {
		if e := file.Close(); err == nil {
			err = e
		}
	}()
	if _, err := file.Write(append(bytes.Clone(checkpoint), '\n')); err != nil {
		return err
	}
	return file.Sync()
}

// String names the anchor.
func (f FileAnchor) String() string { return string(f) }

// HTTPAnchor posts checkpoints to a URL, as text/plain.
type HTTPAnchor string

// poster posts checkpoints. It follows no redirections: most make a GET of the
// POST, and a page that answers it has kept nothing.
var poster = &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}

// Keep posts the checkpoint; any answer of class 2xx means that it is kept, and
// no other does.
func (u HTTPAnchor) Keep(ctx context.Context, checkpoint []byte) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, string(u), bytes.NewReader(checkpoint))
	if err != nil {
		return err
	}
	request.Header.Set("Content-Type", "text/plain; charset=utf-8")
	answer, err := poster.Do(request)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	_, _ = io.Copy(io.Discard, io.LimitReader(answer.Body, 1<<16)) // so that the connection can be used again
	if to := answer.Header.Get("Location"); answer.StatusCode/100 == 3 && to != "" {
		return fmt.Errorf("the server answers %s and names another address, which is not followed: %.200q", answer.Status, to)
	}
	if answer.StatusCode/100 != 2 {
		return fmt.Errorf("the server answers %s", answer.Status)
	}
	return nil
}

// String names the anchor.
func (u HTTPAnchor) String() string { return string(u) }
