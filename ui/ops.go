package ui

import (
	"encoding/json"
	"net/http"
	"time"

	"github.com/livedb/livedb/internal/status"
)

// OpsHandler serves what operators ask of any role: /metrics, /livez, /startupz, /readyz (with ?verbose, every role's
// state) and its alias /healthz. The dashboard serves it too; roles that run alone serve nothing else. A nil metrics
// handler leaves /metrics out.
func OpsHandler(board *status.Board, metrics http.Handler) http.Handler {
	mux := http.NewServeMux()
	if metrics != nil {
		mux.Handle("GET /metrics", metrics)
	}
	mux.HandleFunc("GET /livez", func(w http.ResponseWriter, _ *http.Request) {
		writeJSON(w, http.StatusOK, answer{Status: "ok"}) // that the process answers is all it says
	})
	mux.HandleFunc("GET /startupz", func(w http.ResponseWriter, _ *http.Request) {
		for _, s := range board.Reports() {
			if s.State == status.Initializing {
				writeJSON(w, http.StatusServiceUnavailable, answer{Status: "starting"})
				return
			}
		}
		writeJSON(w, http.StatusOK, answer{Status: "ok"})
	})
	ready := func(w http.ResponseWriter, r *http.Request) {
		a, code := answer{Status: "ok"}, http.StatusOK
		if !board.Ready() {
			a.Status, code = "not ready", http.StatusServiceUnavailable
		}
		if r.URL.Query().Has("verbose") || r.URL.Path == "/healthz" {
			for _, s := range board.Reports() {
				a.Roles = append(a.Roles, health{s.Role, s.Instance, s.Version, s.State, s.Detail, s.Since})
			}
		}
		writeJSON(w, code, a)
	}
	mux.HandleFunc("GET /readyz", ready)
	mux.HandleFunc("GET /healthz", ready)
	return mux
}

type answer struct {
	Status string   `json:"status"`
	Roles  []health `json:"roles,omitempty"`
}

type health struct {
	Role     string       `json:"role"`
	Instance string       `json:"instance"`
	Version  string       `json:"version"`
	State    status.State `json:"state"`
	Detail   string       `json:"detail"`
	Since    time.Time    `json:"since"`
}

// writeJSON answers a request. That the client may have gone is not an error anyone could act on.
func writeJSON(w http.ResponseWriter, code int, value any) {
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(code)
	encoder := json.NewEncoder(w)
	encoder.SetEscapeHTML(false)
	_ = encoder.Encode(value)
}

func writeError(w http.ResponseWriter, code int, text string) {
	writeJSON(w, code, struct {
		Error string `json:"error"`
	}{text})
}
