package main

import (
	"fmt"

	"github.com/livedb/livedb/cdc/postgres"
	"github.com/livedb/livedb/migrations"
)

// migrateCommand creates the demo's tables.
type migrateCommand struct {
	sourceFlags
	schemaFlags
}

// schemaFlags say where the demo's tables are.
type schemaFlags struct {
	Schema string `name:"schema" default:"livedb_demo" help:"The schema of the demo's tables."`
}

// Run implements the command.
func (c *migrateCommand) Run(i *invocation) error {
	if _, err := postgres.Parse(c.Source.Reveal()); err != nil {
		return err
	}
	applied, err := migrations.Up(i.ctx, c.Source.Reveal(), c.Schema)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(i.out, "%d migrations applied to the schema %s\n", applied, c.Schema)
	return err
}
