package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/errgroup"

	"github.com/livedb/livedb/cdc/envelope"
	"github.com/livedb/livedb/internal/kafka"
	"github.com/livedb/livedb/internal/metrics"
	"github.com/livedb/livedb/internal/status"
	"github.com/livedb/livedb/ui"
)

// host is what the roles of one process share: a registry, a board and a logger. The first role to end ends the others,
// and all are waited for.
type host struct {
	log      *slog.Logger
	registry *prometheus.Registry
	board    *status.Board
	checks   bool // cdc's source is the user's own: have it checked beside the start

	group *errgroup.Group
	ctx   context.Context // of the roles
}

func newHost(ctx context.Context, log *slog.Logger) *host {
	version, revision := build()
	group, ctx := errgroup.WithContext(ctx)
	return &host{log: log, registry: metrics.NewRegistry(version, revision), board: status.NewBoard(version), group: group, ctx: ctx}
}

// errEnded ends the other roles of a process when one has ended without an error.
var errEnded = errors.New("a role ended")

// role runs a role until it ends. A role that ends by itself ends the process.
func (h *host) role(run func(ctx context.Context) error) {
	h.group.Go(func() error {
		if err := run(h.ctx); err != nil {
			return err
		}
		return errEnded
	})
}

// wait returns the first error of a role.
func (h *host) wait() error {
	if err := h.group.Wait(); !errors.Is(err, errEnded) {
		return err
	}
	return nil
}

// publish writes the board to Kafka as long as the roles run. Without brokers it does nothing.
func (h *host) publish(k kafka.Config, prefix string) {
	if len(k.Brokers) == 0 {
		return
	}
	h.group.Go(func() error {
		status.Publish(h.ctx, k, envelope.Topics(prefix).Status(), h.board, h.log)
		return nil
	})
}

// serveOps serves /metrics, /livez and /readyz of a process without a dashboard. The listener may be nil.
func (h *host) serveOps(l net.Listener) {
	if l == nil {
		return
	}
	server := &http.Server{Handler: ui.OpsHandler(h.board, metrics.Handler(h.registry)), ReadHeaderTimeout: 5 * time.Second}
	stop := context.AfterFunc(h.ctx, func() { server.Close() })
	h.log.Info("metrics are served", "address", l.Addr().String())
	h.group.Go(func() error {
		defer stop()
		if err := server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
			return fmt.Errorf("serve /metrics: %w", err)
		}
		return nil
	})
}

// listenOps opens the address before anything else is started.
func (f opsFlags) listen() (net.Listener, error) {
	if f.OpsListen == "" {
		return nil, nil
	}
	return ui.Listen(f.OpsListen)
}
