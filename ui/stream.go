package ui

import (
	"encoding/json"
	"net/http"
	"strconv"
	"time"

	"github.com/livedb/livedb/cdc"
)

// Paces of a stream, beside those of the tail.
const (
	pingEvery    = 15 * time.Second
	writeTimeout = 10 * time.Second // a page that takes nothing for so long is cut off
	retryMS      = 2000
	framesPerSum = int(time.Second / ticksPerSecond / frameEvery) // tail frames between two sums
)

// stream serves /api/v1/stream: server-sent events, first "snapshot", then as things change
//
//	tail      events, up to 20 times a second
//	flow      stages, rates, verdict, 4 times a second (once while nothing moves)
//	latency   quantiles of the last seconds, with flow
//	view      groups that changed, 4 times a second
//	history   the charts' new points, once a second
//	bye       the server goes; reconnect
//
// The parameters table, op and q filter the tail. Every tail and flow carries the page's place as its id, a Position;
// a page that comes back says it in Last-Event-ID, or as after, epoch and seq, which also tells how many events it
// missed if the ring does not reach back so far.
func (s *server) stream(w http.ResponseWriter, r *http.Request) {
	f, err := parseFilter(r.URL.Query())
	if err != nil {
		writeError(w, http.StatusBadRequest, err.Error())
		return
	}
	if s.model.clients.Add(1) > maxStreams {
		s.model.clients.Add(-1)
		w.Header().Set("Retry-After", "10")
		writeError(w, http.StatusServiceUnavailable, "64 pages watch already: close one")
		return
	}
	s.streams.Add(1)
	defer s.streams.Done()
	s.config.UI.Clients.Inc()
	defer func() {
		s.config.UI.Clients.Dec()
		s.model.clients.Add(-1)
	}()

	h := w.Header()
	h.Set("Content-Type", "text/event-stream; charset=utf-8")
	h.Set("Cache-Control", "no-store")
	h.Set("X-Accel-Buffering", "no") // nginx would hold events back
	p := &page{server: s, writer: w, control: http.NewResponseController(w)}
	p.cursor, p.resumed = newCursor(s.model.ring, f, markOf(r), time.Now())
	p.run(r)
}

// markOf reads where the page was in its last connection; nil for a new page.
func markOf(r *http.Request) *mark {
	q := r.URL.Query()
	if id := r.Header.Get("Last-Event-ID"); id != "" && id != q.Get("after") {
		return parseMark(id, "", "") // the browser reconnected by itself: newer than the address says
	}
	return parseMark(q.Get("after"), q.Get("epoch"), q.Get("seq"))
}

// page is one open stream. One goroutine uses it, and its buffer is all that waits for the page.
type page struct {
	server  *server
	writer  http.ResponseWriter
	control *http.ResponseController
	cursor  *cursor
	resumed bool
	buffer  []byte

	frame   uint64    // number of the last frames sent
	view    uint64    // version of the view sent
	loaded  bool      // what was said of the view
	point   uint64    // number of the next point to send
	at      *entry    // the place last told
	told    time.Time // when
	written time.Time
}

func (p *page) run(r *http.Request) {
	m := p.server.model
	p.snapshot()
	if !p.flush(time.Now()) {
		return
	}
	ticker := time.NewTicker(frameEvery)
	defer ticker.Stop()
	for n := 0; ; n++ {
		select {
		case <-r.Context().Done():
			return
		case <-p.server.closing:
			p.event("bye", "", []byte(`{}`))
			p.flush(time.Now())
			return
		case now := <-ticker.C:
			p.tail(now)
			if f := m.frames.Load(); f.number != p.frame && (f.active || f.number >= p.frame+ticksPerSecond) {
				p.sums(f)
			}
			if n%framesPerSum == 0 {
				p.groups()
			}
			if len(p.buffer) == 0 && now.Sub(p.written) >= pingEvery {
				p.buffer = append(p.buffer, ": ping\n\n"...)
			}
			if !p.flush(now) {
				return
			}
		}
	}
}

// snapshotJSON is the first event of a stream.
type snapshotJSON struct {
	Prefix  string          `json:"prefix"`
	Version string          `json:"version"`
	Started time.Time       `json:"started"` // of the dashboard: another value means another process
	Resumed bool            `json:"resumed"` // the page keeps the rows it has
	Held    int             `json:"held"`    // events in the ring
	Flow    json.RawMessage `json:"flow"`
	Latency json.RawMessage `json:"latency"`
	History []point         `json:"history"`
	View    viewJSON        `json:"view"`
}

func (p *page) snapshot() {
	m := p.server.model
	f := m.frames.Load()
	s := snapshotJSON{Prefix: m.prefix, Version: p.server.config.Status.Status().Version, Started: m.started, Resumed: p.resumed,
		Flow: f.flow, Latency: f.latency}
	place, _ := m.ring.end()
	s.Held = int(min(place-1, ringEntries))
	s.History, p.point = m.history.since(1)
	s.View, p.view = m.view.since(0)
	p.loaded, p.frame = s.View.Loaded, f.number
	p.buffer = append(p.buffer, "retry: "+strconv.Itoa(retryMS)+"\n"...)
	b, _ := json.Marshal(s) // never fails, as its parts do not
	p.event("snapshot", "", b)
}

// tailJSON is an event "tail" of the stream. Rows are events, or gaps in their place.
type tailJSON struct {
	Skipped uint64            `json:"skipped,omitempty"` // events before these rows that a page is not sent at this rate
	Rows    []json.RawMessage `json:"rows"`
	At      *placeJSON        `json:"at,omitempty"` // the last event looked at, whether it matched or not
}

type placeJSON struct {
	Epoch    uint32       `json:"epoch"`
	Seq      uint64       `json:"seq"`
	Position cdc.Position `json:"pos"`
}

func placeOf(e *entry) *placeJSON {
	if e == nil {
		return nil
	}
	return &placeJSON{e.epoch, e.seq, e.position}
}

func (p *page) tail(now time.Time) {
	f := p.cursor.take(now)
	if f.skipped > 0 {
		p.server.model.dropped.Add(f.skipped)
		p.server.config.UI.Dropped.Add(float64(f.skipped))
	}
	moved := f.at != p.at && now.Sub(p.told) >= time.Second
	if len(f.rows) == 0 && f.skipped == 0 && !moved {
		return
	}
	rows := make([]json.RawMessage, len(f.rows))
	for i, e := range f.rows {
		rows[i] = e.json()
	}
	p.at, p.told = f.at, now
	p.event("tail", p.id(), appendTail(nil, tailJSON{f.skipped, rows, placeOf(f.at)}))
}

// appendTail encodes by hand what json.Marshal would check and copy once more.
func appendTail(b []byte, t tailJSON) []byte {
	b = append(b, '{')
	if t.Skipped > 0 {
		b = append(strconv.AppendUint(append(b, `"skipped":`...), t.Skipped, 10), ',')
	}
	b = append(b, `"rows":[`...)
	for i, row := range t.Rows {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(b, row...)
	}
	b = append(b, ']')
	if t.At != nil {
		at, _ := json.Marshal(t.At) // numbers and a position: never fails
		b = append(append(b, `,"at":`...), at...)
	}
	return append(b, '}')
}

func (p *page) id() string {
	if p.at == nil {
		return ""
	}
	return p.at.position.String()
}

func (p *page) sums(f *frames) {
	p.frame = f.number
	p.event("flow", p.id(), f.flow)
	p.event("latency", "", f.latency)
	points, next := p.server.model.history.since(p.point)
	if len(points) > 0 {
		b, _ := json.Marshal(points) // numbers: never fails
		p.event("history", "", b)
	}
	p.point = next
}

func (p *page) groups() {
	j, version := p.server.model.view.since(p.view)
	if version == p.view && j.Loaded == p.loaded {
		return
	}
	p.view, p.loaded = version, j.Loaded
	b, _ := json.Marshal(j) // strings and numbers: never fails
	p.event("view", "", b)
}

// event appends an event to the buffer. The data has no line break: JSON escapes them.
func (p *page) event(name, id string, data []byte) {
	p.buffer = append(append(append(p.buffer, "event: "...), name...), '\n')
	if id != "" {
		p.buffer = append(append(append(p.buffer, "id: "...), id...), '\n')
	}
	p.buffer = append(append(append(p.buffer, "data: "...), data...), "\n\n"...)
}

// flush writes the buffer. It reports false when the page has gone or takes nothing.
func (p *page) flush(now time.Time) bool {
	if len(p.buffer) == 0 {
		return true
	}
	p.control.SetWriteDeadline(now.Add(writeTimeout)) // where it is not supported, the server's own limit holds
	if _, err := p.writer.Write(p.buffer); err != nil {
		return false
	}
	if cap(p.buffer) > frameBytes {
		p.buffer = nil // a snapshot's; the frames after it are small
	}
	p.buffer, p.written = p.buffer[:0], now
	return p.control.Flush() == nil
}
