package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"time"

	"github.com/livedb/livedb/cdc/postgres"
	"github.com/livedb/livedb/internal/bench"
	"github.com/livedb/livedb/internal/devstack"
)

// benchCommand measures how fast a parked slot is drained, by LiveDB and by others, and what that costs.
type benchCommand struct {
	sourceFlags
	Kafka       []string `name:"kafka" env:"LIVEDB_KAFKA,KAFKA_BROKERS" placeholder:"HOST:PORT" help:"Use this Kafka; the default is an embedded one in a process of its own, fresh for each run. Beside one that runs on another machine noise is not looked for."`
	Shapes      []string `name:"shapes" default:"a,b,c,mixed" placeholder:"SHAPE" help:"Forms of load: a is transactions of one row, b of 100, c one transaction, mixed 20 columns with updates and deletes."`
	Parties     []string `name:"parties" default:"recvlogical,nothing,kafka,page" placeholder:"PARTY" help:"Who drains: pg_recvlogical to nothing, LiveDB to nothing, LiveDB to Kafka exactly once, and that through processor and page. Also debezium and debezium-tuned, which need Java 17 and Maven."`
	Repetitions int      `name:"repetitions" default:"5" help:"How often each party drains each shape."`
	Scale       float64  `name:"scale" default:"1" help:"Multiplies the rows of every shape; below 1 for a quick look."`
	Partitions  int32    `name:"partitions" default:"6" help:"Partitions of the table's topic."`
	Compression string   `name:"compression" enum:"none,gzip,snappy,lz4,zstd" default:"lz4" help:"How LiveDB compresses batches: none, gzip, snappy, lz4 or zstd."`

	DecodingMemory string `name:"decoding-memory" placeholder:"SIZE" help:"How much memory Postgres may use to decode for LiveDB, such as 256MB; its own setting if empty."`

	Tries    int           `name:"tries" default:"3" help:"How often a noisy run is made at most. A run is noisy if something else used more than a tenth of the machine; if it stays so, bench exits with 5."`
	Settle   time.Duration `name:"settle" default:"5s" help:"How long a run waits for the machine to be quiet at most."`
	Profiles string        `name:"profiles" type:"existingdir" placeholder:"DIR" help:"Write a CPU and an allocation profile of each of LiveDB's runs into this folder."`
	TLS      bool          `name:"tls" help:"Connect to the embedded Postgres by TLS; for your own, write sslmode into --source."`
	Yes      bool          `name:"yes" help:"Allow the bench to write to the source given by --source: its schema, publication and slots livedb_bench*, which are dropped."`
	JSON     bool          `name:"json" help:"Print one JSON object."`
	PgBin    string        `name:"pg-bin" type:"path" placeholder:"DIR" help:"The folder of the embedded Postgres's initdb and postgres."`
}

// noisyError says that a bench was disturbed.
type noisyError struct{ runs int }

func (e *noisyError) Error() string {
	return fmt.Sprintf("something else used more than a tenth of the machine during %d runs, however often they were made: this is no result; end what else runs here, or give --tries more", e.runs)
}

// Run implements the command.
func (c *benchCommand) Run(i *invocation) error {
	shapes, parties, leftOut, err := c.check(i.log())
	if err != nil {
		return err
	}
	source := c.Source.Reveal()
	if source == "" {
		pg, err := c.startPostgres(i.ctx, i.log())
		if err != nil {
			return err
		}
		defer stopPostgres(pg, i.log())
		source = pg.URL()
		if c.TLS {
			if source, err = bench.Encrypt(i.ctx, pg); err != nil {
				return err
			}
		}
	}
	report, err := bench.Measure(i.ctx, bench.Config{Source: source, Brokers: c.Kafka, Command: benchChild, Shapes: shapes, Parties: parties,
		Repetitions: c.Repetitions, Scale: c.Scale, Partitions: c.Partitions, Compression: c.Compression, Memory: c.DecodingMemory,
		Profiles: c.Profiles, Tries: c.Tries, Settle: c.Settle, Tell: i.tell})
	if err != nil {
		return errors.Join(i.ctx.Err(), err)
	}
	report.LeftOut = leftOut
	if err := printReport(i, report, c.JSON); err != nil {
		return err
	}
	if noisy := report.Noisy(); noisy > 0 {
		return &noisyError{noisy}
	}
	return nil
}

// check refuses what cannot be measured before anything is started.
func (c *benchCommand) check(log *slog.Logger) (shapes []bench.Shape, parties []bench.Party, leftOut []string, err error) {
	if c.Source != "" {
		if _, err := postgres.Parse(c.Source.Reveal()); err != nil {
			return nil, nil, nil, err
		}
		switch {
		case !c.Yes:
			return nil, nil, nil, &usageError{"the bench would write to the source given by --source, a schema livedb_bench and slots of that name", "pass --yes if it may, or leave --source out"}
		case c.TLS:
			return nil, nil, nil, &usageError{"--tls is for the embedded Postgres and --source names another", "write sslmode=require into --source"}
		}
	}
	if c.Repetitions < 1 || c.Scale <= 0 || c.Partitions < 1 || c.Tries < 1 {
		return nil, nil, nil, &usageError{"--repetitions, --scale, --partitions and --tries count something", "give each more than 0"}
	}
	if shapes, err = bench.ChooseShapes(c.Shapes); err != nil {
		return nil, nil, nil, &usageError{err.Error(), "correct --shapes"}
	}
	if parties, leftOut, err = bench.Choose(c.Parties, benchChild, c.PgBin, log); err != nil {
		return nil, nil, nil, &usageError{err.Error(), "correct --parties"}
	}
	return shapes, parties, leftOut, nil
}

// startPostgres starts a server that does nothing by itself while others are measured, and keeps whatever WAL a slot needs.
func (c *benchCommand) startPostgres(ctx context.Context, log *slog.Logger) (*devstack.Postgres, error) {
	return devstack.StartPostgres(ctx, devstack.PostgresConfig{BinDir: c.PgBin, Log: log, Settings: bench.Settings})
}

func stopPostgres(pg *devstack.Postgres, log *slog.Logger) {
	ctx, cancel := context.WithTimeout(context.Background(), cleanUpLimit)
	defer cancel()
	if err := pg.Stop(ctx); err != nil {
		log.Error("the bench could not clean up; the next start of an embedded Postgres will", "error", err)
	}
}

// benchChild runs this program as one of the bench's own parties, or as its broker.
func benchChild(part string) *exec.Cmd {
	program, err := os.Executable()
	if err != nil {
		program = os.Args[0] // the start then says what is wrong with it
	}
	return exec.Command(program, "--log-level", "warn", "bench-part", part)
}

// benchPartCommand is one party of a bench, in a process of its own. Only bench starts it.
type benchPartCommand struct {
	Part string `arg:"" help:"Which part."`
}

// Run implements the command.
func (c *benchPartCommand) Run(i *invocation) error {
	return bench.Child(i.ctx, c.Part, i.in, i.out, i.log())
}
