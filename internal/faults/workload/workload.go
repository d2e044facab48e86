// Package workload writes to a Postgres everything that is hard for a change stream: a seeded random mix of transactions
// of many kinds, over tables of many shapes, with the values that break encoders. The fault runner and the protocol
// tests run it against a source that is killed and cut off meanwhile.
//
// It keeps no truth: what the stream should hold is judged by the audits, from the WAL and from the tables. So a commit
// without an answer is no trouble here, and every plan is pure: it depends on the seed only, never on what the database
// holds or answered.
package workload

import (
	"context"
	"fmt"
	"math/rand/v2"

	"github.com/jackc/pgx/v5"
	"golang.org/x/sync/errgroup"

	"github.com/livedb/livedb/cdc/postgres"
)

// Config says where and how much to write. Its zero values mean the defaults.
type Config struct {
	Schema  string  // made anew by Open; default "workload"
	Seed    uint64  // of all dice; 0 draws one, which Workload.Seed tells
	Writers int     // default 8
	Rate    float64 // transactions per second of all writers together; 0 is full speed
	Big     int     // rows of the big transaction; default 50,000
}

func (c Config) withDefaults() Config {
	if c.Schema == "" {
		c.Schema = "workload"
	}
	if c.Writers <= 0 {
		c.Writers = 8
	}
	if c.Big <= 0 {
		c.Big = 50_000
	}
	for c.Seed == 0 {
		c.Seed = rand.Uint64()
	}
	return c
}

// Workload writes to one schema of one database. Its methods are not for use at the same time, but Stats and
// ForceAdjacent are for any time.
type Workload struct {
	cfg      Config
	source   *pgx.ConnConfig
	counters *counters
	writers  []*writer
	noise    string // the database for NoiseDatabase; "" if there is none
}

// Open makes the schema and its tables anew, with the role of the URL. It also makes a database for noise beside that of
// the URL if the role may. The publication is to be created for Tables.
func Open(ctx context.Context, url string, c Config) (*Workload, error) {
	source, err := postgres.Parse(url)
	if err != nil {
		return nil, err
	}
	w := &Workload{cfg: c.withDefaults(), source: source, counters: newCounters()}
	if err := w.create(ctx); err != nil {
		return nil, fmt.Errorf("make the workload's schema %s: %w", w.cfg.Schema, err)
	}
	without := w.counters.snapshot().Unavailable
	for i := range w.cfg.Writers {
		w.writers = append(w.writers, &writer{Workload: w, planner: newPlanner(w.cfg, i, without)})
	}
	return w, nil
}

// Close drops the noise database. The schema stays, for the audits.
func (w *Workload) Close(ctx context.Context) error {
	if w.noise == "" {
		return nil
	}
	conn, err := w.connect(ctx, w.source.Database)
	if err != nil {
		return fmt.Errorf("drop the noise database %s: %w", w.noise, err)
	}
	defer closeConn(ctx, conn)
	if _, err := conn.Exec(ctx, "DROP DATABASE IF EXISTS "+quoteName(w.noise)+" WITH (FORCE)"); err != nil {
		return fmt.Errorf("drop the noise database %s: %w", w.noise, err)
	}
	w.noise = ""
	return nil
}

// Seed is what the dice began with.
func (w *Workload) Seed() uint64 { return w.cfg.Seed }

// Tables are what to publish, each as schema.table. Partitioned tables come by their root.
func (w *Workload) Tables() []string {
	names := make([]string, 0, len(published))
	for _, t := range published {
		names = append(names, w.cfg.Schema+"."+t)
	}
	return names
}

// Stats is what was done so far.
func (w *Workload) Stats() Stats { return w.counters.snapshot() }

// Run first writes the fixed case and then the mix, until ctx ends, which is no error. A lost connection, a server that
// restarts and statements that fail by concurrency are counted and tried again for ever; an error is one that no second
// try would mend. A second Run goes on with the dice.
//
// That the fixed case spills is up to the walsender: its logical_decoding_work_mem must be 64kB, by the server's settings
// or by an option of its connection.
func (w *Workload) Run(ctx context.Context) error {
	pacer := newPacer(w.cfg.Rate)
	if err := w.writers[0].first(ctx); err != nil {
		return err
	}
	group, ctx := errgroup.WithContext(ctx)
	for _, one := range w.writers {
		group.Go(func() error { return one.run(ctx, pacer) })
	}
	return group.Wait()
}
