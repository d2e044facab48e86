package ui

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// maxStreams bounds the pages that watch at the same time.
const maxStreams = 64

// server answers the browsers.
type server struct {
	config Config
	model  *model
	assets *assets
	hosts  []string // under which it may be asked for; nil for any

	closing chan struct{} // closed when the streams shall say bye
	streams sync.WaitGroup
}

func newServer(c Config, m *model) (*server, error) {
	a, err := newAssets(c.Dir)
	if err != nil {
		return nil, err
	}
	s := &server{config: c, model: m, assets: a, closing: make(chan struct{})}
	if t, tcp := c.Listener.Addr().(*net.TCPAddr); tcp && t.IP.IsLoopback() {
		s.hosts = append([]string{"localhost"}, c.Hosts...)
	}
	return s, nil
}

// handler returns all routes.
func (s *server) handler() http.Handler {
	mux := http.NewServeMux()
	ops := OpsHandler(s.config.Board, s.config.Metrics)
	for _, route := range []string{"/livez", "/startupz", "/readyz", "/healthz"} {
		mux.Handle("GET "+route, s.timed(route, ops))
	}
	if s.config.Metrics != nil {
		mux.Handle("GET /metrics", s.timed("/metrics", ops))
	}
	mux.HandleFunc("GET /api/v1/stream", s.stream) // not timed: it lasts as long as the page
	mux.Handle("GET /api/v1/status", s.timed("/api/v1/status", http.HandlerFunc(s.status)))
	mux.Handle("GET /api/v1/tail", s.timed("/api/v1/tail", http.HandlerFunc(s.tail)))
	mux.Handle("GET /api/v1/view/orders", s.timed("/api/v1/view/orders", http.HandlerFunc(s.viewOrders)))
	mux.Handle("GET /api/", s.timed("/api/", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		writeError(w, http.StatusNotFound, "there is no "+r.URL.Path+": /openapi.json lists what there is")
	})))
	mux.Handle("GET /", s.timed("/", s.assets))
	// Nothing here changes anything. A request that could, from another site, is refused before it is looked at.
	return s.guard(http.NewCrossOriginProtection().Handler(mux))
}

// guard sets the headers of every answer and refuses a request under a foreign name.
func (s *server) guard(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		policy, err := s.assets.policy()
		if err != nil {
			writeError(w, http.StatusInternalServerError, err.Error())
			return
		}
		h.Set("Content-Security-Policy", policy)
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("X-Frame-Options", "DENY")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("Cross-Origin-Opener-Policy", "same-origin")
		h.Set("Cross-Origin-Resource-Policy", "same-origin")
		h.Set("Permissions-Policy", "camera=(), geolocation=(), microphone=(), payment=(), usb=()")
		if !s.knows(r.Host) {
			writeError(w, http.StatusMisdirectedRequest, fmt.Sprintf("this dashboard serves its own machine only and was asked for as %q: "+
				"open it as localhost, listen on another address, or let it answer to this name", r.Host))
			return
		}
		next.ServeHTTP(w, r)
	})
}

// knows reports whether a dashboard on a loopback address may answer to a name.
func (s *server) knows(hostport string) bool {
	if s.hosts == nil {
		return true
	}
	host, _, err := net.SplitHostPort(hostport)
	if err != nil {
		host = hostport
	}
	host = strings.ToLower(strings.Trim(host, "[]"))
	if ip := net.ParseIP(host); ip != nil && ip.IsLoopback() {
		return true
	}
	return strings.HasSuffix(host, ".localhost") || slices.Contains(s.hosts, host)
}

// timed counts a route's requests and their time.
func (s *server) timed(route string, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		began := time.Now()
		recorder := &recorder{ResponseWriter: w, code: http.StatusOK}
		next.ServeHTTP(recorder, r)
		s.config.UI.Requests.WithLabelValues(route, r.Method, strconv.Itoa(recorder.code)).Observe(time.Since(began).Seconds())
	})
}

// recorder remembers an answer's code.
type recorder struct {
	http.ResponseWriter
	code int
}

// WriteHeader implements http.ResponseWriter.
func (r *recorder) WriteHeader(code int) {
	r.code = code
	r.ResponseWriter.WriteHeader(code)
}

// Unwrap lets http.ResponseController reach the connection.
func (r *recorder) Unwrap() http.ResponseWriter { return r.ResponseWriter }

// serve answers until the context ends, then lets the streams say bye and closes.
func (s *server) serve(ctx context.Context, l net.Listener) error {
	h := &http.Server{Handler: s.handler(), ReadHeaderTimeout: 5 * time.Second, // a ReadTimeout would end streams

		WriteTimeout: 30 * time.Second, IdleTimeout: 2 * time.Minute, MaxHeaderBytes: 64 << 10}
	served := make(chan error, 1)
	go func() { served <- h.Serve(l) }()
	select {
	case err := <-served:
		close(s.closing)
		if errors.Is(err, http.ErrServerClosed) || ctx.Err() != nil {
			return nil
		}
		return fmt.Errorf("the dashboard at %s stopped serving: %w", l.Addr(), err)
	case <-ctx.Done():
	}
	close(s.closing)
	said := make(chan struct{})
	go func() { s.streams.Wait(); close(said) }()
	select {
	case <-said:
	case <-time.After(byeTime):
	}
	deadline, cancel := context.WithTimeout(context.WithoutCancel(ctx), shutdownTime)
	defer cancel()
	if err := h.Shutdown(deadline); err != nil {
		h.Close() // a page that does not take its bye is cut off
	}
	<-served
	return nil
}
