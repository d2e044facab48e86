package bench

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/IBM/sarama"
	"github.com/jackc/pgx/v5"

	"github.com/livedb/livedb/cdc/envelope"
	"github.com/livedb/livedb/internal/kafka"
	"github.com/livedb/livedb/producer"
)

// LatencyConfig says at which rates latency is measured, and where.
type LatencyConfig struct {
	Source  string   // Postgres on this machine, whose clock is the reader's
	Brokers []string // none: an embedded broker, fresh for each run
	Command Command  // starts Child

	Rates       []int         // one-row transactions per second
	For         time.Duration // measured, at each rate
	WarmUp      time.Duration // before it, and left out
	Connections int           // of the writer
	Partitions  int32
	View        bool // also to the processor's view, in a run of its own

	Tell func(format string, args ...any) // how it goes, a line at a time
}

// catchUpLimit is how long what was written may take to arrive when the writing is over.
const catchUpLimit = 30 * time.Second

// Latency measures, at each rate, the time from a commit to its arrival at a read_committed consumer, and then to the arrival
// of the view's results that include it.
//
//	writer ──► Postgres ──► cdc (a process) ──► Kafka (a process) ──► reader
//	 open loop                                    └► process (a process) ──► Kafka ──► reader of the view's place
//
// Each run has a stream of its own. The clock of the commits is the source's, which is this machine's.
func Latency(ctx context.Context, c LatencyConfig) (*LatencyReport, error) {
	report := &LatencyReport{Seconds: c.For.Seconds(), WarmUp: c.WarmUp.Seconds(), Connections: c.Connections, Partitions: c.Partitions,
		LingerMS: float64(producer.DefaultLinger) / float64(time.Millisecond), Kafka: "embedded"}
	if len(c.Brokers) > 0 {
		report.Kafka = strings.Join(c.Brokers, ",")
	}
	targets := []string{ToReader}
	if c.View {
		targets = append(targets, ToView)
	}
	for _, rate := range c.Rates {
		for _, to := range targets {
			c.Tell("%d transactions per second, to the %s", rate, to)
			run := &latencyRun{LatencyConfig: c, to: to, rate: rate}
			result, err := run.measured(ctx)
			if err != nil {
				return report, fmt.Errorf("measure the latency to the %s at %d per second: %w", to, rate, err)
			}
			report.Results = append(report.Results, *result)
		}
	}
	return report, nil
}

// latencyRun is one stream at one rate.
type latencyRun struct {
	LatencyConfig
	to   string
	rate int
	task Task

	conn           *pgx.Conn
	broker         *broker    // nil where Kafka was given
	stream, behind *attendant // behind is nil without a view
	client         sarama.Client
	writer         *latencyWriter
	walsender      int // its process
	server         int // the postmaster's; 0: not on this machine
}

// measured sets everything up, measures, and takes everything down.
func (r *latencyRun) measured(ctx context.Context) (result *LatencyResult, err error) {
	defer func() { err = errors.Join(err, r.close()) }()
	if err := r.open(ctx); err != nil {
		return nil, err
	}
	return r.measure(ctx)
}

func (r *latencyRun) open(ctx context.Context) (err error) {
	name := strings.ToLower("livedb_latency_" + rand.Text()[:8])
	r.task = Task{Source: r.Source, Slot: name, Publication: latencySchema, Table: latencyTable, Brokers: r.Brokers, Prefix: name, Partitions: r.Partitions}
	if r.conn, err = pgx.Connect(ctx, r.Source); err != nil {
		return fmt.Errorf("connect to the source: %w", err)
	}
	r.server = postmaster(r.conn)
	statements := append(dropLatency(), `CREATE SCHEMA `+latencySchema, createLatencyTable, `CREATE PUBLICATION `+latencySchema+` FOR TABLE `+latencyTable)
	if err := execute(ctx, r.conn, statements...); err != nil {
		return fmt.Errorf("make the table of the load: %w", err)
	}
	if len(r.Brokers) == 0 {
		if r.broker, err = startBroker(ctx, r.Command); err != nil {
			return err
		}
		r.task.Brokers = r.broker.brokers
	}
	if r.stream, err = startRole(ctx, r.Command, partStream, r.task); err != nil {
		return err
	}
	if r.to == ToView {
		if r.behind, err = startRole(ctx, r.Command, partProcess, r.task); err != nil {
			return err
		}
	}
	if r.client, err = kafka.Connect(ctx, kafka.Config{Brokers: r.task.Brokers, ClientID: "livedb/bench"}); err != nil {
		return err
	}
	if r.writer, err = openWriter(ctx, r.Source, r.Connections); err != nil {
		return err
	}
	if err := r.conn.QueryRow(ctx, `SELECT active_pid FROM pg_replication_slots WHERE slot_name = $1`, name).Scan(&r.walsender); err != nil {
		return fmt.Errorf("find the walsender: %w", err)
	}
	return nil
}

func dropLatency() []string {
	return []string{`DROP PUBLICATION IF EXISTS ` + latencySchema, `DROP SCHEMA IF EXISTS ` + latencySchema + ` CASCADE`}
}

// close takes down what open set up, as far as it came.
func (r *latencyRun) close() (err error) {
	ctx, cancel := context.WithTimeout(context.Background(), cleanUpLimit)
	defer cancel()
	if r.writer != nil {
		r.writer.close()
	}
	err = errors.Join(r.behind.stop(), r.stream.stop())
	if r.client != nil {
		if r.broker == nil {
			err = errors.Join(err, kafka.DeleteTopics(r.client, r.task.Prefix))
		}
		_ = r.client.Close() // nothing is under way
	}
	if r.broker != nil {
		err = errors.Join(err, r.broker.stop())
	}
	if r.conn == nil {
		return err
	}
	err = errors.Join(err, dropSlots(ctx, r.Source, r.task.Slot), execute(ctx, r.conn, dropLatency()...))
	_ = r.conn.Close(ctx) // nothing is under way
	return err
}

const cleanUpLimit = 20 * time.Second

// measure writes the load and reads what becomes of it.
func (r *latencyRun) measure(ctx context.Context) (*LatencyResult, error) {
	w := r.writer
	w.rate, w.total = r.rate, int(float64(r.rate)*(r.WarmUp+r.For).Seconds())
	w.begin = time.Now().Add(100 * time.Millisecond).Truncate(time.Millisecond)
	w.measure = w.begin.Add(r.WarmUp)
	in := span{w.measure.UnixMicro(), w.measure.Add(r.For).UnixMicro()}

	arrived, seen := newArrivals(r.Partitions), &places{}
	arrived.span = in
	topic, take := envelope.Topics(r.task.Prefix).State("orders"), seen.take
	there := func() bool { return seen.seq.Load() >= uint64(w.total) } // the stream's seqs count its events
	if r.to == ToReader {
		topic, take = r.task.Prefix+"."+latencyTable, arrived.take
		there = func() bool { return arrived.count.Load() >= int64(w.total) }
	}
	reader, err := follow(r.client, topic, take)
	if err != nil {
		return nil, err
	}
	from, to, err := r.write(ctx)
	if err == nil {
		err = r.await(ctx, reader, there)
	}
	reader.close()
	if err != nil {
		return nil, fmt.Errorf("%w (%d written, %d events and seq %d seen)", err, w.written.Load(), arrived.count.Load(), seen.seq.Load())
	}

	latency := arrived.all()
	if r.to == ToView {
		entries, err := readOrder(ctx, r.client, r.task.Prefix)
		if err != nil {
			return nil, err
		}
		if missing := viewLatencies(seen.seen, entries, in, latency); missing > 0 {
			return nil, fmt.Errorf("the view's results never included %d transactions", missing)
		}
	}
	result := &LatencyResult{Rate: r.rate, To: r.to, Latency: percentilesOf(latency), WriterLag: percentilesOf(w.lag),
		Written: float64(latency.TotalCount()) / r.For.Seconds()}
	to.since(from, result)
	result.judge()
	return result, nil
}

// write writes the load and returns what was used when its measured part began and ended.
func (r *latencyRun) write(ctx context.Context) (from, to latencyUsed, err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var watching sync.WaitGroup
	watching.Go(func() {
		if sleepUntil(ctx, r.writer.measure) == nil {
			from = r.used()
		}
		if sleepUntil(ctx, r.writer.measure.Add(r.For)) == nil {
			to = r.used()
		}
	})
	err = r.writer.run(ctx)
	if err != nil {
		cancel()
	}
	watching.Wait()
	return from, to, err
}

// await waits until all is there.
func (r *latencyRun) await(ctx context.Context, f *follower, there func() bool) error {
	limit := time.NewTimer(catchUpLimit)
	defer limit.Stop()
	look := time.NewTicker(5 * time.Millisecond)
	defer look.Stop()
	var behind chan struct{} // never ready without a role behind
	if r.behind != nil {
		behind = r.behind.ended
	}
	for !there() {
		select {
		case <-look.C:
		case err := <-f.failed:
			return err
		case <-r.stream.ended:
			return errors.New("the role cdc has ended; what it said stands above")
		case <-behind:
			return errors.New("the role process has ended; what it said stands above")
		case <-limit.C:
			return fmt.Errorf("not everything has arrived %s after it was written", catchUpLimit)
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

// latencyUsed is the CPU that was used up to a moment, in seconds.
type latencyUsed struct {
	at                                                  machineTime
	client, walsender, broker, process, postgres, bench float64
}

func (r *latencyRun) used() latencyUsed {
	u := latencyUsed{at: readMachine(), client: r.stream.cpu(), process: r.behind.cpu(), bench: selfCPU()}
	u.walsender, _ = ran(r.walsender) // gone is 0
	if r.server != 0 {
		u.postgres = family(r.server) - u.walsender
	}
	if r.broker != nil {
		u.broker = r.broker.cpu()
	}
	return u
}

func (u latencyUsed) sum() float64 {
	return u.client + u.walsender + u.broker + u.process + u.postgres + u.bench
}

// since writes into the result what was used since an earlier moment.
func (u latencyUsed) since(from latencyUsed, result *LatencyResult) {
	wall := u.at.at.Sub(from.at.at).Seconds()
	share := func(now, before float64) float64 {
		if now == 0 || u.at.cores == 0 || wall <= 0 {
			return -1
		}
		return (now - before) / wall
	}
	result.ClientCores = share(u.client, from.client)
	result.WalsenderCores = share(u.walsender, from.walsender)
	result.BrokerCores = share(u.broker, from.broker)
	result.ProcessCores = share(u.process, from.process)
	result.PostgresCores = share(u.postgres, from.postgres)
	result.BenchCores = share(u.bench, from.bench)
	result.Unexplained = -1
	if u.broker > 0 && u.postgres > 0 { // else what they use cannot be told from noise
		result.Unexplained = unexplained(from.at, u.at, u.sum()-from.sum())
	}
}
