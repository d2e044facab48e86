package main

// processCommand runs the role process.
type processCommand struct {
	kafkaFlags
	viewFlags
	opsFlags
}

// Run implements the command.
func (c *processCommand) Run(i *invocation) error {
	listener, err := c.listen()
	if err != nil {
		return err
	}
	h := newHost(i.ctx, i.log())
	h.serveOps(listener)
	h.publish(c.kafkaFlags.config("process"), c.Prefix)
	h.runProcess(c.kafkaFlags, c.ViewSchema, 0)
	return h.wait()
}
