package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/livedb/livedb/internal/bench"
	"github.com/livedb/livedb/internal/devstack"
)

// benchLatencyCommand measures how long after its commit a change arrives, at given rates.
type benchLatencyCommand struct {
	Kafka       []string      `name:"kafka" env:"LIVEDB_KAFKA,KAFKA_BROKERS" placeholder:"HOST:PORT" help:"Use this Kafka; the default is an embedded one in a process of its own, fresh for each run."`
	Rates       []int         `name:"rates" default:"2000,10000" placeholder:"N" help:"One-row transactions per second, each on a schedule that waits for nobody."`
	For         time.Duration `name:"for" default:"20s" help:"How long each rate is measured."`
	WarmUp      time.Duration `name:"warm-up" default:"5s" help:"How long each rate is written before it is measured."`
	Connections int           `name:"connections" default:"4" help:"Connections that write side by side."`
	Partitions  int32         `name:"partitions" default:"6" help:"Partitions of the table's topic."`
	View        bool          `name:"view" default:"true" negatable:"" help:"Measure to the processor's view too, in runs of their own."`
	JSON        bool          `name:"json" help:"Print one JSON object."`
	PgBin       string        `name:"pg-bin" type:"path" placeholder:"DIR" help:"The folder of the embedded Postgres's initdb and postgres."`
}

// scheduleError says that a run was disturbed, or that its load was not what it was to be.
type scheduleError struct{}

func (*scheduleError) Error() string {
	return "the machine or the writer was too busy, as the report says: this is no result; end what else runs here, or give --connections more or --rates less"
}

// Run implements the command.
func (c *benchLatencyCommand) Run(i *invocation) error {
	for _, rate := range c.Rates {
		if rate < 1 || rate > 1_000_000 {
			return &usageError{fmt.Sprintf("--rates names %d transactions per second", rate), "give each between 1 and 1000000"}
		}
	}
	if len(c.Rates) == 0 || c.For < time.Second || c.WarmUp < 0 || c.Connections < 1 || c.Connections > 64 || c.Partitions < 1 {
		return &usageError{"--rates, --for, --warm-up, --connections and --partitions are out of bounds", "give at least a rate, a second, 1 to 64 connections and a partition"}
	}
	var report *bench.LatencyReport
	err := withPostgres(i, c.PgBin, func(ctx context.Context, source string) (err error) {
		report, err = bench.Latency(ctx, bench.LatencyConfig{Source: source, Brokers: c.Kafka, Command: benchChild, Rates: c.Rates, For: c.For, WarmUp: c.WarmUp,
			Connections: c.Connections, Partitions: c.Partitions, View: c.View, Tell: i.tell})
		return err
	})
	if err != nil {
		return err
	}
	if err := printReport(i, report, c.JSON); err != nil {
		return err
	}
	if report.Refused() {
		return &scheduleError{}
	}
	return nil
}

// report is what a bench prints.
type report interface {
	PrintTable(w io.Writer) error
}

func printReport(i *invocation, r report, asJSON bool) error {
	if asJSON {
		return printJSON(i.out, r)
	}
	return r.PrintTable(i.out)
}

// printJSON writes a value for a script that a person may also read.
func printJSON(w io.Writer, value any) error {
	encoder := json.NewEncoder(w)
	encoder.SetIndent("", "  ")
	return encoder.Encode(value)
}

// tell writes a line about how it goes.
func (i *invocation) tell(format string, args ...any) { fmt.Fprintf(i.err, format+"\n", args...) }

// withPostgres runs a bench on an embedded Postgres that does nothing by itself meanwhile.
func withPostgres(i *invocation, binaries string, run func(ctx context.Context, source string) error) error {
	pg, err := devstack.StartPostgres(i.ctx, devstack.PostgresConfig{BinDir: binaries, Log: i.log(), Settings: bench.Settings})
	if err != nil {
		return err
	}
	defer stopPostgres(pg, i.log())
	if err := run(i.ctx, pg.URL()); err != nil {
		return errors.Join(i.ctx.Err(), err)
	}
	return nil
}
