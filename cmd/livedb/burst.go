package main

import (
	"context"
	"time"

	"github.com/livedb/livedb/cdc/postgres"
	"github.com/livedb/livedb/internal/burst"
)

// burstCommand runs the role burst.
type burstCommand struct {
	sourceFlags
	schemaFlags
	kafkaFlags // only for its status: the dashboard finds it there
	opsFlags
	burstFlags
}

// burstFlags shape the load.
type burstFlags struct {
	For            time.Duration `name:"for" placeholder:"DURATION" help:"Stop after this time; endless if not given."`
	Rate           float64       `name:"rate" default:"500" help:"Rows per second; 0 is as fast as possible."`
	BurstSize      int           `name:"burst-size" default:"0" help:"Rows that become due at once, on top of the rate."`
	BurstEvery     time.Duration `name:"burst-every" default:"0s" help:"How often they do."`
	MixInsert      int           `name:"mix-insert" default:"60" help:"Weight of inserts."`
	MixUpdate      int           `name:"mix-update" default:"30" help:"Weight of updates."`
	MixDelete      int           `name:"mix-delete" default:"10" help:"Weight of deletes."`
	TransactionMin int           `name:"transaction-min" default:"1" help:"Fewest rows of a transaction."`
	TransactionMax int           `name:"transaction-max" default:"40" help:"Most rows of a transaction."`
	Rollbacks      float64       `name:"rollbacks" default:"0.02" help:"Share of transactions that are taken back."`
	Savepoints     float64       `name:"savepoints" default:"0.05" help:"Share of transactions that take a part back."`
	Connections    int           `name:"connections" default:"4" help:"Connections that write side by side."`
	KeepOrders     int           `name:"keep-orders" default:"20000" help:"Orders that the tables grow to; beyond it old ones are deleted."`
	Seed           uint64        `name:"seed" default:"0" help:"Of the random choices; 0 takes a random one and logs it."`
}

func (f burstFlags) config(url, schema string) burst.Config {
	return burst.Config{URL: url, Schema: schema, For: f.For, Rate: f.Rate, Burst: burst.Burst{Size: f.BurstSize, Every: f.BurstEvery},
		Mix:             burst.Mix{Insert: f.MixInsert, Update: f.MixUpdate, Delete: f.MixDelete},
		TransactionRows: burst.Range{Min: f.TransactionMin, Max: f.TransactionMax},
		Rollback:        f.Rollbacks, Savepoint: f.Savepoints, Connections: f.Connections, KeepOrders: f.KeepOrders, Seed: f.Seed}
}

// Run implements the command.
func (c *burstCommand) Run(i *invocation) error {
	if _, err := postgres.Parse(c.Source.Reveal()); err != nil {
		return err
	}
	listener, err := c.listen()
	if err != nil {
		return err
	}
	h := newHost(i.ctx, i.log())
	h.serveOps(listener)
	h.publish(c.kafkaFlags.config("burst"), c.Prefix)
	load := h.burst(c.burstFlags.config(c.Source.Reveal(), c.Schema))
	if i.terminal() {
		load.Progress = i.err
	}
	h.role(func(ctx context.Context) error {
		result, err := burst.Run(ctx, load)
		if err == nil {
			h.log.Info("written", "rows", result.Rows, "transactions", result.Transactions, "rollbacks", result.Rollbacks, "seed", result.Seed)
		}
		return err
	})
	return h.wait()
}
