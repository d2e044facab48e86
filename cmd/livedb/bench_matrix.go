package main

import (
	"context"
	"time"

	"github.com/livedb/livedb/internal/bench"
)

// benchMatrixCommand measures what a row and a byte cost as tables, partitions, columns and rows grow.
type benchMatrixCommand struct {
	Kafka  []string      `name:"kafka" env:"LIVEDB_KAFKA,KAFKA_BROKERS" placeholder:"HOST:PORT" help:"Use this Kafka; the default is an embedded one in a process of its own, fresh for each run."`
	Cells  []string      `name:"cells" placeholder:"CELL" help:"Only these of base, tables-100, tables-2000, partitions-16, columns-200 and rows-100kb."`
	Scale  float64       `name:"scale" default:"1" help:"Multiplies the rows of every cell; below 1 for a quick look."`
	Tries  int           `name:"tries" default:"2" help:"How often a noisy run is made at most. A run is noisy if something else used more than a tenth of the machine; if it stays so, bench-matrix exits with 5."`
	Settle time.Duration `name:"settle" default:"2s" help:"How long a run waits for the machine to be quiet at most."`
	JSON   bool          `name:"json" help:"Print one JSON object."`
	PgBin  string        `name:"pg-bin" type:"path" placeholder:"DIR" help:"The folder of the embedded Postgres's initdb and postgres."`
}

// Run implements the command.
func (c *benchMatrixCommand) Run(i *invocation) error {
	cells, err := bench.FindCells(c.Cells)
	if err != nil {
		return &usageError{err.Error(), "correct --cells"}
	}
	if c.Scale <= 0 || c.Tries < 1 {
		return &usageError{"--scale and --tries count something", "give each more than 0"}
	}
	var found *bench.MatrixReport
	err = withPostgres(i, c.PgBin, func(ctx context.Context, source string) (err error) {
		found, err = bench.Matrix(ctx, bench.MatrixConfig{Source: source, Brokers: c.Kafka, Command: benchChild, Cells: cells, Scale: c.Scale,
			Tries: c.Tries, Settle: c.Settle, Tell: i.tell})
		return err
	})
	if err != nil {
		return err
	}
	if err := printReport(i, found, c.JSON); err != nil {
		return err
	}
	if noisy := found.Noisy(); noisy > 0 {
		return &noisyError{noisy}
	}
	return nil
}
