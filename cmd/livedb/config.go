package main

// configCommand shows what every setting is and where it comes from.
type configCommand struct {
	JSON bool `name:"json" help:"Print one JSON array."`

	sourceFlags
	kafkaFlags
}

// Run implements the command.
func (c *configCommand) Run(i *invocation) error {
	settings, err := effective(i.parser, i.parsed)
	if err != nil {
		return err
	}
	return printSettings(i.out, settings, c.JSON)
}
