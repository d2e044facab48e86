package main

import (
	"encoding/json"
	"fmt"

	"github.com/livedb/livedb/internal/capture"
)

// cdcCommand runs the role cdc.
type cdcCommand struct {
	sourceFlags
	streamFlags
	kafkaFlags
	topicFlags
	windowFlags
	opsFlags
	epochFlags

	Drain bool `name:"drain" help:"Deliver everything that had committed by now, then disconnect and end, so that a Neon compute may sleep until the next time."`
}

// Run implements the command.
func (c *cdcCommand) Run(i *invocation) error {
	window, err := c.window()
	if err != nil {
		return err
	}
	listener, err := c.listen()
	if err != nil {
		return err
	}
	var drained *capture.Drained
	if c.Drain {
		drained = &capture.Drained{}
	}
	h := newHost(i.ctx, i.log())
	h.checks = true
	err = h.runCDC(c.kafkaFlags, c.topicFlags, c.sourceFlags.config(c.streamFlags), 0, func(r *capture.Config) {
		r.Window, r.Drain, r.NewEpoch = window, drained, uint32(c.NewEpoch)
	})
	if err != nil {
		return c.stopped(i, err)
	}
	h.serveOps(listener)
	h.publish(c.kafkaFlags.config("cdc"), c.Prefix)
	if err := h.wait(); err != nil || drained == nil {
		return c.stopped(i, err)
	}
	if !drained.Done {
		return i.ctx.Err()
	}
	return printDrained(i, drained, c.JSON)
}

func printDrained(i *invocation, d *capture.Drained, asJSON bool) error {
	if asJSON {
		return json.NewEncoder(i.out).Encode(struct {
			*capture.Drained
			From string `json:"from_lsn"`
			To   string `json:"to_lsn"`
		}{d, d.From.String(), d.To.String()})
	}
	_, err := fmt.Fprintf(i.out, "drained in %.1f s: %d transactions with %d events, up to seq %d; acknowledged from %s to %s\n",
		d.Seconds, d.Transactions, d.Events, d.Seq, d.From, d.To)
	return err
}
