package main

import "github.com/livedb/livedb/ui"

// uiCommand runs the role ui.
type uiCommand struct {
	kafkaFlags
	uiFlags
}

// Run implements the command.
func (c *uiCommand) Run(i *invocation) error {
	listener, err := ui.Listen(c.Listen)
	if err != nil {
		return err
	}
	h := newHost(i.ctx, i.log())
	h.publish(c.kafkaFlags.config("ui"), c.Prefix)
	h.runUI(c.kafkaFlags, c.uiFlags, listener)
	return h.wait()
}
