//go:build unix

package faults

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/IBM/sarama"
	"github.com/jackc/pgx/v5"

	"github.com/livedb/livedb/cdc"
	"github.com/livedb/livedb/cdc/envelope"
	"github.com/livedb/livedb/internal/kafka"
	"github.com/livedb/livedb/processor"
)

// judgeLimit bounds each of the last steps of a round.
const judgeLimit = 5 * time.Minute

// judge stops the writers, lets everything catch up, and holds everything against everything.
func (r *round) judge(ctx context.Context) error {
	ctx, cancel := r.within(ctx, judgeLimit, "the round was not judged")
	defer cancel()
	if err := r.stopWriters(); err != nil {
		return err
	}
	if err := r.load.Quiesce(ctx); err != nil {
		return fmt.Errorf("quiesce the workload: %w", err)
	}
	r.result.Equalities = uint64(r.load.Stats().Adjacent)
	if err := r.catchUp(ctx); err != nil {
		return err
	}
	return errors.Join(r.checkView(ctx), r.checkReader(ctx), r.audit(ctx), r.checkCounts())
}

// catchUp writes a last row and waits until it has arrived everywhere.
func (r *round) catchUp(ctx context.Context) error {
	conn, err := pgx.Connect(ctx, r.postgres.URL())
	if err != nil {
		return err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	var before cdc.LSN
	if err := conn.QueryRow(ctx, `SELECT pg_current_wal_insert_lsn()::text`).Scan((*lsnText)(&before)); err != nil {
		return err
	}
	if _, err := conn.Exec(ctx, `INSERT INTO faults.sentinel VALUES (1)`); err != nil {
		return err
	}
	seen, err := r.progress.await(ctx, func(p Progress) bool { return cdc.LSN(p.Commit) >= before })
	if err != nil {
		return fmt.Errorf("wait for the last row at the online reader: %w", err)
	}
	if _, err := r.state.await(ctx, func(s viewState) bool { return s.Seq >= seen.Seq }); err != nil {
		return fmt.Errorf("wait for the last row at the view: %w", err)
	}
	return nil
}

// group is a group of the view.
type group struct {
	Orders  int64  `json:"orders"`
	Revenue string `json:"revenue"`
}

// checkView compares the view with its SELECT, in the windows that it keeps.
func (r *round) checkView(ctx context.Context) error {
	got, err := r.readView(ctx)
	if err != nil {
		return err
	}
	conn, err := pgx.Connect(ctx, r.postgres.URL())
	if err != nil {
		return err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	s := r.state.get()
	rows, err := conn.Query(ctx, `
		SELECT format('{"status":"%s","second":"%s"}', status, to_char(second AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"')), count(*), sum(total)::text
		FROM `+viewSchema+`.orders, date_trunc('second', created_at) AS second
		WHERE extract(epoch FROM second)::bigint * 1000000 >= $1 GROUP BY status, second`,
		max(s.Begin, s.EventTime-processor.Orders(viewSchema).Retention.Microseconds()))
	if err != nil {
		return fmt.Errorf("SELECT what the view stands for: %w", err)
	}
	var key string
	var want group
	_, err = pgx.ForEachRow(rows, []any{&key, &want.Orders, &want.Revenue}, func() error {
		if got[key] != want {
			return fmt.Errorf("the view has %+v in the group %s, and its SELECT %+v", got[key], key, want)
		}
		delete(got, key)
		r.result.Groups++
		return nil
	})
	if err == nil && len(got) > 0 {
		err = fmt.Errorf("the view has %d groups that its SELECT has not: %v", len(got), got)
	}
	return err
}

// readView folds the view's topic.
func (r *round) readView(ctx context.Context) (map[string]group, error) {
	groups := map[string]group{}
	err := r.scan(ctx, envelope.Topics(r.prefix).View("orders"), func(record kafka.Record) error {
		if record.Value == nil {
			delete(groups, string(record.Key))
			return nil
		}
		var g group
		if err := json.Unmarshal(record.Value, &g); err != nil {
			return err
		}
		groups[string(record.Key)] = g
		return nil
	})
	return groups, err
}

// scan reads what is committed of a topic's partition 0.
func (r *round) scan(ctx context.Context, topic string, take func(kafka.Record) error) error {
	scan, err := kafka.OpenScan(r.client, topic, 0, sarama.OffsetOldest)
	if err != nil {
		return err
	}
	for {
		record, more, err := scan.Next(ctx)
		if err == nil && more {
			err = take(record)
		}
		if err != nil {
			return fmt.Errorf("offset %d of topic %s: %w", record.Offset, topic, err)
		}
		if !more {
			return nil
		}
	}
}

// checkReader holds A7: the online reader's file against the transaction records as they lie in Kafka, and against what
// a reader sees that nobody disturbs.
func (r *round) checkReader(ctx context.Context) error {
	file, err := os.Open(r.seenFile())
	if err != nil {
		return err
	}
	defer file.Close()
	online, _, _, err := parseSeen(file)
	if err != nil {
		return fmt.Errorf("read what the online reader saw: %w", err)
	}
	announced, err := r.announced(ctx)
	if err != nil {
		return err
	}
	r.result.Transactions, r.result.Events = len(announced), announced[len(announced)-1].Last
	if err := compare("announced", announced, online, Seen.place); err != nil {
		return err
	}
	again, err := r.readAgain(ctx, r.result.Events)
	if err != nil {
		return err
	}
	return compare("read by a second reader", again, online, func(s Seen) Seen { return s })
}

// place is a Seen without its digest.
func (s Seen) place() Seen {
	s.Digest = ""
	return s
}

// compare holds what the online reader saw against what was to be seen.
func compare(what string, want, online []Seen, of func(Seen) Seen) error {
	for i := range min(len(want), len(online)) {
		if of(want[i]) != of(online[i]) {
			return fmt.Errorf("transaction %d is %s as %+v and the online reader saw %+v", i+1, what, want[i], online[i])
		}
	}
	if len(want) != len(online) {
		return fmt.Errorf("%d transactions are %s and the online reader saw %d", len(want), what, len(online))
	}
	return nil
}

// announced lists the transactions by the transaction records, the parts of a split one put together.
func (r *round) announced(ctx context.Context) ([]Seen, error) {
	var all []Seen
	whole := true
	err := r.scan(ctx, envelope.Topics(r.prefix).Transaction(), func(record kafka.Record) error {
		t, err := envelope.ParseTransaction(record.Value)
		if err != nil {
			return err
		}
		for _, e := range t.Entries {
			if e.Starts != whole {
				return fmt.Errorf("transaction %s goes on, or begins, in the middle of another one", e.Commit)
			}
			if e.Starts {
				all = append(all, Seen{Epoch: t.Epoch, Commit: e.Commit, XID: e.XID, First: e.First})
			}
			last := &all[len(all)-1]
			last.Last, last.Events, whole = e.Last, e.Last-last.First+1, e.Ends
		}
		return nil
	})
	if err == nil && (!whole || len(all) == 0) {
		err = fmt.Errorf("the stream ends in the middle of a transaction, or holds none")
	}
	return all, err
}

// readAgain reads the stream from its beginning to a seq.
func (r *round) readAgain(ctx context.Context, last uint64) ([]Seen, error) {
	reader, err := processor.OpenReader(ctx, processor.ReaderConfig{Client: r.client, Prefix: r.prefix})
	if err != nil {
		return nil, err
	}
	defer reader.Close()
	var all []Seen
	for d := (digester{}); d.seen.Last < last; {
		item, err := reader.Next(ctx)
		if errors.Is(err, processor.ErrUnavailable) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("read the stream again: %w", err)
		}
		if d.take(&item) {
			all = append(all, d.seen)
		}
	}
	return all, nil
}

// checkCounts sees that the slot was observed and that each fault happened.
func (r *round) checkCounts() error {
	r.result.Observations = int(r.observed.count.Load())
	if r.result.Observations == 0 {
		return errors.New("the slot's confirmed_flush_lsn was never observed")
	}
	if left := r.plan.Faults.Without(r.hits.get().faults); left.Sum() > 0 {
		return fmt.Errorf("these faults did not happen: %s", left)
	}
	return nil
}
