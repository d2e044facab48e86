// Package ui is the role ui: the dashboard. It reads the stream in commit order, the processor's results and every
// role's status from Kafka, and shows them in a browser. It writes nothing to Kafka and asks nothing of Postgres.
//
// The parts, in the direction the data flows:
//
//	events.go, follow.go   Kafka → model: the ordering reader; the compacted topics of status and views
//	model.go               what is known: ring.go (the last events), view.go, flow.go, latency.go, history.go
//	stream.go, api.go      model → browser: server-sent events, JSON
//	server.go, assets.go   routes, headers, the embedded page of static/
//
// The pipeline never waits for a page. There is one ring of the last events, and every page has a place in it: a page
// that is slow falls out of the ring's tail and is told how many events it did not see. Everything else a page shows
// is the newest state, so a slow page skips what lies between.
package ui

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"syscall"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/livedb/livedb/cdc/envelope"
	"github.com/livedb/livedb/internal/kafka"
	"github.com/livedb/livedb/internal/metrics"
	"github.com/livedb/livedb/internal/status"
)

// DefaultListen is where the dashboard is served unless the config says otherwise: on this machine only.
const DefaultListen = "127.0.0.1:8080"

// Config configures the dashboard. Only Kafka and Prefix are required.
type Config struct {
	Kafka  kafka.Config
	Prefix string

	// Listener serves the dashboard. A caller opens it with Listen before it starts anything else, so that a port in
	// use is the first thing to be told. When nil, Run opens Listen.
	Listener net.Listener
	Listen   string // DefaultListen when empty

	// Hosts are further names under which a dashboard on a loopback address may be asked for, such as that of a proxy
	// on this machine. Without the check any web page could read the dashboard through a name that it points at
	// 127.0.0.1.
	Hosts []string

	Dir string // serve the page's files from this folder, for development; embedded when empty

	Metrics http.Handler     // serves /metrics; nil leaves it out
	Board   *status.Board    // behind /livez, /startupz and /readyz; nil for this role alone
	UI      *metrics.UI      // nil counts for nobody
	Status  *status.Reporter // nil reports to nobody
	Log     *slog.Logger     // nil logs nothing
}

// Listen opens the address of a dashboard.
func Listen(address string) (net.Listener, error) {
	if address == "" {
		address = DefaultListen
	}
	l, err := net.Listen("tcp", address)
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return nil, fmt.Errorf("the address %s is in use by another process: stop that process, or choose another address with --listen", address)
	case errors.Is(err, syscall.EACCES):
		return nil, fmt.Errorf("the address %s needs more rights than this process has: choose a port above 1023 with --listen", address)
	case err != nil:
		return nil, fmt.Errorf("the dashboard cannot listen on %q (%w): write the address as host:port with --listen", address, err)
	}
	return l, nil
}

// Times of the role's end.
const (
	byeTime      = 500 * time.Millisecond // for the pages' streams to say bye
	shutdownTime = 3 * time.Second        // for the other requests
)

// Run serves the dashboard until the context ends. It serves at once, whether or not Kafka answers, and survives Kafka
// going away and coming back. It returns nil after an orderly end; only the listener's failure is an error.
func Run(ctx context.Context, c Config) error {
	c, err := c.complete()
	if err != nil {
		return err
	}
	m := newModel(c.Prefix, c.Kafka.Brokers)
	s, err := newServer(c, m)
	if err != nil {
		c.Listener.Close()
		return err
	}
	m.report(c.Status, c.Listener.Addr().String())
	c.Log.Info("dashboard serves", "address", c.Listener.Addr().String(), "prefix", c.Prefix)

	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var work sync.WaitGroup
	work.Go(func() { m.run(ctx) })
	work.Go(func() { readEvents(ctx, c, m) })
	work.Go(func() { followTopics(ctx, c, m) })

	err = s.serve(ctx, c.Listener)
	cancel()
	work.Wait()
	return err
}

// complete fills in what the caller left out.
func (c Config) complete() (Config, error) {
	if err := envelope.CheckPrefix(c.Prefix); err != nil {
		return c, err
	}
	if c.Listener == nil {
		l, err := Listen(c.Listen)
		if err != nil {
			return c, err
		}
		c.Listener = l
	}
	if c.Kafka.ClientID == "" {
		c.Kafka.ClientID = "livedb/ui"
	}
	if c.UI == nil {
		c.UI = metrics.NewUI(prometheus.NewRegistry())
	}
	if c.Board == nil {
		c.Board = status.NewBoard("")
	}
	if c.Status == nil {
		c.Status = c.Board.Role("ui")
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	return c, nil
}
