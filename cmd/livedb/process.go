package main

// processCommand runs the role process.
type processCommand struct {
	kafkaFlags
	viewFlags
	transactionFlags
	opsFlags
}

// Run implements the command.
func (c *processCommand) Run(i *invocation) error {
	brokers := c.brokers(c.kafkaFlags, "process")
	if err := brokers.Check(); err != nil { // before its status is published
		return err
	}
	listener, err := c.listen()
	if err != nil {
		return err
	}
	h := newHost(i.ctx, i.log())
	h.serveOps(listener)
	h.publish(brokers, c.Prefix)
	h.runProcess(c.kafkaFlags, c.transactionFlags, c.ViewSchema, 0)
	return h.wait()
}
