package capture

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/IBM/sarama"
	"golang.org/x/sync/errgroup"

	"github.com/livedb/livedb/cdc"
	"github.com/livedb/livedb/cdc/envelope"
	"github.com/livedb/livedb/cdc/postgres"
	"github.com/livedb/livedb/internal/failpoint"
	"github.com/livedb/livedb/internal/kafka"
	"github.com/livedb/livedb/internal/status"
	"github.com/livedb/livedb/producer"
)

// session is one life of the replication connection and of the Kafka producer: they start and end together.
func (r *role) session(ctx context.Context) error {
	conn, err := postgres.Dial(ctx, r.Source)
	if err != nil {
		return err
	}
	defer conn.Close()
	if err := failpoint.Hit(failpoint.Dialled); err != nil {
		return err
	}
	leading, give := context.WithCancelCause(ctx)
	defer give(nil)
	err = conn.Lead(leading, func() {
		r.warden.lead(false)
		if r.Drain != nil {
			give(r.led())
			return
		}
		r.Status.Set(status.Warning, "another cdc leads the slot "+r.Source.Slot+"; waiting for it to go")
		r.Log.Info("another cdc leads this slot, waiting", "slot", r.Source.Slot)
	})
	if err != nil {
		return cmp.Or(context.Cause(leading), err)
	}
	r.warden.lead(true)
	if err := failpoint.Hit(failpoint.Leading); err != nil {
		return err
	}
	client, err := r.client(ctx)
	if err != nil {
		return err
	}
	defer client.Close()
	if err := kafka.EnsureTopics(ctx, client, producer.OwnTopics(r.topics, r.RetentionBytes)...); err != nil {
		return err
	}
	p, err := kafka.OpenProducer(ctx, r.Kafka, r.Prefix+".cdc")
	if err != nil {
		return err
	}
	defer p.Close()
	// Until the stream runs nothing is in flight that a stop would have to wait for.
	stop := context.AfterFunc(ctx, p.Abandon)
	defer stop()
	if err := failpoint.Hit(failpoint.Fenced); err != nil {
		return err
	}

	from, topology, err := r.resume(ctx, conn, client, p)
	if err != nil {
		return err
	}
	tables, err := openTables(ctx, r, client, p, from.Epoch, topology)
	if err != nil {
		return err
	}
	defer tables.close()
	defer conn.Close() // before all that waits for kafka: the source must be able to shut down
	if !stop() {
		return ctx.Err()
	}
	if r.recovery != nil {
		return r.recover(ctx, conn, client, p, from, tables)
	}
	return r.stream(ctx, conn, p, from, tables)
}

// resume reads where the stream is and refuses to go on where a promise would break; a new stream begins here.
func (r *role) resume(ctx context.Context, conn *postgres.Conn, client sarama.Client, p *kafka.Producer) (producer.Checkpoint, producer.Topology, error) {
	var none producer.Checkpoint
	e := &evidence{recovers: r.recovery != nil, lost: r.lost}
	var err error
	if e.server, err = postgres.Preflight(ctx, r.Source); err != nil {
		return none, producer.Topology{}, err
	}
	if e.saved, err = producer.ReadSaved(ctx, client, p, r.topics); err != nil {
		return none, producer.Topology{}, err
	}
	if err := e.lift(&r.Config, e.identify(ctx, r.Config, conn, client)); err != nil {
		return none, producer.Topology{}, err
	}
	if err := examine(ctx, r.Config, client, e); err != nil {
		return none, producer.Topology{}, err
	}
	if err := r.plan(e); err != nil {
		return none, producer.Topology{}, err
	}
	at := e.saved.Position
	if at == nil || at.State == producer.Creating {
		return r.bootstrap(ctx, conn, p, e)
	}
	if err := e.saved.CheckTails(ctx, client, r.topics); err != nil {
		return none, producer.Topology{}, err
	}
	if err := failpoint.Hit(failpoint.Resumed); err != nil {
		return none, producer.Topology{}, err
	}
	if e.lost == nil {
		if err := e.lift(&r.Config, r.witness(ctx, at)); err != nil {
			return none, producer.Topology{}, err
		}
	}
	if e.lost != nil {
		return r.bootstrap(ctx, conn, p, e)
	}
	if r.NewEpoch != 0 {
		r.Log.Warn("no new epoch is needed: the stream goes on where it is", "epoch", at.Epoch, "seq", at.Seq)
	}
	if err := r.savePromotion(p, e); err != nil {
		return none, producer.Topology{}, err
	}
	return *at, e.saved.Topology, failpoint.Hit(failpoint.Witnessed)
}

// witness has the source show the last delivered transaction again.
func (r *role) witness(ctx context.Context, at *producer.Checkpoint) error {
	if at.Commit == 0 {
		return nil // nothing was delivered yet
	}
	seen, err := postgres.Witness(ctx, r.Source, at.Commit)
	if errors.Is(err, postgres.ErrNoWitness) {
		r.Log.Warn("a source that was restored from an older copy could not be noticed at this start", "reason", err, "slot", postgres.ReplaySlot(r.Source.Slot))
		return nil
	}
	if err != nil {
		return err
	}
	return at.CheckWitness(seen)
}

// bootstrap begins a stream, or an epoch of it. The order makes each step safe to repeat: publication, topics, a checkpoint
// that says creating, slot, the checkpoint at the slot's consistent point.
func (r *role) bootstrap(ctx context.Context, conn *postgres.Conn, p *kafka.Producer, e *evidence) (producer.Checkpoint, producer.Topology, error) {
	from, topology := producer.Checkpoint{Version: 1, Epoch: 1, Time: time.Now().UTC(), State: producer.Creating, Source: e.source(r.Source)}, e.saved.Topology
	if from.Gap = r.gap(e); from.Gap != nil {
		from.Epoch = from.Gap.EpochTo
	}
	if e.server.Publication == nil {
		if err := postgres.CreatePublication(ctx, r.Source); err != nil {
			return from, topology, err
		}
	}
	if err := failpoint.Hit(failpoint.PublishedNew); err != nil {
		return from, topology, err
	}
	if err := producer.WriteCheckpoint(p, r.topics, from); err != nil {
		return from, topology, err
	}
	if err := failpoint.Hit(failpoint.CreatingSaved); err != nil {
		return from, topology, err
	}
	if e.saved.Position != nil { // of an epoch that has ended, or of an attempt that died on the way and delivered nothing
		if err := postgres.DropOwnSlots(ctx, r.Source); err != nil {
			return from, topology, err
		}
	}
	if err := failpoint.Hit(failpoint.SlotsDropped); err != nil {
		return from, topology, err
	}
	begin, err := conn.CreateSlot(ctx)
	if err != nil {
		return from, topology, err
	}
	if err := failpoint.Hit(failpoint.SlotCreated); err != nil {
		return from, topology, err
	}
	from.Time, from.State, from.End, from.AckedUpto = time.Now().UTC(), producer.Streaming, begin, cdc.LSN(begin)
	if from.Gap != nil {
		return r.beginEpoch(p, from, topology)
	}
	r.Log.Info("a new stream begins", "prefix", r.Prefix, "slot", r.Source.Slot, "lsn", begin)
	if err := producer.WriteCheckpoint(p, r.topics, from); err != nil {
		return from, topology, err
	}
	return from, topology, failpoint.Hit(failpoint.Bootstrapped)
}

// stream runs until the context ends or something fails. Stopping is: no more reading; the last commit, with a limit;
// the last status, with what is durable; the connection.
func (r *role) stream(ctx context.Context, conn *postgres.Conn, p *kafka.Producer, from producer.Checkpoint, tables *tables) error {
	s, err := conn.Start(ctx, from.End, r.streamOptions())
	if err != nil {
		return r.evict(ctx, err)
	}
	r.served = time.Now()
	if err := failpoint.Hit(failpoint.Started); err != nil {
		return err
	}
	// The slot may have been moved between the check and the start.
	slot, err := tables.monitor.Slot(ctx)
	if err != nil {
		return err
	}
	if slot == nil || slot.Confirmed > from.AckedUpto {
		return &cdc.Refusal{Name: "slot_ahead_of_checkpoint", Unsafe: true, Problem: fmt.Sprintf("the slot %s was moved or dropped while the stream started", r.Source.Slot),
			Remedy: "changes may be lost to this stream: find who uses the slot, and start a new stream under another --prefix"}
	}
	assembler := producer.NewAssembler(envelope.Stream{Name: r.Prefix, Database: from.Database, Version: r.Version, Epoch: from.Epoch}, from, s.Now, tables.resolve)
	w := producer.NewWriter(assembler, p, r.topics, tables.written, r.Limits, r.Metrics, r.progress)
	handler, err := r.handler(ctx, w)
	if err != nil {
		return err
	}
	r.Status.Set(status.Healthy, "")
	r.Log.Info("streaming", "slot", r.Source.Slot, "from", from.End, "seq", from.Seq)

	r.warden.begin(from)
	defer r.warden.end()
	group, running := errgroup.WithContext(ctx)
	writing, stopWriting := context.WithCancel(context.WithoutCancel(ctx))
	defer stopWriting()
	group.Go(func() error {
		err := w.Write(writing)
		if err == nil && ctx.Err() == nil {
			err = errors.New("the writer ended before the stream")
		}
		return err
	})
	group.Go(func() error { return tables.watch(running) })
	group.Go(func() error { r.warden.seed(running, tables.client); return nil })
	var cause error // why the stream ended, which what follows from it must not hide
	group.Go(func() error {
		cause = s.Run(running, handler)
		if !errors.Is(cause, errDrained) && (cause != nil || ctx.Err() == nil) {
			p.Abandon() // the session fails: nothing more may be committed
			stopWriting()
			return cause
		}
		abandon := time.AfterFunc(drainLimit, func() { p.Abandon(); stopWriting() })
		defer abandon.Stop()
		w.Drain()
		<-w.Done()
		if err := s.Status(time.Now()); err != nil {
			cause = err
		}
		return cause
	})
	err = group.Wait()
	if errors.Is(cause, errDrained) {
		r.drained(ctx, tables.client)
	}
	if ctx.Err() == nil || errors.Is(cause, errDrained) {
		return cmp.Or(cause, err)
	}
	return nil
}

func (r *role) streamOptions() postgres.StreamOptions {
	return postgres.StreamOptions{
		Bytes: func(n int) { r.Metrics.WALBytes.Add(float64(n)); r.flow.wal() },
		Read: func(n int) {
			r.Metrics.SocketReads.Inc()
			r.Metrics.SocketBytes.Add(float64(n))
			r.warden.hear()
			r.flow.read(time.Now())
		},
		Stray:   r.Metrics.Stray.Inc,
		Silence: r.silence.allowed(),
	}
}

// evict ends the reader that keeps us from the slot, if it is a LiveDB: we have the lead, so it has none.
func (r *role) evict(ctx context.Context, err error) error {
	var busy *postgres.SlotBusyError
	if !errors.As(err, &busy) {
		return err
	}
	pid, ended := postgres.EndStaleReader(ctx, r.Source)
	if ended != nil {
		return errors.Join(err, ended)
	}
	if pid != 0 {
		r.Log.Warn("a stale reader of the slot was ended", "slot", r.Source.Slot, "pid", pid)
	}
	return err
}
