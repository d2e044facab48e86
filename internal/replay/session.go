package replay

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/IBM/sarama"
	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/errgroup"

	"github.com/livedb/livedb/cdc"
	"github.com/livedb/livedb/cdc/envelope"
	"github.com/livedb/livedb/cdc/postgres"
	"github.com/livedb/livedb/internal/kafka"
	"github.com/livedb/livedb/internal/metrics"
	"github.com/livedb/livedb/producer"
)

// Limits of a run.
const (
	aheadTransactions  = 256 // of the order, in memory
	drainLimit         = 10 * time.Second
	settleLimit        = 5 * time.Second
	progressEvery      = 200 * time.Millisecond
	replayLinger       = 50 * time.Millisecond // nobody waits for a replay's events as for those of the stream
	replayStall        = time.Minute
	transactionTimeout = time.Minute // after which Kafka ends what a run that was killed had open
	silence            = 10 * time.Minute
)

// session is the decoding and writing of a run.
type session struct {
	*replay
	plan    *plan
	catalog *postgres.Catalog
	target  func(live string, t *cdc.Table) (topic string, err error) // where the events of a table go

	from     producer.Checkpoint
	reading  *postgres.Stream // since run began it
	progress producer.Progress
}

// toOutput writes lines.
func (r *replay) toOutput(ctx context.Context, p *plan) error {
	s := &session{replay: r, plan: p, from: p.begin(r.source),
		target: func(live string, _ *cdc.Table) (string, error) { return live, nil }}
	limits := r.limits()
	limits.Stall = math.MaxInt64 // whoever reads a terminal may take all day
	w := producer.NewSinkWriter(s.assembler(r.topics), newLines(r.ID, r.Output).write, limits, metrics.NewCDC(prometheus.NewRegistry()), &s.progress)
	return s.run(ctx, w, func() {})
}

// toNewTopics makes the topics of a replay and writes to them.
func (r *replay) toNewTopics(ctx context.Context, p *plan) error {
	places, err := p.places(r.topics, r.own, r.saved.Topology)
	if err != nil {
		return err
	}
	topics := wanted(r.own, places)
	if err := checkNew(ctx, r.client, r.saved.Topology, topics); err != nil {
		return err
	}
	if err := kafka.EnsureTopics(ctx, r.client, topics...); err != nil {
		return err
	}
	return r.toTopics(ctx, p, func(out *kafka.Producer) (producer.Saved, error) {
		topology, err := topologyOf(ctx, r.client, r.own, places)
		if err != nil {
			return producer.Saved{}, err
		}
		begin := p.begin(r.source)
		err = errors.Join(
			producer.WriteTopology(out, r.own, topology),
			producer.WriteCheckpoint(out, r.own, begin),
			writeRecord(out, r.own, record{Version: 1, ID: r.ID, From: r.From, To: r.To, Plan: *p}))
		return producer.Saved{Position: &begin, Topology: topology}, err
	})
}

// toOldTopics goes on in the topics that an earlier run made.
func (r *replay) toOldTopics(ctx context.Context, p *plan) error {
	return r.toTopics(ctx, p, func(out *kafka.Producer) (producer.Saved, error) {
		saved, err := producer.ReadSaved(ctx, r.client, out, r.own)
		if err != nil {
			return saved, err
		}
		if saved.Position == nil {
			return saved, &cdc.Refusal{Name: "checkpoint_missing", Unsafe: true, Problem: fmt.Sprintf("the replay %s has begun and its position in topic %s is gone", r.ID, r.own.Checkpoint()),
				Remedy: "choose another --id"}
		}
		found, err := kafka.LookAgain(ctx, r.client, saved.Topology.Names()...)
		if err != nil {
			return saved, err
		}
		if err := saved.Topology.CheckTopics(found); err != nil {
			return saved, err
		}
		return saved, saved.CheckTails(ctx, r.client, r.own)
	})
}

// toTopics opens the replay's producer, which fences and settles what an earlier run left open, has the place to go on from
// read or written, and runs.
func (r *replay) toTopics(ctx context.Context, p *plan, start func(*kafka.Producer) (producer.Saved, error)) error {
	config := r.Kafka
	config.TransactionTimeout = transactionTimeout
	out, err := kafka.OpenProducer(ctx, config, string(r.own))
	if err != nil {
		return err
	}
	defer out.Close()
	stop := context.AfterFunc(ctx, out.Abandon) // until the stream runs nothing is in flight that a stop would have to wait for
	defer stop()
	saved, err := start(out)
	if err != nil {
		return cmp.Or(ctx.Err(), err)
	}
	if !stop() {
		return ctx.Err()
	}
	s := &session{replay: r, plan: p, from: *saved.Position,
		target: func(_ string, t *cdc.Table) (string, error) { return r.own.Table(t.Schema, t.Name) }}
	if p.finished(&s.from) { // by a run that ended meanwhile
		r.result.State, r.result.Done = Finished, p.Events
		return nil
	}
	w := producer.NewWriter(s.assembler(r.own), out, r.own, saved.Topology, r.limits(), metrics.NewCDC(prometheus.NewRegistry()), &s.progress)
	w.Mark(envelope.HeaderReplay, []byte(r.ID))
	err = s.run(ctx, w, out.Abandon)
	switch {
	case kafka.Fenced(err), errors.Is(err, sarama.ErrInvalidTxnState): // which of the two it is depends on what it was about to do
		return fmt.Errorf("%w (%w)", errAnother, err)
	case err != nil && out.Abandoned(): // by nobody else: after other errors a run that has taken over must not be fenced
		settle(config, string(r.own))
	}
	return err
}

// settle ends the Kafka transaction that a producer may have left open, as far as Kafka answers; otherwise its time limit
// does, or the next run.
func settle(c kafka.Config, id string) {
	ctx, cancel := context.WithTimeout(context.Background(), settleLimit)
	defer cancel()
	if p, err := kafka.OpenProducer(ctx, c, id); err == nil {
		p.Close()
	}
}

func (r *replay) limits() producer.Limits {
	l := r.Limits
	l.Linger = cmp.Or(l.Linger, replayLinger)
	l.Stall = cmp.Or(l.Stall, replayStall)
	return l
}

func (s *session) assembler(topics envelope.Topics) *producer.Assembler {
	a := producer.NewAssembler(s.stream(), s.from, func() time.Time { return s.reading.Now() }, s.resolve)
	a.Elsewhere(topics)
	return a
}

func (s *session) stream() envelope.Stream {
	return envelope.Stream{Name: s.Prefix, Database: s.saved.Position.Database, Version: s.Version, Epoch: s.plan.Epoch}
}

// resolve implements producer.Resolve: a table is written as the stream writes it, somewhere else.
func (s *session) resolve(t *cdc.Table) (producer.Place, string, *envelope.Plan, *producer.Topology, error) {
	live, err := s.topics.Table(t.Schema, t.Name)
	if err != nil {
		return producer.Place{}, "", nil, nil, err
	}
	place, known := s.saved.Topology.Topics[live]
	if !known {
		return place, "", nil, nil, differs("the source has a change of the table %s, and the stream has never had one", t)
	}
	topic, err := s.target(live, t)
	if err != nil {
		return place, "", nil, nil, err
	}
	ctx, cancel := context.WithTimeout(context.Background(), settleLimit)
	defer cancel()
	found, err := s.catalog.Types(ctx, t)
	if err != nil {
		return place, "", nil, nil, err
	}
	types := envelope.Types{}
	for oid, f := range found {
		types[oid] = envelope.Type{Base: f.Base, Elem: f.Elem, Modifier: f.Modifier, Name: f.Name, Delim: f.Delim}
	}
	plan, err := envelope.NewPlan(s.stream(), t, place.Key, types)
	if err != nil {
		return place, "", nil, nil, differs("the stream's keys of the table %s do not fit what the source has (%v)", t, err)
	}
	return place, topic, plan, nil, nil
}

// run decodes and writes. Whatever ends it, what is whole is written before it returns, unless that takes too long.
func (s *session) run(ctx context.Context, w *producer.Writer, abandon func()) (err error) {
	if s.catalog, err = postgres.OpenCatalog(ctx, s.Source); err != nil {
		return err
	}
	defer s.catalog.Close(context.WithoutCancel(ctx))
	next := bound{kind: byLSN, lsn: s.from.Commit + 1}
	if s.from.Partial != nil {
		next.lsn = s.from.Partial.Commit
	}
	expected, first, err := s.open(ctx, &next)
	if err != nil {
		return err
	}
	stream, err := s.copied.Start(ctx, cdc.EndLSN(first.Commit), postgres.StreamOptions{Silence: silence})
	if err != nil {
		return s.streamError(err)
	}
	s.reading = stream
	began := time.Now()
	s.Log.Info("replaying", "id", s.ID, "from", first.Commit, "to", s.plan.To.Position, "slot", s.result.Slot)
	ahead, ready := make(chan *transaction, aheadTransactions), make(chan struct{}, 1)
	h := &handler{Writer: w, topics: s.topics, to: s.plan.To.Position, cut: !s.plan.Whole, expected: ahead, ready: ready,
		next: first, counts: map[*cdc.Table]uint64{}, seen: cdc.LSN(first.Commit), pace: newPacer(s.Rate)}

	running, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	var group errgroup.Group
	owned := func(do func() error) {
		group.Go(func() error {
			err := do()
			if err != nil {
				stop(err)
			}
			return err
		})
	}
	writing, stopWriting := context.WithCancel(context.WithoutCancel(ctx))
	defer stopWriting()
	owned(func() error { return w.Write(writing) })
	owned(func() error { return expected.feed(running, s.plan.To.Position.Commit, ahead, ready) })
	owned(func() error { return postgres.AwaitEnd(running, s.Source) })
	owned(func() error { s.report(running, s.from.Seq, began); return nil })

	err = stream.Run(running, h)
	if err == nil {
		err = context.Cause(running)
	}
	s.copied.Close() // before all that waits for Kafka: the source must be able to shut down
	late := time.AfterFunc(drainLimit, func() { abandon(); stopWriting() })
	defer late.Stop()
	w.Drain()
	<-w.Done()
	stop(nil)
	return s.ended(ctx, err, group.Wait(), began)
}

// ended says how a run ended: why the stream did, what the writer says of it, and what is done.
func (s *session) ended(ctx context.Context, cause, failed error, began time.Time) error {
	s.tell(s.from.Seq, began)
	switch {
	case failed == nil && errors.Is(cause, errReached):
		s.result.State = Finished
		return nil
	case ctx.Err() != nil:
		return ctx.Err()
	case errors.Is(cause, errReached):
		return failed
	}
	return s.streamError(cmp.Or(cause, failed))
}

// streamError names what the source says of a slot that is the replay's own, and nothing that the stream would lose.
func (s *session) streamError(err error) error {
	var refusal *cdc.Refusal
	if errors.As(err, &refusal) && (refusal.Name == "slot_wal_lost" || refusal.Name == "slot_or_publication_missing") {
		return fmt.Errorf("the source ended the replay: %s; the stream itself is not touched; run it again with --id %s", refusal.Problem, s.ID)
	}
	return err
}

// open opens the order at a transaction and returns it.
func (s *session) open(ctx context.Context, next *bound) (*cursor, *transaction, error) {
	c, err := s.order().from(ctx, next)
	if err != nil {
		return nil, nil, err
	}
	for {
		t, err := c.next(ctx)
		switch {
		case err != nil:
			return nil, nil, err
		case t == nil || t.Commit > s.plan.To.Position.Commit || t.First > s.from.Seq+1:
			return nil, nil, &cdc.Refusal{Name: "replay_order_removed", Problem: fmt.Sprintf("the topic %s no longer tells of what follows %s, where the replay goes on", s.topics.Transaction(), s.from.Commit),
				Remedy: "begin another replay, under another --id"}
		case !next.begins(t):
			continue
		case cdc.LSN(t.Commit) < s.copied.Confirmed:
			f, err := s.find(ctx, s.copied.Confirmed)
			if err != nil {
				return nil, nil, err
			}
			return nil, nil, f.below(t.Commit.String())
		}
		return c, t, nil
	}
}

// feed hands the rest of the order over, up to a commit.
func (c *cursor) feed(ctx context.Context, upto cdc.CommitLSN, to chan<- *transaction, ready chan<- struct{}) error {
	for {
		t, err := c.next(ctx)
		if ctx.Err() != nil || err == nil && (t == nil || t.Commit > upto) {
			return nil
		}
		if err != nil {
			return err
		}
		select {
		case to <- t:
		case <-ctx.Done():
			return nil
		}
		select {
		case ready <- struct{}{}:
		default:
		}
	}
}

// report tells of the progress until the context ends.
func (s *session) report(ctx context.Context, from uint64, began time.Time) {
	s.Metrics.Active.Inc()
	defer s.Metrics.Active.Dec()
	tick := time.NewTicker(progressEvery)
	defer tick.Stop()
	for {
		s.tell(from, began)
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// tell notes how far the run is; from is the seq that it began behind.
func (s *session) tell(from uint64, began time.Time) {
	records := uint64(s.progress.Records.Load())
	s.Metrics.Records.Add(float64(records - s.result.Records))
	s.result.Records, s.result.Written = records, uint64(s.progress.Events.Load())
	s.result.Done = from + s.result.Written + 1 - s.plan.From.Seq
	s.result.Seconds = time.Since(began).Seconds()
	s.Metrics.Progress.Set(float64(s.result.Done) / float64(s.plan.Events))
	if s.Progress != nil {
		s.Progress(Progress{Done: s.result.Done, Total: s.plan.Events})
	}
}
