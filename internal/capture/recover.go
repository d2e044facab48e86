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
	"github.com/livedb/livedb/producer"
)

// Recovery is what a recovery has to deliver again, and what it did. Kafka once had it and has lost it: the live slot, which
// follows what Kafka has committed, is ahead of the checkpoint.
type Recovery struct {
	Needed bool       // false: the slot is not ahead, and there is nothing to do
	From   cdc.EndLSN // where the checkpoint is
	To     cdc.LSN    // how far the slot is confirmed: what commits before it is to be delivered again
	Reach  cdc.LSN    // how far back the replay slot goes
	Seq    uint64     // the last one that the checkpoint knew

	Done                          bool  // false of a dry run
	Transactions, Changes, Events int64 // the dry run counts changes, the recovery events
	LastSeq                       uint64

	before func(context.Context) error
}

// drainRecovered bounds the last commit of a recovery.
const drainRecovered = 30 * time.Second

// errNothingLost says that the slot is not ahead of the checkpoint.
var errNothingLost = errors.New("the slot is not ahead of the checkpoint")

// Recover delivers again what Kafka has lost of a stream, from a copy of the replay slot: the transactions between the checkpoint
// and what the live slot is confirmed up to, with the same seqs and Positions as before. Then the stream can go on as if nothing
// had been. It starts as a stream does, with the same checks but for the slot, and refuses by name where Kafka's topics do not
// agree with the checkpoint or the replay slot does not reach back. Interrupted at any point it may be run again, and goes on. A
// dry run only looks, and counts. What is to be known of Kafka before an event is written, before tells, once all checks
// have passed and nobody else writes: its error ends the recovery. It may be nil.
func Recover(ctx context.Context, c Config, dryRun bool, before func(context.Context) error) (Recovery, error) {
	r := &role{Config: c, topics: envelope.Topics(c.Prefix), progress: &producer.Progress{}, recovery: &Recovery{before: before}}
	r.warden = newWarden(r) // it watches nothing: a recovery leaves the slots where they are
	e := &evidence{recovers: true}
	err := preflight(ctx, c, e)
	if err == nil {
		err = r.plan(e)
	}
	switch {
	case err != nil:
	case dryRun:
		err = r.count(ctx, e.saved.Position)
	default:
		err = r.session(ctx)
	}
	if errors.Is(err, errNothingLost) {
		return Recovery{Seq: r.recovery.Seq, LastSeq: r.recovery.Seq}, nil
	}
	if err != nil && ctx.Err() != nil {
		return *r.recovery, ctx.Err()
	}
	return *r.recovery, kafka.Named(err)
}

// plan says what a recovery has to do, or why there is none; outside a recovery it does nothing.
func (r *role) plan(e *evidence) error {
	if r.recovery == nil {
		return nil
	}
	at := e.saved.Position
	if at == nil || at.State == producer.Creating {
		return errNothingLost
	}
	r.recovery.Seq = at.Seq
	if e.server.Slot.Confirmed <= at.AckedUpto { // examine has seen the slot
		return errNothingLost
	}
	why := ""
	switch replay := e.server.Replay; {
	case replay == nil:
		why = "there is none"
	case replay.WALStatus == "lost":
		why = "it has lost its WAL"
	case replay.Confirmed > needed(at):
		why = fmt.Sprintf("it begins at %s", replay.Confirmed)
	}
	if why != "" {
		return beyondReplay(r.Source.Slot, at, why)
	}
	r.recovery.Needed, r.recovery.From, r.recovery.To, r.recovery.Reach = true, at.End, e.server.Slot.Confirmed, e.server.Replay.Confirmed
	return nil
}

// needed is how far back the replay slot must reach: to the last commit delivered, which the witness must see.
func needed(at *producer.Checkpoint) cdc.LSN {
	if at.Commit == 0 {
		return cdc.LSN(at.End)
	}
	return cdc.LSN(at.Commit)
}

func beyondReplay(slot string, at *producer.Checkpoint, why string) error {
	return &cdc.Refusal{Name: "recovery_impossible", Unsafe: true,
		Problem: fmt.Sprintf("what kafka has lost since %s would have to be read from the slot %s, and %s", needed(at), postgres.ReplaySlot(slot), why),
		Remedy:  "put a younger copy of kafka's data back if there is one; else begin a new epoch with livedb cdc --new-epoch"}
}

// recover streams from a copy of the replay slot, on the connection that leads, up to where the live slot is.
func (r *role) recover(ctx context.Context, conn *postgres.Conn, client sarama.Client, p *kafka.Producer, from producer.Checkpoint, tables *tables) error {
	if r.recovery.before != nil {
		if err := r.recovery.before(ctx); err != nil {
			return err
		}
	}
	s, err := r.replay(ctx, conn, &from)
	if err != nil {
		return err
	}
	stream := envelope.Stream{Name: r.Prefix, Database: from.Database, Version: r.Version, Epoch: from.Epoch}
	w := producer.NewWriter(producer.NewAssembler(stream, from, s.Now, tables.resolve), p, r.topics, tables.written, r.Limits, r.Metrics, r.progress)
	r.Log.Info("delivering again what kafka has lost", "slot", postgres.ReplaySlot(r.Source.Slot), "from", from.End, "to", r.recovery.To, "seq", from.Seq)

	group, running := errgroup.WithContext(ctx)
	writing, stopWriting := context.WithCancel(context.WithoutCancel(ctx))
	defer stopWriting()
	group.Go(func() error { return w.Write(writing) })
	group.Go(func() error {
		if err := s.Run(running, &upTo{Handler: w, end: r.recovery.To}); !errors.Is(err, errReached) {
			p.Abandon() // nothing more may be committed
			stopWriting()
			return cmp.Or(err, ctx.Err())
		}
		abandon := time.AfterFunc(drainRecovered, func() { p.Abandon(); stopWriting() })
		defer abandon.Stop()
		w.Drain()
		<-w.Done()
		return nil
	})
	if err := group.Wait(); err != nil {
		return err
	}

	// Everything that commits before the live slot's place is there again, so the slot may be where it is.
	saved, err := producer.ReadSaved(ctx, client, p, r.topics)
	if err != nil {
		return err
	}
	at := saved.Position
	at.Time, at.AckedUpto = time.Now().UTC(), max(at.AckedUpto, r.recovery.To)
	if err := producer.WriteCheckpoint(p, r.topics, *at); err != nil {
		return err
	}
	r.recovery.Done, r.recovery.LastSeq = true, at.Seq
	r.recovery.Transactions, r.recovery.Events = r.progress.Transactions.Load(), r.progress.Events.Load()
	return nil
}

// replay begins a stream of a copy of the replay slot after the checkpoint.
func (r *role) replay(ctx context.Context, conn *postgres.Conn, from *producer.Checkpoint) (*postgres.Stream, error) {
	err := conn.ReadReplaySlot(ctx, needed(from))
	if errors.Is(err, postgres.ErrNoWitness) {
		return nil, beyondReplay(r.Source.Slot, from, "it has just moved or gone")
	}
	if err != nil {
		return nil, err
	}
	return conn.Start(ctx, from.End, postgres.StreamOptions{
		Bytes: func(n int) { r.Metrics.WALBytes.Add(float64(n)) }, Stray: r.Metrics.Stray.Inc})
}

// count reads what a recovery would deliver, and delivers nothing.
func (r *role) count(ctx context.Context, from *producer.Checkpoint) error {
	if err := r.witness(ctx, from); err != nil {
		return err
	}
	conn, err := postgres.Dial(ctx, r.Source)
	if err != nil {
		return err
	}
	defer conn.Close()
	s, err := r.replay(ctx, conn, from)
	if err != nil {
		return err
	}
	c := &counter{durable: cdc.LSN(from.End)}
	if err := s.Run(ctx, &upTo{Handler: c, end: r.recovery.To}); !errors.Is(err, errReached) {
		return cmp.Or(err, ctx.Err())
	}
	r.recovery.Transactions, r.recovery.Changes = c.transactions, c.changes
	return nil
}

// errReached ends a stream that has come to its end.
var errReached = errors.New("the stream has come to its end")

// upTo hands on what commits before an LSN, all of it and nothing else, and ends the stream there. What lies behind it is the live
// slot's, which may have to wait for a standby: a copy of a slot would not.
type upTo struct {
	postgres.Handler
	end  cdc.LSN
	open bool
}

// Begin implements the stream's handler.
func (u *upTo) Begin(tx cdc.Transaction) error {
	if cdc.LSN(tx.Commit) >= u.end {
		return errReached
	}
	u.open = true
	return u.Handler.Begin(tx)
}

// Commit implements the stream's handler.
func (u *upTo) Commit(tx cdc.Transaction) error {
	u.open = false
	return u.Handler.Commit(tx)
}

// Quiet implements the stream's handler.
func (u *upTo) Quiet(lsn cdc.LSN, wanted bool) error {
	if !u.open && lsn >= u.end {
		return errReached
	}
	return u.Handler.Quiet(lsn, wanted)
}

// counter counts what it is handed.
type counter struct {
	durable               cdc.LSN
	transactions, changes int64
}

func (c *counter) Begin(cdc.Transaction) error { return nil }
func (c *counter) Change(*cdc.Change) error    { c.changes++; return nil }
func (c *counter) Truncate(_ cdc.LSN, tables []*cdc.Table) error {
	c.changes += int64(len(tables))
	return nil
}
func (c *counter) Commit(cdc.Transaction) error { c.transactions++; return nil }
func (c *counter) Quiet(cdc.LSN, bool) error    { return nil }
func (c *counter) Tick(time.Time) error         { return nil }
func (c *counter) Alarm() time.Time             { return time.Now().Add(time.Second) }
func (c *counter) Full() <-chan struct{}        { return nil }
func (c *counter) Durable() cdc.LSN             { return c.durable }
