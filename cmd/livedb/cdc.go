package main

// cdcCommand runs the role cdc.
type cdcCommand struct {
	sourceFlags
	streamFlags
	kafkaFlags
	topicFlags
	opsFlags
}

// Run implements the command.
func (c *cdcCommand) Run(i *invocation) error {
	listener, err := c.listen()
	if err != nil {
		return err
	}
	h := newHost(i.ctx, i.log())
	if err := h.runCDC(c.kafkaFlags, c.topicFlags, c.sourceFlags.config(c.streamFlags), 0); err != nil {
		return err
	}
	h.serveOps(listener)
	h.publish(c.kafkaFlags.config("cdc"), c.Prefix)
	return h.wait()
}
