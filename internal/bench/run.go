package bench

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
)

// Config says what is measured, and where.
type Config struct {
	Source  string   // the URL of a Postgres; the load is written into its schema livedb_bench, which is dropped before and after
	Brokers []string // of a Kafka; none: an embedded one in a process of its own, fresh for each run
	Command Command  // starts our own children

	Shapes      []Shape
	Parties     []Party
	Repetitions int
	Scale       float64 // of the shapes' rows
	Partitions  int32
	Compression string // of what LiveDB's own parties write; empty for the default
	Memory      string // logical_decoding_work_mem of LiveDB's own parties; empty for the server's
	Profiles    string // the folder for the profiles of LiveDB's own parties; empty: none are made

	Tries  int           // how often a noisy run is made at most
	Settle time.Duration // how long a run waits for the machine to be quiet at most

	Tell func(format string, args ...any) // how it goes, a line at a time
}

const (
	runLimit     = 10 * time.Minute       // of one drain
	walsenderEnd = 500 * time.Millisecond // how long after a drain its walsender may end
)

// runner measures one shape after the other.
type runner struct {
	Config
	conn     *pgx.Conn // writes the load
	watching *pgx.Conn // watches the walsender
	server   int       // the postmaster's pid; 0: not on this machine
	given    *broker   // of Config.Brokers, if these run on this machine
	id       string    // of this bench, in names on a Kafka that others use too
	number   int       // of the run
}

// Measure measures everything. Its error is that of a party, of the source or of Kafka; that a run was noisy is none.
func Measure(ctx context.Context, c Config) (_ *Report, err error) {
	r := &runner{Config: c, id: fmt.Sprintf("%x", time.Now().UnixMilli())}
	if r.conn, err = pgx.Connect(ctx, c.Source); err != nil {
		return nil, fmt.Errorf("connect to the source: %w", err)
	}
	defer r.conn.Close(context.WithoutCancel(ctx))
	if r.watching, err = pgx.Connect(ctx, c.Source); err != nil {
		return nil, fmt.Errorf("connect to the source: %w", err)
	}
	defer r.watching.Close(context.WithoutCancel(ctx))
	r.server = postmaster(r.conn)
	if len(c.Brokers) > 0 {
		if r.given, err = givenBroker(ctx, c.Brokers); err != nil {
			return nil, err
		}
	}
	report := r.describe(ctx)
	for _, p := range c.Parties {
		if len(p.Settings) > 0 {
			report.Settings[p.Name] = p.Settings
		}
	}
	for _, s := range c.Shapes {
		result, err := r.shape(ctx, s)
		if err != nil {
			return nil, fmt.Errorf("shape %s: %w", s.Name, err)
		}
		report.Shapes = append(report.Shapes, *result)
	}
	return report, nil
}

// describe begins the report with where it was measured.
func (r *runner) describe(ctx context.Context) *Report {
	version, _, _ := strings.Cut(r.conn.PgConn().ParameterStatus("server_version"), " ")
	report := &Report{Settings: map[string][]string{}, Scale: r.Scale, Kafka: "embedded", Partitions: r.Partitions, Compression: r.Compression, Memory: r.Memory, Machine: Machine{Cores: runtime.NumCPU(), OS: runtime.GOOS + "/" + runtime.GOARCH,
		Go: runtime.Version(), Postgres: version, TLS: r.encrypted(ctx)}}
	if len(r.Brokers) > 0 {
		report.Kafka = strings.Join(r.Brokers, ",")
	}
	return report
}

func (r *runner) encrypted(ctx context.Context) (encrypted bool) {
	err := r.conn.QueryRow(ctx, `SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()`).Scan(&encrypted)
	return err == nil && encrypted
}

// shape writes the load of a shape and has every party drain it, in turns.
func (r *runner) shape(ctx context.Context, s Shape) (_ *ShapeResult, err error) {
	defer func() {
		err = errors.Join(err, r.cleanUp(context.WithoutCancel(ctx)))
	}()
	if err := r.cleanUp(ctx); err != nil { // what a bench that was killed left behind
		return nil, err
	}
	r.Tell("shape %s: %s", s.Name, s.About)
	l, err := s.write(ctx, r.conn, r.Scale, func(ctx context.Context) error { return park(ctx, r.conn) })
	if err != nil {
		return nil, err
	}
	r.Tell("shape %s: %d changes, %d MiB of WAL", s.Name, l.rows, l.walBytes>>20)

	runs := map[string][]Run{}
	for repetition := range r.Repetitions {
		for _, i := range turns(len(r.Parties), repetition) {
			party := r.Parties[i]
			run, err := r.measure(ctx, l, party)
			if err != nil {
				return nil, fmt.Errorf("party %s: %w", party.Name, err)
			}
			run.Repetition = repetition
			runs[party.Name] = append(runs[party.Name], run)
			r.Tell("shape %s, repetition %d: %s %.0f rows/s%s", s.Name, repetition+1, party.Name, float64(run.Rows)/run.Seconds, noiseNote(run))
		}
	}
	result := summarize(l, r.Parties, runs)
	return &result, nil
}

func noiseNote(r Run) string {
	if !r.Noisy {
		return ""
	}
	return fmt.Sprintf(", NOISY: something else used %.0f %% of the machine", 100*r.Unexplained)
}

// cleanUp drops whatever a shape made.
func (r *runner) cleanUp(ctx context.Context) error {
	if err := dropSlots(ctx, r.Source, parked); err != nil {
		return err
	}
	return execute(ctx, r.conn, dropStatements()...)
}

// measure has a party drain the load, again if that was noisy.
func (r *runner) measure(ctx context.Context, l *load, party Party) (Run, error) {
	return quietest(r.Tries, func(try int, last Run) (Run, error) {
		if try > 1 {
			r.Tell("shape %s: %s again, for something else used %.0f %% of the machine", l.shape.Name, party.Name, 100*last.Unexplained)
		}
		quiet(ctx, r.Settle)
		return r.drain(ctx, l, party)
	})
}

// quietest makes a run until it is quiet, or there were enough tries: then the quietest counts, as a noisy one.
func quietest(tries int, attempt func(try int, last Run) (Run, error)) (Run, error) {
	var best, last Run
	var err error
	for try := 1; ; try++ {
		if last, err = attempt(try, last); err != nil {
			return last, err
		}
		if try == 1 || last.Unexplained < best.Unexplained {
			best = last
		}
		best.Tries, best.Noisy = try, tooNoisy(best.Unexplained)
		if !best.Noisy || try >= tries {
			return best, nil
		}
	}
}

// drain is one run of a party, from the copy of the slot to the proof that everything is there.
func (r *runner) drain(ctx context.Context, l *load, party Party) (run Run, err error) {
	ctx, cancel := context.WithTimeoutCause(ctx, runLimit, fmt.Errorf("not done within %s", runLimit))
	defer cancel()
	r.number++
	t := Task{Source: r.Source, Slot: fmt.Sprintf("livedb_bench_%d", r.number), Publication: publication, Table: table,
		Prefix: fmt.Sprintf("livedb-bench-%s-%d", r.id, r.number), End: l.end, Rows: l.rows, Events: l.events, Partitions: r.Partitions,
		Compression: r.Compression, Memory: r.Memory}
	defer func() {
		err = errors.Join(err, dropSlots(context.WithoutCancel(ctx), r.Source, t.Slot))
	}()
	if t.Start, err = copySlot(ctx, r.conn, t.Slot); err != nil {
		return run, err
	}
	if r.Profiles != "" {
		t.Profile = filepath.Join(r.Profiles, fmt.Sprintf("%s-%s-%d", l.shape.Name, party.Name, r.number))
	}
	var b *broker
	if party.Kafka {
		if t.Brokers = r.Brokers; len(t.Brokers) > 0 {
			b = r.given
			defer func() { err = errors.Join(err, deleteTopics(context.WithoutCancel(ctx), t)) }()
		} else {
			if b, err = startBroker(ctx, r.Command); err != nil {
				return run, err
			}
			t.Brokers = b.brokers
			defer func() { err = errors.Join(err, b.stop()) }()
		}
	}
	if run, err = r.observe(ctx, party, t, b); err != nil {
		return run, err
	}
	if run.Rows != l.rows || run.Seconds <= 0 {
		return run, fmt.Errorf("it says that it read %d changes in %.3f s and there are %d", run.Rows, run.Seconds, l.rows)
	}
	if party.Verify != nil {
		return run, party.Verify(ctx, t)
	}
	return run, nil
}

// observe drains once and looks at what it costs, and at what else the machine does meanwhile.
func (r *runner) observe(ctx context.Context, party Party, t Task, b *broker) (Run, error) {
	watching, unwatch := context.WithCancel(ctx)
	defer unwatch()
	walsender := make(chan float64, 1)
	go func() { walsender <- watchWalsender(watching, r.watching, t.Slot) }()

	before, machine := r.spent(b), readMachine()
	figures, err := party.Drain(ctx, t)
	if err == nil { // its end is near: without it the last of its CPU would count as noise
		defer time.AfterFunc(walsenderEnd, unwatch).Stop()
	} else {
		unwatch()
	}
	figures.WalsenderCPU = <-walsender
	after := r.spent(b)
	if b != nil {
		figures.BrokerCPU = after.broker - before.broker
	}
	share := unexplained(machine, readMachine(), after.sum()-before.sum())
	if party.Kafka && b == nil {
		share = -1 // a broker whose use cannot be told from noise
	}
	if err != nil && ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	return Run{Figures: figures, Unexplained: share}, err
}

// spent is what all who take part have used so far, in seconds of CPU: this process, its children, the broker and Postgres.
type spent struct{ us, broker, server float64 }

func (s spent) sum() float64 { return s.us + s.broker + s.server }

func (r *runner) spent(b *broker) spent {
	s := spent{us: selfCPU() + childrenCPU()}
	if b != nil {
		s.broker = b.cpu()
	}
	if r.server != 0 {
		s.server = family(r.server)
	}
	return s
}
