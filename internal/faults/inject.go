//go:build unix

package faults

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/livedb/livedb/internal/devstack"
	"github.com/livedb/livedb/internal/failpoint"
	"github.com/livedb/livedb/producer"
)

// fastLimit is how long a fast shutdown of Postgres and its next start may take while LiveDB streams.
const fastLimit = 20 * time.Second

// nodeLimit is how long a node of Kafka may take to start and to catch up.
const nodeLimit = 3 * time.Minute

// inject does one fault, or a few of a kind in a row, and has the system as it was, but for what it needs to recover.
func (r *round) inject(ctx context.Context, kind Kind) error {
	switch kind {
	case CDC:
		return r.killAtPoint(ctx, r.cdc, CDC, cdcPoints)
	case Processor:
		return r.killAtPoint(ctx, r.processor, Processor, failpoint.Process)
	case Reader:
		return r.killReader(ctx)
	case Postgres:
		return r.restartPostgres(ctx, kind)
	case Walsender:
		return r.terminateWalsender(ctx)
	case Broker:
		return r.killBroker(ctx, kind, nil)
	case Pause:
		return r.pauseCDC(ctx)
	case Pair:
		return r.startPair(ctx)
	case BrokerCDC:
		return r.killBroker(ctx, kind, r.cdc)
	case PostgresProcessor:
		return r.together(ctx, r.processor, func() error { return r.restartPostgres(ctx, kind) })
	}
	return fmt.Errorf("there is no fault %q; name one of %v", kind, Kinds)
}

// cdcPoints are those of a stream that exists. The steps around a commit come twice as often as the others.
var cdcPoints = slices.Concat(slices.DeleteFunc(slices.Clone(failpoint.CDC), func(p failpoint.Point) bool {
	return slices.Contains(bootstrapPoints, p) || p == failpoint.EpochBegun // no round loses its slot
}), []failpoint.Point{failpoint.KafkaBegun, failpoint.EventsSent, failpoint.BeforeCommit, failpoint.Committed})

// killAtPoint has a role start anew with a failpoint set and waits until it is dead, by the failpoint or, if that takes too
// long, by our hand. The start before may come from a kill too, and the start after may have a failpoint set again: a
// role also dies while it recovers.
func (r *round) killAtPoint(ctx context.Context, k *keeper, kind Kind, points []failpoint.Point) error {
	left := func() int { return r.plan.Faults[kind] - r.hits.get().faults[kind] }
	p, n, err := k.current(ctx)
	if err != nil {
		return err
	}
	armed := r.pick(points)
	k.arm(armed)
	if left() > 1 && r.rng.IntN(4) == 0 {
		p.kill()
		err = k.next(ctx, n)
	} else {
		err = k.restart(ctx)
	}
	for again := true; again && err == nil; {
		if p, n, err = k.current(ctx); err != nil {
			return err
		}
		idle := strings.HasPrefix(armed, string(failpoint.Heartbeat)+":")
		if again = left() > 1 && r.rng.IntN(3) == 0; again {
			armed = r.pick(points)
			k.arm(armed)
		}
		if err := r.awaitPoint(ctx, p, idle); err != nil {
			return err
		}
		p.kill()
		if err = k.next(ctx, n); err == nil && idle {
			err = r.startWriters()
		}
	}
	return err
}

// awaitPoint waits until the process has been at its failpoint for a while, is dead, or has taken too long. One that is passed
// by an idle stream alone has the writers stopped, and something written that is none of the stream's.
func (r *round) awaitPoint(ctx context.Context, p *process, idle bool) error {
	patience := r.patience()
	if idle {
		patience = idlePatience
		if err := r.stopWriters(); err != nil {
			return err
		}
		if err := r.execute(ctx, `SELECT pg_logical_emit_message(false, 'faults', 'idle')`); err != nil {
			return err
		}
	}
	select {
	case <-p.reached:
		r.linger(ctx, p)
	case <-p.ended:
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-time.After(patience):
	}
	return nil
}

// idlePatience is how long an idle stream may take to its heartbeat, with time to catch up before.
const idlePatience = 2*producer.DefaultHeartbeat + 10*time.Second

// linger lets a process live on at its failpoint for a random while: mostly longer than the second between two status
// updates to Postgres.
func (r *round) linger(ctx context.Context, p *process) {
	select {
	case <-p.ended:
	case <-ctx.Done():
	case <-time.After(time.Duration(r.rng.IntN(3000)) * time.Millisecond):
	}
}

func (r *round) killReader(ctx context.Context) error {
	p, n, err := r.reader.current(ctx)
	if err != nil {
		return err
	}
	select {
	case <-p.ended:
	case <-time.After(time.Duration(r.rng.IntN(500)) * time.Millisecond):
		p.kill()
	}
	return r.reader.next(ctx, n)
}

// together kills a role at a random moment of another fault, which counts for both.
func (r *round) together(ctx context.Context, k *keeper, other func() error) error {
	p, n, err := k.current(ctx)
	if err != nil {
		return err
	}
	r.uncounted.Store(true)
	defer r.uncounted.Store(false)
	var killing sync.WaitGroup
	moment := time.Duration(r.rng.IntN(1000)) * time.Millisecond
	killing.Go(func() {
		time.Sleep(moment)
		p.kill()
	})
	err = other()
	killing.Wait()
	return errors.Join(err, k.next(ctx, n))
}

func (r *round) restartPostgres(ctx context.Context, kind Kind) error {
	mode := []devstack.StopMode{devstack.StopKill, devstack.StopImmediate, devstack.StopFast}[r.rng.IntN(3)]
	began := time.Now()
	if err := r.postgres.Restart(ctx, mode); err != nil {
		return err
	}
	if took := time.Since(began); mode == devstack.StopFast && took > fastLimit {
		return fmt.Errorf("a fast shutdown of Postgres and its start took %s, more than %s: something held the walsender up", took, fastLimit)
	}
	r.hit(kind, string(kind)+" "+mode.String())
	return nil
}

func (r *round) terminateWalsender(ctx context.Context) error {
	for terminated := 0; terminated == 0; { // it may have gone by itself since we looked
		sender, err := r.walsender(ctx, 0)
		if err != nil {
			return err
		}
		if terminated, err = r.query(ctx, `SELECT pg_terminate_backend($1)::int`, sender); err != nil {
			return err
		}
	}
	r.hit(Walsender, "walsender")
	return nil
}

// walsender waits until the stream's slot has a walsender other than the given one, and returns its process id.
func (r *round) walsender(ctx context.Context, but int) (pid int, err error) {
	ctx, cancel := r.within(ctx, progressLimit, "the slot got no walsender")
	defer cancel()
	for ctx.Err() == nil {
		pid, err = r.query(ctx, `SELECT coalesce(max(active_pid), 0) FROM pg_replication_slots, pg_sleep(0.05) WHERE slot_name = $1`, r.slot())
		if err != nil || pid != 0 && pid != but {
			return pid, err
		}
	}
	return 0, context.Cause(ctx)
}

// killBroker kills a node, and a role with it unless that is nil, sees the stream go on without the node, and brings it back. Two
// nodes are never down at once.
func (r *round) killBroker(ctx context.Context, kind Kind, with *keeper) error {
	if r.Kafka.Nodes < 3 {
		return errNoBroker
	}
	node := 1 + r.rng.IntN(r.Kafka.Nodes)
	kill := func() error { return r.Kafka.cluster.Kill(node) }
	if with != nil {
		alone := kill
		kill = func() error { return r.together(ctx, with, alone) }
	}
	if err := kill(); err != nil {
		return err
	}
	r.hit(kind, string(kind))
	if err := r.advance(ctx); err != nil {
		return fmt.Errorf("without node %d of Kafka: %w", node, err)
	}
	ctx, cancel := r.within(ctx, nodeLimit, fmt.Sprintf("node %d of Kafka did not come back", node))
	defer cancel()
	return r.Kafka.cluster.StartNode(ctx, node)
}

// pauseCDC stops the role cdc in its tracks until another one has taken over and every time limit has passed, and lets it
// go on. Exactly one streams then, whichever of the two is stopped in order.
func (r *round) pauseCDC(ctx context.Context) error {
	p, _, err := r.cdc.current(ctx)
	if err != nil {
		return err
	}
	sender, err := r.walsender(ctx, 0)
	if err != nil {
		return err
	}
	paused := time.Now()
	p.signal(syscall.SIGSTOP)
	defer p.signal(syscall.SIGCONT)
	other, err := r.newCDC("")
	if err != nil {
		return err
	}
	if _, err := r.walsender(ctx, sender); err != nil {
		return fmt.Errorf("wait for another cdc to take over from a paused one: %w", err)
	}
	if err := r.advance(ctx); err != nil {
		return fmt.Errorf("while one cdc is paused and another one runs: %w", err)
	}
	select {
	case <-time.After(time.Until(paused.Add(max(senderTimeout, transactionTimeout) + time.Second))):
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	p.signal(syscall.SIGCONT)
	r.hit(Pause, "cdc paused")
	return r.settle(ctx, other)
}

// startPair starts two cdc at once.
func (r *round) startPair(ctx context.Context) error {
	other, err := r.newCDC("")
	if err != nil {
		return err
	}
	if err := r.cdc.restart(ctx); err != nil {
		return err
	}
	r.hit(Pair, "cdc in pairs")
	return r.settle(ctx, other)
}

// settle sees that of two cdc exactly one streams, ends one of them in order, and sees the stream go on.
func (r *round) settle(ctx context.Context, other *keeper) error {
	if err := r.advance(ctx); err != nil {
		return fmt.Errorf("with two cdc: %w", err)
	}
	streaming, err := r.query(ctx, `SELECT count(*) FROM pg_stat_replication WHERE application_name = $1 AND state = 'streaming'`, "livedb/"+r.slot())
	if err != nil {
		return err
	}
	if streaming > 1 {
		return fmt.Errorf("%d cdc stream from the slot %s at once", streaming, r.slot())
	}
	if r.rng.IntN(2) == 0 {
		r.cdc, other = other, r.cdc
	}
	return other.release()
}
