package ui

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"
)

// sse is one event of a stream.
type sse struct{ name, id, data string }

// listen opens a stream and returns a function that gives its next event.
func listen(t *testing.T, address string, headers ...string) (func() sse, *http.Response) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	t.Cleanup(cancel)
	r, _ := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { answer.Body.Close() })
	lines := bufio.NewReaderSize(answer.Body, 1<<20)
	return func() sse {
		t.Helper()
		var e sse
		for {
			line, err := lines.ReadString('\n')
			if err != nil {
				t.Fatalf("the stream ended: %v", err)
			}
			line = strings.TrimSuffix(line, "\n")
			field, value, _ := strings.Cut(line, ": ")
			switch field {
			case "event":
				e.name = value
			case "id":
				e.id = value
			case "data":
				e.data = value
			case "":
				if e.name != "" {
					return e
				}
			}
		}
	}, answer
}

// until returns the next event of a name.
func until(next func() sse, name string) sse {
	for {
		if e := next(); e.name == name {
			return e
		}
	}
}

func TestStream(t *testing.T) {
	s, h := newTestServer(t)
	fill(s.model.ring, 1, 5)
	next, answer := listen(t, h.URL+"/api/v1/stream")
	if kind := answer.Header.Get("Content-Type"); !strings.HasPrefix(kind, "text/event-stream") || answer.Header.Get("Cache-Control") != "no-store" || answer.Header.Get("X-Accel-Buffering") != "no" {
		t.Errorf("the stream's headers are %v", answer.Header)
	}
	first := next()
	if first.name != "snapshot" || !json.Valid([]byte(first.data)) || !strings.Contains(first.data, `"held":5`) {
		t.Fatalf("the first event is %+v", first)
	}
	var tail tailJSON
	e := until(next, "tail")
	if err := json.Unmarshal([]byte(e.data), &tail); err != nil || len(tail.Rows) != 5 || e.id != "0/1005:1" || tail.At.Seq != 5 {
		t.Fatalf("the tail is %+v", e)
	}
	s.model.tick(time.Now(), 2*ticksPerSecond)
	if e := until(next, "flow"); !json.Valid([]byte(e.data)) || e.id != "0/1005:1" {
		t.Errorf("the flow is %+v", e)
	}
	if e := next(); e.name != "latency" || !json.Valid([]byte(e.data)) {
		t.Errorf("after the flow comes %+v", e)
	}
	until(next, "history")
	if _, err := s.model.view.take([]byte(`{"status":"new","second":"2026-11-22T12:00:00Z"}`), []byte(`{"orders":1,"revenue":"1","position":"0/10:1","seq":1,"epoch":1}`), noon); err != nil {
		t.Fatal(err)
	}
	if e := until(next, "view"); !strings.Contains(e.data, `"o":1`) {
		t.Errorf("the view is %+v", e)
	}
	close(s.closing)
	until(next, "bye")
}

func TestStreamResumes(t *testing.T) {
	s, h := newTestServer(t)
	fill(s.model.ring, 11, 20)
	rows := func(next func() sse) string {
		var tail tailJSON
		if err := json.Unmarshal([]byte(until(next, "tail").data), &tail); err != nil {
			t.Fatal(err)
		}
		var b bytes.Buffer
		for _, raw := range tail.Rows {
			var r struct {
				Seq uint64
				Gap *gap
			}
			json.Unmarshal(raw, &r)
			if r.Gap != nil {
				fmt.Fprintf(&b, "%s %d, ", r.Gap.Why, r.Gap.Missed)
			} else {
				fmt.Fprintf(&b, "%d ", r.Seq)
			}
		}
		return strings.TrimSpace(b.String())
	}
	tests := []struct{ query, lastID, want string }{
		{"", "0/1012:1", "19 20"},
		{"?after=0/1012:1&epoch=1&seq=18", "", "19 20"},
		{"?after=0/1005:1&epoch=1&seq=5", "", "reconnect 5, 11 12 13 14 15 16 17 18 19 20"},
		{"?after=0/1005:1&epoch=1&seq=5", "0/1012:1", "19 20"}, // the browser's own reconnect is newer
		{"?after=nonsense", "", "11 12 13 14 15 16 17 18 19 20"},
	}
	for _, test := range tests {
		var headers []string
		if test.lastID != "" {
			headers = []string{"Last-Event-ID", test.lastID}
		}
		next, _ := listen(t, h.URL+"/api/v1/stream"+test.query, headers...)
		if got := rows(next); got != test.want {
			t.Errorf("%s, last id %q: got %s, want %s", test.query, test.lastID, got, test.want)
		}
	}
}

// gate is a page that takes nothing until it is opened.
type gate struct {
	httptest.ResponseRecorder
	mu   sync.Mutex
	open chan struct{}
	got  bytes.Buffer
}

func (g *gate) Write(b []byte) (int, error) {
	<-g.open
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.got.Write(b)
}

func (g *gate) Header() http.Header { return http.Header{} }
func (g *gate) Flush()              {}

func (g *gate) text() string {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.got.String()
}

func TestASlowPageIsToldWhatItMissed(t *testing.T) {
	s, _ := newTestServer(t)
	g := &gate{open: make(chan struct{})}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		s.stream(g, httptest.NewRequest(http.MethodGet, "/api/v1/stream", nil).WithContext(ctx))
	}()
	for s.model.clients.Load() == 0 {
		time.Sleep(time.Millisecond)
	}
	time.Sleep(20 * time.Millisecond) // it has its place in the ring and is stuck in its first write
	fill(s.model.ring, 1, 3*ringEntries)
	close(g.open)
	for deadline := time.Now().Add(5 * time.Second); !strings.Contains(g.text(), `"skipped":`); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("the page was not told")
		}
	}
	if want := uint64(2 * ringEntries); s.model.dropped.Load() != want {
		t.Errorf("%d events are counted as dropped, want %d", s.model.dropped.Load(), want)
	}
	cancel()
	<-ended
	if n := s.model.clients.Load(); n != 0 {
		t.Errorf("%d pages are still counted", n)
	}
}

func TestPagesAreBounded(t *testing.T) {
	s, h := newTestServer(t)
	s.model.clients.Store(maxStreams)
	if answer, body := get(t, h.URL+"/api/v1/stream"); answer.StatusCode != http.StatusServiceUnavailable || !strings.Contains(body, "close one") {
		t.Errorf("one page too many: %s %s", answer.Status, body)
	}
}
