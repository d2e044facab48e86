package burst

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/livedb/livedb/internal/burst/ledger"
)

// writer is one connection, its share of the shop, and its line of transactions. It survives the connection: when that is
// lost it connects anew, finds out what became of the last commit, and goes on with the same id and the next number.
type writer struct {
	*run
	number int
	id     [16]byte

	n    int64 // of the last transaction known to have committed
	rows int64 // of all those transactions

	planner planner   // planner.shop is nil until it is loaded
	doubt   *entry    // whose COMMIT was sent and not answered
	failing int       // failures since the last commit
	refused int       // of them, those that the server answered with an error
	since   time.Time // of the first
}

// entry is one transaction as the ledger has it.
type entry struct {
	transaction *transaction
	n           int64
	rowsTotal   int64
	tally       ledger.Tally
}

// transactionLimit is when a transaction counts as hanging. Its connection is given up and its fate looked up.
const transactionLimit = time.Minute

func newWriter(r *run, number int) *writer {
	share := func(n int) int { return max(1, n/r.cfg.Connections) }
	w := &writer{run: r, number: number, id: newID()}
	w.planner = planner{cfg: r.cfg, dice: rand.New(rand.NewPCG(r.cfg.Seed, uint64(number))),
		keepOrders: share(r.cfg.KeepOrders), keepCustomers: share(r.cfg.KeepOrders / ordersPerCustomer)}
	return w
}

// lock is the advisory lock that the writer's session holds: while an earlier session lives, its commit may still come.
func (w *writer) lock() int64 { return int64(binary.BigEndian.Uint64(w.id[:8])) }

// work writes until stop ends. Within hard it may finish what it began. Whatever error a session ends with, the next one
// begins anew: its lock makes sure that the last transaction is over, and settle finds out how it ended.
func (w *writer) work(stop, hard context.Context) error {
	for stop.Err() == nil {
		closed := true
		conn, err := w.connect(hard)
		if err == nil {
			w.up(w.number)
			err = w.session(stop, hard, conn)
			closed = conn.IsClosed()
			closeConn(hard, conn)
		}
		if err != nil && stop.Err() == nil {
			if err := w.failed(stop, err, closed); err != nil {
				return err
			}
		}
	}
	if w.doubt != nil { // the last COMMIT was not answered: one try to find out
		if conn, err := w.connect(hard); err == nil {
			closeConn(hard, conn)
		} else {
			w.counts.unknown(w.cfg.Metrics)
			w.cfg.Log.Warn("burst: it is not known whether the last transaction committed", "writer", w.number, "n", w.doubt.n, "error", w.mask(err))
		}
	}
	return nil
}

// failed waits before the next try, or returns why there is none.
func (w *writer) failed(ctx context.Context, err error, closed bool) error {
	if w.failing++; w.failing == 1 {
		w.since = w.cfg.now()
	}
	if pgErr, ok := errors.AsType[*pgconn.PgError](err); ok && pgErr.Severity == "ERROR" {
		w.refused++
	}
	switch {
	case final(err, closed):
		return err
	case w.refused >= giveUp:
		return fmt.Errorf("no transaction of %d succeeded: %w", w.refused, err)
	case !w.reached.Load() && w.cfg.now().Sub(w.since) > w.cfg.patience:
		return fmt.Errorf("cannot connect: %w; check that the source runs, its host and its port", err)
	}
	w.down(w.number, err)
	w.cfg.Log.Warn("burst: try again", "writer", w.number, "failures", w.failing, "error", w.mask(err))
	pause := min(backoff<<min(w.failing-1, 10), maxBackoff)
	select {
	case <-time.After(1 + time.Duration(rand.Int64N(int64(pause)))): // jitter: not all at once
	case <-ctx.Done():
	}
	return nil
}

const (
	backoff    = 50 * time.Millisecond
	maxBackoff = 2 * time.Second
	giveUp     = 10 // errors of the server without a commit between them
)

// session writes on a connection until stop ends or the connection or a transaction fails.
func (w *writer) session(stop, hard context.Context, conn *pgx.Conn) error {
	if w.planner.shop == nil {
		if err := w.load(hard, conn); err != nil {
			return err
		}
	}
	guess := (w.cfg.TransactionRows.Min+w.cfg.TransactionRows.Max)/2 + 1
	for stop.Err() == nil {
		if err := w.stock(hard, conn); err != nil {
			return err
		}
		if err := w.pacer.take(stop, guess); err != nil {
			return nil // it is time to stop
		}
		written, err := w.transact(hard, conn)
		w.pacer.settle(guess, written)
		if err != nil {
			return err
		}
	}
	return nil
}

// transact makes one transaction and returns how many rows it committed.
func (w *writer) transact(ctx context.Context, conn *pgx.Conn) (int, error) {
	ctx, cancel := context.WithTimeout(ctx, transactionLimit)
	defer cancel()
	t := w.planner.plan(w.cfg.now().UTC().Truncate(time.Microsecond))
	w.trim(t)
	e := &entry{transaction: t, n: w.n + 1}
	if err := w.write(ctx, conn, e); err != nil {
		w.counts.rolledBack(w.cfg.Metrics)
		if pgErr, ok := errors.AsType[*pgconn.PgError](err); ok && pgErr.Code == "23503" {
			w.planner.shop = nil // somebody else has deleted rows: look again
		}
		return 0, err
	}
	e.rowsTotal = w.rows + e.tally.Total() + 1
	if t.rollback {
		w.counts.rolledBack(w.cfg.Metrics)
		return 0, w.end(ctx, conn, e, rollback)
	}
	w.doubt = e
	if err := w.end(ctx, conn, e, commit); err != nil {
		return 0, err
	}
	w.committed()
	return int(e.tally.Total()) + 1, nil
}

// write opens the transaction and sends all its steps in one round trip.
func (w *writer) write(ctx context.Context, conn *pgx.Conn, e *entry) error {
	var batch pgx.Batch
	batch.Queue(begin)
	for _, s := range e.transaction.steps {
		if s.statement == nil {
			batch.Queue(s.word)
		} else {
			batch.Queue(s.statement.name, s.args...)
		}
	}
	results := conn.SendBatch(ctx, &batch)
	_, err := results.Exec()
	for i := 0; err == nil && i < len(e.transaction.steps); i++ {
		s := &e.transaction.steps[i]
		if s.statement == nil {
			_, err = results.Exec()
			continue
		}
		var changed ledger.Tally
		if err = read(results, s.statement, &changed); err == nil && !s.dropped {
			e.tally.Merge(&changed)
		}
	}
	return errors.Join(err, results.Close())
}

// read takes one statement's answer.
func read(results pgx.BatchResults, s *statement, changed *ledger.Tally) error {
	rows, err := results.Query()
	if err != nil {
		return err
	}
	var at int32
	var count, low, high int64
	_, err = pgx.ForEachRow(rows, []any{&at, &count, &low, &high}, func() error {
		p := s.parts[at]
		changed.Add(p.table, p.kind, count, uint64(low)+uint64(high)<<32)
		return nil
	})
	return err
}

// end writes the ledger row and the last word, which is COMMIT or ROLLBACK.
func (w *writer) end(ctx context.Context, conn *pgx.Conn, e *entry, word string) error {
	var batch pgx.Batch
	batch.Queue(enterName, w.id, e.n, e.tally.Counts(), fmt.Sprint(e.tally.Sum), e.rowsTotal)
	batch.Queue(word)
	results := conn.SendBatch(ctx, &batch)
	_, err := results.Exec()
	if err == nil {
		var tag pgconn.CommandTag
		if tag, err = results.Exec(); err == nil && tag.String() != word {
			err = fmt.Errorf("postgres answered %s with %s", word, tag) // cannot be: no statement failed
		}
	}
	return errors.Join(err, results.Close())
}

// committed takes over what the transaction in doubt did.
func (w *writer) committed() {
	e := w.doubt
	w.doubt, w.failing, w.refused = nil, 0, 0
	w.n, w.rows = e.n, e.rowsTotal
	w.planner.shop.apply(&e.transaction.effect)
	w.counts.committed(w.cfg.Metrics, &e.tally)
}

// vanished forgets the transaction in doubt: it is known to have been rolled back.
func (w *writer) vanished() {
	w.doubt = nil
	w.counts.rolledBack(w.cfg.Metrics)
}

// trim adds the delete of the writer's old ledger rows, a number of them at a time. A savepoint never takes it back.
func (w *writer) trim(t *transaction) {
	every := int64(max(1, w.cfg.KeepLedger/20))
	if upto := w.n + 1 - int64(w.cfg.KeepLedger); upto > 0 && upto%every == 0 {
		t.steps = append(t.steps, step{statement: trimLedger, args: []any{w.id, upto}})
	}
}
