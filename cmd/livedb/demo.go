package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"runtime/debug"
	"time"

	"github.com/livedb/livedb/cdc"
	"github.com/livedb/livedb/cdc/postgres"
	"github.com/livedb/livedb/internal/burst/ledger"
	"github.com/livedb/livedb/migrations"
	"github.com/livedb/livedb/ui"
)

// demoCommand runs everything:
//
//	burst ──► Postgres ──► cdc ──► Kafka ──► process ──► Kafka ──► ui ──► browser
//	  │      (embedded)          (embedded)    │
//	  └──── the ledger in the source ──────────┴──► proof: what was written against what a reader saw
type demoCommand struct {
	sourceFlags
	Kafka      []string      `name:"kafka" env:"LIVEDB_KAFKA,KAFKA_BROKERS" placeholder:"HOST:PORT" help:"Use this Kafka instead of the embedded one."`
	Partitions int32         `name:"partitions" default:"4" help:"Partitions of each table's topic."`
	Linger     time.Duration `name:"linger" default:"20ms" help:"How long a Kafka transaction gathers events before it commits."`
	Yes        bool          `name:"yes" help:"Do not ask before writing to the source given by --source."`
	JSON       bool          `name:"json" help:"Print one JSON object at the end."`
	PgBin      string        `name:"pg-bin" type:"path" placeholder:"DIR" help:"The folder of the embedded Postgres's initdb and postgres."`
	kafkaAccess
	uiFlags
	burstFlags
}

// demoName names the demo's schema, slot and publication.
const demoName = "livedb_demo"

// Times of the demo's end.
const (
	catchUpLimit   = 60 * time.Second // for the reader to see what was written, after --for
	interruptLimit = 2 * time.Second  // the same after Ctrl-C
	cleanUpLimit   = 10 * time.Second
)

// Run implements the command.
func (c *demoCommand) Run(i *invocation) error {
	log := i.log()
	// The embedded Kafka holds tens of megabytes of events for long: half as much garbage beside them is enough.
	debug.SetGCPercent(50)
	listener, err := ui.Listen(c.Listen) // before anything is started
	if err != nil {
		return err
	}
	defer listener.Close()
	if err := c.ask(i); err != nil {
		return err
	}

	s, err := c.start(i.ctx, log)
	if err != nil {
		return err
	}
	defer s.stop(log)
	fmt.Fprintf(i.err, "LiveDB demo\n  postgres   %s\n  kafka      %s\n  dashboard  http://%s\n", s.postgres, s.kafka, listener.Addr())
	if c.For == 0 {
		fmt.Fprintln(i.err, "  Ctrl-C ends it, and what is embedded goes with it.")
		if c.BurstSize == 0 && c.BurstEvery == 0 { // something to look at
			c.BurstSize, c.BurstEvery = 1000, 10*time.Second
		}
	}
	summary, err := c.stream(i, s, listener, log)
	if err != nil {
		return err
	}
	if c.JSON {
		err = json.NewEncoder(i.out).Encode(summary)
	} else {
		_, err = fmt.Fprintln(i.out, summary)
	}
	return errors.Join(err, summary.verdict())
}

// ask makes sure that the user's own Postgres may be written to.
func (c *demoCommand) ask(i *invocation) error {
	if c.Source == "" {
		return nil
	}
	cc, err := postgres.Parse(c.Source.Reveal())
	if err != nil || c.Yes {
		return err
	}
	fmt.Fprintf(i.err, "The demo will write to %s: a schema, a publication and a replication slot, all named %s.\n"+
		"The slot and the publication are dropped at the end; the schema stays. Go on? [y/N] ", postgres.Address(cc), demoName)
	if yes, err := i.confirm(); err != nil {
		return err
	} else if !yes {
		return &cdc.Refusal{Name: "not_confirmed", Problem: "the demo was not allowed to write to " + postgres.Address(cc), Remedy: "answer y, or pass --yes"}
	}
	return nil
}

// prepare checks the source, removes what a killed demo left in it, and makes the tables.
func (c *demoCommand) prepare(ctx context.Context, source postgres.Config) error {
	if c.Source != "" {
		if _, err := postgres.Inspect(ctx, source); err != nil {
			return err
		}
		if err := postgres.DropSlots(ctx, source); err != nil {
			return err
		}
		if err := postgres.DropPublication(ctx, source); err != nil {
			return err
		}
	}
	_, err := migrations.Up(ctx, source.URL, demoName)
	return err
}

// sourceConfig is the demo's stream in the source.
func (c *demoCommand) sourceConfig(url string) postgres.Config {
	var tables []string
	for _, t := range []ledger.Table{ledger.Customers, ledger.Orders, ledger.Items, ledger.Entries} {
		tables = append(tables, demoName+"."+t.String())
	}
	return postgres.Config{URL: url, Slot: demoName, Publication: demoName, Tables: tables}
}
