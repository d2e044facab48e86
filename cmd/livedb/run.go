package main

import (
	"github.com/livedb/livedb/internal/capture"
	"github.com/livedb/livedb/ui"
)

// runCommand runs cdc, process and ui in one process.
type runCommand struct {
	sourceFlags
	streamFlags
	kafkaFlags
	topicFlags
	windowFlags
	uiFlags
	viewFlags
	epochFlags
}

// viewFlags say which tables the view reads.
type viewFlags struct {
	ViewSchema string `name:"view-schema" default:"livedb_demo" help:"The schema of the orders table that the view sums up."`
}

// Run implements the command.
func (c *runCommand) Run(i *invocation) error {
	window, err := c.window()
	if err != nil {
		return err
	}
	listener, err := ui.Listen(c.Listen)
	if err != nil {
		return err
	}
	h := newHost(i.ctx, i.log())
	h.checks = true
	err = h.runCDC(c.kafkaFlags, c.topicFlags, c.sourceFlags.config(c.streamFlags), 0, func(r *capture.Config) {
		r.Window, r.NewEpoch = window, uint32(c.NewEpoch)
	})
	if err != nil {
		listener.Close()
		return c.stopped(i, err)
	}
	h.publish(c.kafkaFlags.config("run"), c.Prefix)
	h.runProcess(c.kafkaFlags, c.transactionFlags, c.ViewSchema, 0)
	h.runUI(c.kafkaFlags, c.uiFlags, listener)
	h.log.Info("dashboard", "url", "http://"+listener.Addr().String())
	return c.stopped(i, h.wait())
}
