package main

import (
	"bufio"
	"context"
	"log/slog"
	"os"
	"strings"
	"time"

	"github.com/alecthomas/kong"

	"github.com/livedb/livedb/cdc/postgres"
	"github.com/livedb/livedb/internal/kafka"
)

// grammar is the command line. Every flag may also stand in the environment as LIVEDB_<FLAG> or in the YAML file.
type grammar struct {
	Globals

	Demo    demoCommand    `cmd:"" help:"Run everything embedded: Postgres, Kafka, burst writer, cdc, processor, dashboard."`
	Run     runCommand     `cmd:"" help:"Run cdc, process and ui in one process, against your Postgres and your Kafka."`
	Burst   burstCommand   `cmd:"" help:"Write bursts of changes into the demo's tables of a Postgres."`
	Cdc     cdcCommand     `cmd:"" help:"Stream every committed change of a Postgres to Kafka, exactly once and in commit order."`
	Slots   slotsCommand   `cmd:"" help:"List, create or drop the replication slots of a Postgres."`
	Process processCommand `cmd:"" help:"Keep the views up to date from Kafka."`
	UI      uiCommand      `cmd:"" name:"ui" help:"Serve the dashboard from Kafka."`
	Recover recoverCommand `cmd:"" help:"Deliver again what Kafka has lost of a stream, from the replay slot."`
	Check   checkCommand   `cmd:"" help:"Find what is wrong with a Postgres, a Kafka and the stream between them, and the line that mends it."`
	Replay  replayCommand  `cmd:"" help:"Stream a part of the past again, from an LSN or a time, into topics of its own or to standard output."`
	Audit   auditCommand   `cmd:"" help:"Prove that a stream holds every change exactly once and in commit order, or name what is wrong."`
	Bench   benchCommand   `cmd:"" help:"Measure how fast LiveDB and others drain a replication slot, and what that costs."`
	Migrate migrateCommand `cmd:"" help:"Create the demo's tables."`
	Config  configCommand  `cmd:"" help:"Show the effective configuration, secrets masked."`
	Version versionCommand `cmd:"" help:"Show the version."`

	BenchLatency benchLatencyCommand `cmd:"" help:"Measure how long after its commit a change arrives, at given rates."`
	BenchMatrix  benchMatrixCommand  `cmd:"" help:"Measure what a row and a byte cost as tables, partitions, columns and rows grow."`

	BenchPart benchPartCommand `cmd:"" hidden:"" help:"A part of bench, which starts it."`
}

// Globals are the flags of every command.
type Globals struct {
	Config   string `name:"config" placeholder:"FILE" help:"Read settings from this YAML file."`
	LogLevel string `name:"log-level" enum:"debug,info,warn,error,default" default:"default" help:"Log from this level on: debug, info, warn or error. The default is info, and warn for the demo."`
	Pprof    string `name:"pprof" placeholder:"HOST:PORT" help:"Serve Go's profiles at this loopback address."`
}

// sourceFlags name the Postgres.
type sourceFlags struct {
	Source sourceURL `name:"source" env:"LIVEDB_SOURCE,DATABASE_URL" placeholder:"URL" help:"The Postgres, by its direct endpoint: postgres://user:password@host:5432/database."`
}

// streamFlags name the stream's objects in the source.
type streamFlags struct {
	Slot        string   `name:"slot" default:"livedb" help:"The replication slot. Created with the stream."`
	Publication string   `name:"publication" default:"livedb" help:"The publication. Created with the stream if there is none of this name."`
	Tables      []string `name:"tables" placeholder:"SCHEMA.TABLE" help:"The tables of a publication that LiveDB creates; all tables if empty."`

	DecodingMemory string `name:"decoding-memory" placeholder:"SIZE" help:"How much memory Postgres may use to decode before it spills to disk (logical_decoding_work_mem), such as 256MB; its own setting if empty."`

	SenderTimeout time.Duration `name:"sender-timeout" default:"30s" help:"After what silence Postgres takes cdc for dead and frees the slot: 5s to 10m."`
}

func (f sourceFlags) config(s streamFlags) postgres.Config {
	return postgres.Config{URL: f.Source.Reveal(), Slot: s.Slot, Publication: s.Publication, Tables: s.Tables, SenderTimeout: s.SenderTimeout, DecodingMemory: s.DecodingMemory}
}

// topicFlags shape the topics that cdc creates.
type topicFlags struct {
	Partitions int32         `name:"partitions" default:"4" help:"Partitions of each table's topic, fixed for the stream's life."`
	Linger     time.Duration `name:"linger" default:"4ms" help:"How long a Kafka transaction gathers events before it commits: up to 10s."`

	BatchBytes  int    `name:"batch-bytes" default:"2097152" help:"A Kafka transaction commits early with so many bytes of events: 64 KiB to 64 MiB; 0 is the default."`
	BatchEvents int    `name:"batch-events" default:"10000" help:"A Kafka transaction commits early with so many events: 1 to 1000000; 0 is the default."`
	Compression string `name:"compression" enum:"none,gzip,snappy,lz4,zstd" default:"lz4" help:"How batches are compressed: none, gzip, snappy, lz4 or zstd."`

	transactionFlags
}

// transactionFlags are of every role that writes transactions.
type transactionFlags struct {
	TransactionTimeout time.Duration `name:"transaction-timeout" default:"5m" help:"After what time Kafka aborts the open transaction of a cdc or process that died: 1s to 15m."`
}

// brokers is Kafka as a role that writes transactions reaches it.
func (t transactionFlags) brokers(k kafkaFlags, role string) kafka.Config {
	c := k.config(role)
	c.TransactionTimeout = t.TransactionTimeout
	return c
}

// uiFlags are the dashboard's.
type uiFlags struct {
	Listen string   `name:"listen" default:"127.0.0.1:8080" placeholder:"HOST:PORT" help:"Where the dashboard, /metrics, /livez and /readyz are served. There is no login: bind to loopback, or put a proxy in front."`
	Hosts  []string `name:"hosts" placeholder:"NAME" help:"Further host names the dashboard may be asked for, such as a proxy's."`
	UIDir  string   `name:"ui-dir" type:"path" placeholder:"DIR" help:"Serve the page's files from this folder, for development."`
}

// opsFlags are those of a role that runs alone and has no dashboard.
type opsFlags struct {
	OpsListen string `name:"ops-listen" placeholder:"HOST:PORT" help:"Where /metrics, /livez and /readyz are served; nowhere if empty."`
}

// invocation is what a command gets beside its flags.
type invocation struct {
	streams
	ctx     context.Context
	parser  *kong.Kong
	parsed  *kong.Context
	globals *Globals
}

// terminal reports whether a person may be watching the error stream.
func (i *invocation) terminal() bool {
	f, ok := i.err.(*os.File)
	if !ok {
		return false
	}
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}

// confirm reads the answer to a question. The end of input is a no.
func (i *invocation) confirm() (yes bool, err error) {
	answered := make(chan string, 1)
	go func() {
		answer, _ := bufio.NewReader(i.in).ReadString('\n')
		answered <- strings.ToLower(strings.TrimSpace(answer))
	}()
	select {
	case answer := <-answered:
		return answer == "y" || answer == "yes", nil
	case <-i.ctx.Done():
		return false, i.ctx.Err()
	}
}

// log returns the process's logger, which writes to the error stream.
func (i *invocation) log() *slog.Logger {
	var level slog.Level // info
	switch err := level.UnmarshalText([]byte(i.globals.LogLevel)); {
	case err == nil:
	case i.parsed.Command() == "demo":
		level = slog.LevelWarn
	}
	return slog.New(slog.NewTextHandler(i.err, &slog.HandlerOptions{Level: level}))
}

func newParser(cli *grammar, s streams) (*kong.Kong, error) {
	return kong.New(cli,
		kong.Name("livedb"),
		kong.Description("Every committed change of a Postgres, in Kafka exactly once and in commit order, in a view and on a page."),
		kong.UsageOnError(),
		kong.DefaultEnvars("LIVEDB"),
		kong.Writers(s.out, s.err),
		kong.Exit(func(code int) { panic(left(code)) }),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true}),
		configFile(),
	)
}
