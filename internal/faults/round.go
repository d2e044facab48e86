//go:build unix

package faults

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/IBM/sarama"

	"github.com/livedb/livedb/internal/audit"
	"github.com/livedb/livedb/internal/devstack"
	"github.com/livedb/livedb/internal/faults/workload"
	"github.com/livedb/livedb/internal/kafka"
)

// Plan is what a round is to do. The seed draws everything that is not timing.
type Plan struct {
	Round       int
	Seed        uint64
	PostgresBin string // folder of initdb and postgres; "" is devstack's choice
	Faults      Counts
}

// The load of a round: moderate, for what counts is how often it is interrupted. The big transaction is split.
const (
	writers    = 8
	writerRate = 30 // transactions per second
	bigRows    = 50_000

	// In half of the rounds a Kafka transaction holds so few events that many a transaction is split; the big one is smaller
	// there, for each of its parts takes as long as any other commit.
	fewEvents  = 20
	fewBigRows = 1000
)

// Bounds of a round.
const (
	setupLimit    = 2 * time.Minute
	progressLimit = 90 * time.Second // for the online reader to come further after a fault
	teardownLimit = 30 * time.Second
	viewSchema    = "livedb_demo"
	oracleSlot    = "oracle"
)

// round is a running round.
type round struct {
	*Stack
	plan   Plan
	rng    *rand.Rand
	prefix string // also the slot and the publication
	dir    string
	fail   context.CancelCauseFunc // ends the round
	life   context.Context         // of what runs beside the round's own steps
	quit   context.CancelFunc

	postgres *devstack.Postgres
	client   sarama.Client
	load     *workload.Workload
	tables   []string
	few      bool // a Kafka transaction holds fewEvents

	cdc, processor, reader *keeper
	roles                  cell[[]*keeper] // all that are to be released
	writers                []func() error  // each ends a writer and waits for it
	watching               sync.WaitGroup

	hits       cell[hits]
	uncounted  atomic.Bool      // a role is being killed as a part of another fault
	progress   cell[Progress]   // of the online reader
	checkpoint cell[checkpoint] // as committed
	state      cell[viewState]  // likewise
	observed   observed

	result Result
}

// hits counts what hit.
type hits struct {
	faults Counts
	points map[string]int
}

// Run does a round. The result tells of a failure; the logs then stay in the stack's folder.
func (s *Stack) Run(ctx context.Context, plan Plan) Result {
	began := time.Now()
	ctx, fail := context.WithCancelCause(ctx)
	defer fail(nil)
	r := &round{Stack: s, plan: plan, rng: rand.New(rand.NewPCG(plan.Seed, 0)), fail: fail,
		prefix: fmt.Sprintf("faults-%d-%x", plan.Round, plan.Seed&0xffff), dir: filepath.Join(s.Dir, fmt.Sprintf("round-%d", plan.Round))}
	r.life, r.quit = context.WithCancel(context.WithoutCancel(ctx))
	r.few = rand.New(rand.NewPCG(plan.Seed, 1)).IntN(2) == 0
	r.hits.value = hits{Counts{}, map[string]int{}}
	r.result = Result{Round: plan.Round, Seed: plan.Seed, Kafka: s.Kafka.Name, Audit: map[audit.Kind]uint64{}}
	err := os.RemoveAll(r.dir) // of a round that was interrupted
	if err == nil {
		err = os.MkdirAll(r.dir, 0o755)
	}
	if err == nil {
		err = r.run(ctx)
	}
	h := r.hits.get()
	r.result.Faults, r.result.Points, r.result.Seconds = h.faults, h.points, time.Since(began).Seconds()
	switch {
	case err != nil:
		r.result.Failure = err.Error()
		r.Log.Error("round failed", "round", plan.Round, "seed", plan.Seed, "error", err, "logs", r.dir)
	default:
		r.Log.Info("round passed", "round", plan.Round, "faults", h.faults, "transactions", r.result.Transactions, "events", r.result.Events,
			"seconds", int(r.result.Seconds))
	}
	return r.result
}

func (r *round) run(ctx context.Context) (err error) {
	defer func() { err = errors.Join(err, r.tearDown(err)) }()
	if err := r.setUp(ctx); err != nil {
		return fmt.Errorf("set up: %w", err)
	}
	steps := r.plan.Faults.shuffled(r.rng)
	adjacent := r.rng.IntN(len(steps))
	for i, kind := range steps {
		if i == adjacent {
			if _, err := r.load.ForceAdjacent(ctx, r.slot(), r.slot()); err != nil {
				return err
			}
		}
		if r.hits.get().faults[kind] >= r.plan.Faults[kind] {
			continue // an earlier step hit more than once
		}
		r.Log.Info("fault", "round", r.plan.Round, "step", i+1, "kind", kind)
		if err := r.inject(ctx, kind); err != nil {
			return fmt.Errorf("fault %d, %s: %w", i+1, kind, err)
		}
		if err := r.advance(ctx); err != nil {
			return fmt.Errorf("after fault %d, %s: %w", i+1, kind, err)
		}
	}
	return r.judge(ctx)
}

// setUp starts everything, in the order in which each needs the other, and returns when the stream flows.
func (r *round) setUp(ctx context.Context) (err error) {
	ctx, cancel := r.within(ctx, setupLimit, "the round was not set up")
	defer cancel()
	settings := map[string]string{"max_prepared_transactions": "20", "max_slot_wal_keep_size": "-1", "logical_decoding_work_mem": "64kB"}
	if r.postgres, err = devstack.StartPostgres(ctx, devstack.PostgresConfig{BinDir: r.plan.PostgresBin, Settings: settings}); err != nil {
		return err
	}
	r.result.Postgres = r.postgres.Version()
	r.Log.Info("round", "round", r.plan.Round, "seed", r.plan.Seed, "postgres", r.postgres.Version(), "few events", r.few, "faults", r.plan.Faults)
	config := kafka.Config{Brokers: r.Kafka.Addresses, ClientID: "livedb/faults"}
	if r.client, err = kafka.Connect(ctx, config); err != nil {
		return err
	}
	load := workload.Config{Seed: r.plan.Seed, Writers: writers, Rate: writerRate, Big: bigRows}
	if r.few {
		load.Big = fewBigRows
	}
	if r.load, err = workload.Open(ctx, r.postgres.URL(), load); err != nil {
		return err
	}
	if err := r.execute(ctx, `CREATE SCHEMA faults; CREATE TABLE faults.sentinel (id int PRIMARY KEY)`); err != nil {
		return err
	}
	r.tables = append([]string{"faults.sentinel", viewSchema + ".customers", viewSchema + ".orders", viewSchema + ".order_items", viewSchema + ".burst_ledger"}, r.load.Tables()...)
	log, err := r.open("migrate")
	if err != nil {
		return err
	}
	defer log.Close()
	if _, err := runProcess(ctx, log, r.Livedb, "migrate", "--source", r.postgres.URL()); err != nil {
		return fmt.Errorf("livedb migrate: %w", err)
	}
	r.watch()
	if err := r.beginStream(ctx); err != nil {
		return err
	}
	if err := r.startReaders(ctx); err != nil {
		return err
	}
	if err := r.startWriters(); err != nil {
		return err
	}
	return r.advance(ctx)
}

// within bounds ctx by a time, and says what was late. The round's own failure is told before that.
func (r *round) within(ctx context.Context, limit time.Duration, late string) (context.Context, context.CancelFunc) {
	return context.WithTimeoutCause(ctx, limit, fmt.Errorf("%s within %s", late, limit))
}

// advance waits until the online reader and the view have come some events beyond what is in the stream now.
func (r *round) advance(ctx context.Context) error {
	from := max(r.progress.get().Seq, r.checkpoint.get().seq)
	to := from + 20 + r.rng.Uint64N(200)
	ctx, cancel := r.within(ctx, progressLimit, fmt.Sprintf("the online reader and the view did not come from seq %d to %d", from, to))
	defer cancel()
	if _, err := r.progress.await(ctx, func(p Progress) bool { return p.Seq >= to }); err != nil {
		return fmt.Errorf("%w: the reader is at %d", err, r.progress.get().Seq)
	}
	if _, err := r.state.await(ctx, func(s viewState) bool { return s.Seq >= to }); err != nil {
		return fmt.Errorf("%w: the view is at %d", err, r.state.get().Seq)
	}
	return nil
}

// hit counts a fault.
func (r *round) hit(kind Kind, point string) {
	r.hits.update(func(h *hits) {
		h.faults[kind]++
		h.points[point]++
	})
}

// open opens the log of a role.
func (r *round) open(name string) (*os.File, error) {
	return os.OpenFile(filepath.Join(r.dir, name+".log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
}

// stopWriters ends the writers, and says what went wrong with them.
func (r *round) stopWriters() error {
	var errs []error
	for _, stop := range r.writers {
		errs = append(errs, stop())
	}
	r.writers = nil
	return errors.Join(errs...)
}

// tearDown ends everything. A round that passed leaves nothing behind; one that failed, and was not interrupted, its logs.
func (r *round) tearDown(failure error) error {
	passed := failure == nil
	errs := []error{r.stopWriters()}
	for _, k := range r.roles.get() {
		errs = append(errs, k.release())
	}
	r.quit()
	r.watching.Wait()
	if !passed && !errors.Is(failure, context.Canceled) {
		r.keepLogs()
	}
	ctx, cancel := context.WithTimeout(context.Background(), teardownLimit)
	defer cancel()
	if r.client != nil {
		if passed {
			errs = append(errs, kafka.DeleteTopics(r.client, r.prefix))
		}
		errs = append(errs, r.client.Close())
	}
	if r.load != nil && passed {
		errs = append(errs, r.load.Close(ctx))
	}
	if r.postgres != nil {
		errs = append(errs, r.postgres.Stop(ctx))
	}
	if passed && errors.Join(errs...) == nil {
		errs = append(errs, os.RemoveAll(r.dir))
	}
	return errors.Join(errs...)
}

// keepLogs adds the servers' logs to those of the roles and shows the end of each.
func (r *round) keepLogs() {
	write := func(name, text string) {
		_ = os.WriteFile(filepath.Join(r.dir, name+".log"), []byte(text), 0o644) // the failure is told either way
	}
	if r.postgres != nil {
		write("postgres", r.postgres.LastLog())
	}
	for node := 1; node <= r.Kafka.Nodes; node++ {
		write(fmt.Sprint("kafka-", node), r.Kafka.cluster.Log(node))
	}
	paths, _ := filepath.Glob(filepath.Join(r.dir, "*.log")) // the only error is a bad pattern
	for _, path := range paths {
		text, err := os.ReadFile(path)
		if err != nil {
			continue
		}
		lines := strings.Split(strings.TrimSpace(string(text)), "\n")
		fmt.Fprintf(r.Out, "== the end of %s\n%s\n", path, strings.Join(lines[max(0, len(lines)-lastLines):], "\n"))
	}
}

// lastLines is how much of a log is shown.
const lastLines = 20

// slot is the stream's slot, whose name has no dashes.
func (r *round) slot() string { return strings.ReplaceAll(r.prefix, "-", "_") }
