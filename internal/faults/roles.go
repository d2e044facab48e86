//go:build unix

package faults

import (
	"context"
	"encoding/json"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/livedb/livedb/internal/failpoint"
)

// Time limits of the roles: shortened, so that a paused cdc outlives them, and random faults meet them.
const (
	senderTimeout      = 5 * time.Second
	transactionTimeout = 5 * time.Second
)

// newRole keeps a role of livedb running. kind counts its kills.
func (r *round) newRole(kind Kind, points string, out func(string), command ...string) (*keeper, error) {
	name := string(kind)
	log, err := r.open(name)
	if err != nil {
		return nil, err
	}
	k := &keeper{name: name,
		launch: func(points string) (*process, error) {
			var env []string
			if points != "" {
				env = []string{"LIVEDB_FAILPOINTS=" + points}
			}
			return startProcess(log, env, out, command...)
		},
		killed: func(point string) {
			if point == "" {
				point = name + " at any time"
			}
			if !r.uncounted.Load() {
				r.hit(kind, point)
			}
		},
		fail: func(err error) { r.fail(err) },
	}
	k.arm(points)
	k.keep(r.life)
	r.roles.update(func(all *[]*keeper) { *all = append(*all, k) })
	return k, nil
}

// newCDC keeps a role cdc running; points are LIVEDB_FAILPOINTS of its first start.
func (r *round) newCDC(points string) (*keeper, error) {
	events := 0 // the default
	if r.few {
		events = fewEvents
	}
	return r.newRole(CDC, points, nil, r.Livedb, "cdc", "--batch-events", fmt.Sprint(events), "--source", r.postgres.URL(), "--slot", r.slot(), "--publication", r.slot(),
		"--tables", strings.Join(r.tables, ","), "--kafka", strings.Join(r.Kafka.Addresses, ","), "--prefix", r.prefix, "--partitions", "2",
		"--sender-timeout", senderTimeout.String(), "--transaction-timeout", transactionTimeout.String())
}

// bootstrapPoints are hit once in a stream's life.
var bootstrapPoints = []failpoint.Point{failpoint.PublishedNew, failpoint.CreatingSaved, failpoint.SlotsDropped, failpoint.SlotCreated, failpoint.Bootstrapped}

// beginStream starts cdc, in half of the rounds with a kill while it makes the stream, and copies the new slot before
// anything is written: what the copy retains is the truth that the audit reads.
func (r *round) beginStream(ctx context.Context) (err error) {
	points := ""
	if r.plan.Faults[CDC] > 0 && r.rng.IntN(2) == 0 {
		points = fmt.Sprintf("%s=kill", bootstrapPoints[r.rng.IntN(len(bootstrapPoints))])
	}
	if r.cdc, err = r.newCDC(points); err != nil {
		return err
	}
	if _, err := r.checkpoint.await(ctx, func(c checkpoint) bool { return c.streaming }); err != nil {
		return fmt.Errorf("wait for the stream's first checkpoint: %w", err)
	}
	return r.execute(ctx, fmt.Sprintf(`SELECT pg_copy_logical_replication_slot('%s', '%s')`, r.slot(), oracleSlot))
}

// startReaders starts the role process and the online reader.
func (r *round) startReaders(ctx context.Context) (err error) {
	brokers := strings.Join(r.Kafka.Addresses, ",")
	r.processor, err = r.newRole(Processor, "", nil, r.Livedb, "process", "--kafka", brokers, "--prefix", r.prefix, "--view-schema", viewSchema,
		"--transaction-timeout", transactionTimeout.String())
	if err != nil {
		return err
	}
	told := func(line string) {
		var p Progress
		if err := json.Unmarshal([]byte(line), &p); err != nil {
			r.fail(fmt.Errorf("the online reader said %q", line))
			return
		}
		r.progress.update(func(was *Progress) { *was = p })
	}
	r.reader, err = r.newRole(Reader, "", told, append(append([]string{}, r.Stack.Reader...), brokers, r.prefix, r.seenFile())...)
	return err
}

func (r *round) seenFile() string { return filepath.Join(r.dir, "seen.jsonl") }

// startWriters starts the workload and the burst.
func (r *round) startWriters() error {
	working, stop := context.WithCancel(r.life)
	ended := make(chan error, 1)
	go func() {
		err := r.load.Run(working)
		if working.Err() == nil {
			r.fail(fmt.Errorf("the workload ended: %w", err))
		}
		ended <- err
	}()
	r.writers = append(r.writers, func() error {
		stop()
		return <-ended
	})

	log, err := r.open("burst")
	if err != nil {
		return err
	}
	burst, err := startProcess(log, nil, nil, r.Livedb, "burst", "--source", r.postgres.URL(), "--rate", "120", "--connections", "2",
		"--keep-orders", "1000", "--seed", fmt.Sprint(r.plan.Seed))
	if err != nil {
		return err
	}
	r.writers = append(r.writers, func() error {
		select {
		case <-burst.ended:
			return fmt.Errorf("livedb burst ended by itself: %w", cause(burst.err))
		default:
		}
		if err := burst.stop(); err != nil {
			return fmt.Errorf("livedb burst did not end well: %w", err)
		}
		return nil
	})
	return nil
}

// seldom are the points that a session passes once, or now and then: they do it the first time.
var seldom = []failpoint.Point{failpoint.Preflighted, failpoint.Dialled, failpoint.Leading, failpoint.Fenced, failpoint.Resumed, failpoint.Witnessed,
	failpoint.Started, failpoint.TopologyWritten, failpoint.PartCommitted, failpoint.Heartbeat, failpoint.ViewFenced, failpoint.ViewRestored}

// pick draws a failpoint, and how often it is passed before it is carried out: up to 64 times, and mostly fewer. Half of them
// kill at once; the others hold the step up until we kill, while all else in the process goes on: what is told too early
// gets out then.
func (r *round) pick(points []failpoint.Point) string {
	point, count := points[r.rng.IntN(len(points))], 1+r.rng.IntN(1<<r.rng.IntN(7))
	if slices.Contains(seldom, point) {
		count = 1
	}
	action := "kill"
	if r.rng.IntN(2) == 0 {
		action = holding.String()
	}
	return fmt.Sprintf("%s:%d=%s", point, count, action)
}

// holding is how long a failpoint holds a step up: longer than the process is let live.
const holding = time.Minute

// patience is how long a failpoint may take to be hit, before the process is killed from outside.
func (r *round) patience() time.Duration {
	return time.Duration(1500+r.rng.IntN(4500)) * time.Millisecond
}

// query runs a query of one number at the source.
func (r *round) query(ctx context.Context, sql string, args ...any) (n int, err error) {
	conn, err := pgx.Connect(ctx, r.postgres.URL())
	if err != nil {
		return 0, err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	err = conn.QueryRow(ctx, sql, args...).Scan(&n)
	return n, err
}

// execute runs statements at the source.
func (r *round) execute(ctx context.Context, sql string) error {
	conn, err := pgx.Connect(ctx, r.postgres.URL())
	if err != nil {
		return err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	_, err = conn.Exec(ctx, sql)
	return err
}
