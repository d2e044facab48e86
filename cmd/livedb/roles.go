package main

import (
	"context"
	"net"

	"github.com/livedb/livedb/cdc/postgres"
	"github.com/livedb/livedb/internal/burst"
	"github.com/livedb/livedb/internal/capture"
	"github.com/livedb/livedb/internal/metrics"
	"github.com/livedb/livedb/processor"
	"github.com/livedb/livedb/ui"
)

// The roles, as demo, run and each role's own command start them. Nothing is wired anywhere else.

// runCDC returns an error if the preflight refuses; nothing has been made then, not even the topic of the status.
func (h *host) runCDC(k kafkaFlags, t topicFlags, source postgres.Config, retention int64, adjust ...func(*capture.Config)) error {
	c := captureConfig(k, t, source, retention)
	c.Metrics, c.Status, c.Log = metrics.NewCDC(h.registry), h.board.Role("cdc"), h.log.With("role", "cdc")
	for _, a := range adjust {
		a(&c)
	}
	if err := capture.Preflight(h.ctx, c); err != nil {
		return err
	}
	if cc, err := postgres.Parse(source.URL); err == nil && postgres.InClear(cc) {
		h.log.Warn("what the source sends, and what is sent to it, is not protected by TLS: sslmode=disable", "source", postgres.Address(cc))
	}
	h.role(func(ctx context.Context) error { return capture.Run(ctx, c) })
	if h.checks {
		h.checkBeside(c)
	}
	return nil
}

func (h *host) runProcess(k kafkaFlags, t transactionFlags, schema string, retention int64) {
	c := processor.Config{Kafka: t.brokers(k, "process"), Prefix: k.Prefix, View: processor.Orders(schema), NoSnapshot: true, RetentionBytes: retention,
		Metrics: metrics.NewProcessor(h.registry), Status: h.board.Role("process"), Log: h.log.With("role", "process")}
	h.role(func(ctx context.Context) error { return processor.Run(ctx, c) })
}

func (h *host) runUI(k kafkaFlags, f uiFlags, l net.Listener) {
	c := ui.Config{Kafka: k.config("ui"), Prefix: k.Prefix, Listener: l, Hosts: f.Hosts, Dir: f.UIDir,
		Metrics: metrics.Handler(h.registry), Board: h.board, UI: metrics.NewUI(h.registry),
		Status: h.board.Role("ui"), Log: h.log.With("role", "ui")}
	h.role(func(ctx context.Context) error { return ui.Run(ctx, c) })
}

func (h *host) burst(c burst.Config) burst.Config {
	c.Metrics, c.Status, c.Log = metrics.NewBurst(h.registry), h.board.Role("burst"), h.log.With("role", "burst")
	return c
}
