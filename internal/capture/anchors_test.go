package capture

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// asked is a request that a server has got.
type asked struct{ method, path, kind, body string }

// collector answers with the status that the path names, and notes what it got. A
// redirection leads to a page that answers 200 to everybody.
type collector struct {
	mu   sync.Mutex
	list []asked
}

func (k *collector) requests() []asked {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.list
}

// ServeHTTP answers.
func (k *collector) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	k.mu.Lock()
	k.list = append(k.list, asked{r.Method, r.URL.Path, r.Header.Get("Content-Type"), string(body)})
	k.mu.Unlock()
	code, err := strconv.Atoi(strings.TrimPrefix(r.URL.Path, "/"))
	if err != nil {
		code = http.StatusOK
	}
	if code/100 == 3 {
		w.Header().Set("Location", "/login")
	}
	w.WriteHeader(code)
}

// TestHTTPAnchor: an answer of class 2xx to the POST itself is the only one
// that says that the checkpoint is kept.
func TestHTTPAnchor(t *testing.T) {
	const checkpoint = "archivolt/0102\n7\nAAAA=\n\n— archivolt/0102 sig\xff\x00=\n"
	for _, code := range []int{200, 201, 202, 204, 301, 302, 303, 304, 307, 308, 400, 401, 403, 404, 410, 429, 500, 503} {
		k := &collector{}
		server := httptest.NewServer(k)
		url := server.URL + "/" + strconv.Itoa(code)
		err := HTTPAnchor(url).Keep(t.Context(), []byte(checkpoint))
		if kept := code/100 == 2; kept != (err == nil) {
			t.Errorf("%d: %v", code, err)
		}
		if err != nil && !strings.Contains(err.Error(), strconv.Itoa(code)) {
			t.Errorf("%d: the error does not say so: %v", code, err)
		}
		want := asked{"POST", "/" + strconv.Itoa(code), "text/plain; charset=utf-8", checkpoint}
		if got := k.requests(); len(got) != 1 || got[0] != want {
			t.Errorf("%d: the server got %q, want %q alone", code, got, want)
		}
		server.Close()
	}
}

// TestHTTPAnchorWaits: a server that does not answer is waited for no longer
// than the context lasts.
func TestHTTPAnchorWaits(t *testing.T) {
	release := make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-release }))
	defer server.Close()
	defer close(release)
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := HTTPAnchor(server.URL).Keep(ctx, []byte("x")); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("it ends with %v", err)
	}
}

// TestHTTPAnchorAway: nobody listens.
func TestHTTPAnchorAway(t *testing.T) {
	server := httptest.NewServer(nil)
	server.Close()
	if err := HTTPAnchor(server.URL).Keep(t.Context(), []byte("x")); err == nil {
		t.Error("a server that is not there has kept it")
	}
}
