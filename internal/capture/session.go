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
	err = conn.Lead(ctx, func() {
		r.Status.Set(status.Warning, "another cdc leads the slot "+r.Source.Slot+"; waiting for it to go")
		r.Log.Info("another cdc leads this slot, waiting", "slot", r.Source.Slot)
	})
	if err != nil {
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

	from, topology, err := r.resume(ctx, conn, client, p)
	if err != nil {
		return err
	}
	tables, err := openTables(ctx, r, client, from.Epoch, topology)
	if err != nil {
		return err
	}
	defer tables.close()
	if !stop() {
		return ctx.Err()
	}
	return r.stream(ctx, conn, p, from, tables)
}

// resume reads where the stream is and refuses to go on where a promise would break; a new stream begins here.
func (r *role) resume(ctx context.Context, conn *postgres.Conn, client sarama.Client, p *kafka.Producer) (producer.Checkpoint, producer.Topology, error) {
	saved, err := producer.ReadSaved(ctx, client, p, r.topics)
	if err != nil {
		return producer.Checkpoint{}, saved.Topology, err
	}
	server, err := postgres.Preflight(ctx, r.Source)
	if err != nil {
		return producer.Checkpoint{}, saved.Topology, err
	}
	identity, err := conn.Identify(ctx)
	if err != nil {
		return producer.Checkpoint{}, saved.Topology, err
	}
	now := producer.Source{SystemID: identity.SystemID, Timeline: identity.Timeline, NeonTimeline: server.NeonTimeline,
		Database: identity.Database, Slot: r.Source.Slot, Publication: r.Source.Publication}
	at := saved.Position
	if at == nil || at.State == producer.Creating {
		from, err := r.bootstrap(ctx, conn, client, p, at, now, server)
		return from, saved.Topology, err
	}
	if server.Slot == nil {
		return *at, saved.Topology, &cdc.Refusal{Name: "slot_missing", Unsafe: true, Problem: fmt.Sprintf("the slot %s is gone, and the checkpoint is at %s", r.Source.Slot, at.End),
			Remedy: "changes since then are lost to this stream: start a new one under another --prefix"}
	}
	if server.Publication == nil {
		return *at, saved.Topology, &cdc.Refusal{Name: "publication_missing", Unsafe: true, Problem: fmt.Sprintf("the publication %s is gone", r.Source.Publication),
			Remedy: "the slot cannot be decoded without it: drop the slot and start a new stream under another --prefix"}
	}
	return *at, saved.Topology, at.Check(now, server.Slot.Confirmed, identity.Current)
}

// bootstrap begins a stream. The order makes each step safe to repeat: publication, topics, a checkpoint that says
// creating, slot, the checkpoint at the slot's consistent point.
func (r *role) bootstrap(ctx context.Context, conn *postgres.Conn, client sarama.Client, p *kafka.Producer, at *producer.Checkpoint, now producer.Source, server *postgres.Server) (producer.Checkpoint, error) {
	if at == nil {
		if written, err := client.GetOffset(r.topics.Transaction(), 0, sarama.OffsetNewest); err != nil {
			return producer.Checkpoint{}, fmt.Errorf("read topic %s: %w", r.topics.Transaction(), err)
		} else if written > 0 {
			return producer.Checkpoint{}, &cdc.Refusal{Name: "checkpoint_missing", Unsafe: true,
				Problem: fmt.Sprintf("the stream %s has events but its checkpoint in topic %s is gone", r.Prefix, r.topics.Checkpoint()),
				Remedy:  "start a new stream under another --prefix"}
		}
		if server.Slot != nil {
			return producer.Checkpoint{}, &cdc.Refusal{Name: "checkpoint_missing", Unsafe: true,
				Problem: fmt.Sprintf("the slot %s exists but the stream %s has no checkpoint", r.Source.Slot, r.Prefix),
				Remedy:  fmt.Sprintf("correct --slot, --prefix or --kafka if they are wrong; if the slot is a leftover, run SELECT pg_drop_replication_slot('%s')", r.Source.Slot)}
		}
	} else if at.Source != now {
		return producer.Checkpoint{}, &cdc.Refusal{Name: "stream_elsewhere", Unsafe: true,
			Problem: fmt.Sprintf("the stream %s was being created for the slot %s of another source", r.Prefix, at.Slot), Remedy: "use another --prefix"}
	}
	if server.Publication == nil {
		if err := postgres.CreatePublication(ctx, r.Source); err != nil {
			return producer.Checkpoint{}, err
		}
	}
	from := producer.Checkpoint{Version: 1, Epoch: 1, Time: time.Now().UTC(), State: producer.Creating, Source: now}
	if err := producer.WriteCheckpoint(p, r.topics, from); err != nil {
		return from, err
	}
	if server.Slot != nil { // of an attempt that died on the way: nothing was delivered from it
		if err := postgres.DropSlot(ctx, r.Source); err != nil {
			return from, err
		}
	}
	begin, err := conn.CreateSlot(ctx)
	if err != nil {
		return from, err
	}
	from.Time, from.State, from.End, from.AckedUpto = time.Now().UTC(), producer.Streaming, begin, cdc.LSN(begin)
	r.Log.Info("a new stream begins", "prefix", r.Prefix, "slot", r.Source.Slot, "lsn", begin)
	return from, producer.WriteCheckpoint(p, r.topics, from)
}

// stream runs until the context ends or something fails. Stopping is: no more reading; the last commit, with a limit;
// the last status, with what is durable; the connection.
func (r *role) stream(ctx context.Context, conn *postgres.Conn, p *kafka.Producer, from producer.Checkpoint, tables *tables) error {
	s, err := conn.Start(ctx, from.End, postgres.StreamOptions{
		Bytes: func(n int) { r.Metrics.WALBytes.Add(float64(n)) },
		Stray: r.Metrics.Stray.Inc,
	})
	if err != nil {
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
	assembler := producer.NewAssembler(envelope.Stream{Name: r.Prefix, Database: from.Database, Version: r.Version, Epoch: from.Epoch}, from, tables.resolve)
	w := producer.NewWriter(assembler, p, r.topics, tables.written, r.Limits, r.Metrics, r.progress)
	r.Status.Set(status.Healthy, "")
	r.Log.Info("streaming", "slot", r.Source.Slot, "from", from.End, "seq", from.Seq)

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
	var cause error // why the stream ended, which what follows from it must not hide
	group.Go(func() error {
		cause = s.Run(running, w)
		if cause != nil || ctx.Err() == nil {
			p.Abandon() // the session fails: nothing more may be committed
			stopWriting()
			return cause
		}
		abandon := time.AfterFunc(drainLimit, func() { p.Abandon(); stopWriting() })
		defer abandon.Stop()
		w.Drain()
		<-w.Done()
		return s.Status(time.Now())
	})
	if err := group.Wait(); ctx.Err() == nil {
		return cmp.Or(cause, err)
	}
	return nil
}
