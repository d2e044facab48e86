package ui

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"time"
)

// status serves /api/v1/status: the page's numbers as of now.
func (s *server) status(w http.ResponseWriter, _ *http.Request) {
	f := s.model.frames.Load()
	writeJSON(w, http.StatusOK, struct {
		Prefix  string          `json:"prefix"`
		Version string          `json:"version"`
		Started time.Time       `json:"started"`
		Flow    json.RawMessage `json:"flow"`
		Latency json.RawMessage `json:"latency"`
	}{s.model.prefix, s.config.Status.Status().Version, s.model.started, f.flow, f.latency})
}

// viewOrders serves /api/v1/view/orders: the groups held, the newest first.
func (s *server) viewOrders(w http.ResponseWriter, _ *http.Request) {
	at, _ := s.model.view.since(^uint64(0) >> 1)
	writeJSON(w, http.StatusOK, struct {
		Loaded   bool       `json:"loaded"` // all records that existed at the start have been read
		Position string     `json:"position,omitempty"`
		Groups   []groupRow `json:"groups"`
	}{at.Loaded, at.Position, s.model.view.rows()})
}

// defaultTail is how many rows /api/v1/tail returns unless asked for another number.
const defaultTail = 100

// tail serves /api/v1/tail: the last events that match table, op and q, the newest first, with the gaps between them.
func (s *server) tail(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	f, err := parseFilter(q)
	if err != nil {
		writeError(w, http.StatusBadRequest, err.Error())
		return
	}
	limit := defaultTail
	if text := q.Get("limit"); text != "" {
		limit, err = strconv.Atoi(text)
		if err != nil || limit < 1 || limit > ringEntries {
			writeError(w, http.StatusBadRequest, fmt.Sprintf("limit %q is not a number from 1 to %d", text, ringEntries))
			return
		}
	}
	last := s.model.ring.last(limit, f)
	slices.Reverse(last)
	rows := make([]json.RawMessage, len(last))
	for i, e := range last {
		rows[i] = e.json()
	}
	writeJSON(w, http.StatusOK, struct {
		Rows []json.RawMessage `json:"rows"`
	}{rows})
}
