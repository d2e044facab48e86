package burst

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/livedb/livedb/internal/devstack"
	"github.com/livedb/livedb/internal/status"
)

func TestKilledBackends(t *testing.T) {
	t.Parallel()
	s := newSource(t, devstack.SharedPostgres(t))
	cfg := everything(s.url)
	cfg.Connections, cfg.TransactionRows = 8, Range{1, 20}
	stop := background(t, cfg)
	killed, written := int64(0), int64(0)
	for killed < 100 {
		await(t, "it goes on", func() bool { return s.number("SELECT count(*) FROM burst_ledger") > written+3 })
		killed += s.number(`SELECT count(pg_terminate_backend(pid)) FROM (SELECT pid FROM pg_stat_activity
			WHERE application_name = 'livedb/burst' AND datname = current_database() ORDER BY random() LIMIT 3) AS victims`)
		written = s.number("SELECT count(*) FROM burst_ledger")
	}
	enough := s.number("SELECT count(*) FROM burst_ledger") + 100
	await(t, "all goes on", func() bool { return s.number("SELECT count(*) FROM burst_ledger") > enough })
	result := stop()
	if result.Unknown != 0 {
		t.Errorf("%d transactions are unknown", result.Unknown)
	}
	s.checkLedger(result)
	if report := s.verify(); !report.OK() || report.Transactions != uint64(result.Transactions) {
		t.Errorf("report %+v, want a clean one of %d transactions", report, result.Transactions)
	}
}

func TestServerRestarts(t *testing.T) {
	t.Parallel()
	p := devstack.TestPostgres(t)
	s := newSource(t, p)
	cfg := everything(s.url)
	board := status.NewBoard("test")
	cfg.Status = board.Role("burst")
	stop := background(t, cfg)
	for _, mode := range []devstack.StopMode{devstack.StopFast, devstack.StopImmediate, devstack.StopKill} {
		await(t, "the writers write", func() bool { return board.Ready() && s.number("SELECT count(*) FROM burst_ledger") > 50 })
		if err := p.Restart(t.Context(), mode); err != nil {
			t.Fatal(err)
		}
		s.connect()
		before := s.number("SELECT count(*) FROM burst_ledger")
		await(t, "all goes on", func() bool { return s.number("SELECT count(*) FROM burst_ledger") > before+50 })
	}
	result := stop()
	s.checkLedger(result)
	if report := s.verify(); !report.OK() || report.Transactions != uint64(result.Transactions) {
		t.Errorf("report %+v, want a clean one of %d transactions", report, result.Transactions)
	}
}

// cutter is a proxy that breaks connections around the commit, in turn: before it reaches Postgres, after Postgres has
// answered, and so that it reaches Postgres only when the writer has gone on, or when Postgres has given the connection up.
type cutter struct {
	target  string
	commits atomic.Int64
	again   chan chan struct{} // a commit came, and waits
	wait    sync.WaitGroup
}

func newCutter(t *testing.T, target string) (_ *cutter, address string) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	c := &cutter{target: target, again: make(chan chan struct{})}
	c.wait.Go(func() {
		for {
			client, err := listener.Accept()
			if err != nil {
				return // closed
			}
			c.wait.Go(func() { c.serve(client) })
		}
	})
	t.Cleanup(func() {
		_ = listener.Close()
		c.wait.Wait()
	})
	return c, listener.Addr().String()
}

func (c *cutter) serve(client net.Conn) {
	defer client.Close()
	server, err := net.Dial("tcp", c.target)
	if err != nil {
		return
	}
	defer server.Close()
	var swallow atomic.Bool
	gone := make(chan struct{})
	c.wait.Go(func() { // answers
		defer close(gone)
		defer client.Close()
		buffer := make([]byte, 1<<16)
		for {
			n, err := server.Read(buffer)
			if err != nil || swallow.Load() {
				return
			}
			if _, err := client.Write(buffer[:n]); err != nil && !swallow.Load() {
				return
			}
		}
	})
	buffer := make([]byte, 1<<16)
	for {
		n, err := client.Read(buffer)
		if err != nil {
			return
		}
		chunk := buffer[:n]
		if bytes.Contains(chunk, []byte("\x00"+enterName+"\x00")) { // a Bind of it, to the portal without a name
			done := make(chan struct{})
			select {
			case c.again <- done:
				<-done
			default: // nobody is late
			}
			if i := c.commits.Add(1); i%5 == 0 {
				switch i / 5 % 3 {
				case 0: // the request is lost
					return
				case 1: // the answer is lost
					swallow.Store(true)
				case 2: // the request is late
					_ = client.Close()
					select {
					case <-gone:
					case done := <-c.again:
						_, _ = server.Write(chunk) // may fail; then it never comes
						<-gone                     // answered, to nobody
						close(done)
					}
					return
				}
			}
		}
		if _, err := server.Write(chunk); err != nil {
			return
		}
	}
}

// A commit whose request or answer is lost, or which is still on its way when the writer is back, is counted exactly as
// it went.
func TestLostAnswers(t *testing.T) {
	t.Parallel()
	s := newSource(t, devstack.SharedPostgres(t))
	address := strings.SplitN(strings.TrimPrefix(s.url, "postgres://postgres@"), "/", 2)[0]
	_, proxy := newCutter(t, address)
	cfg := everything(strings.Replace(s.url, address, proxy, 1))
	cfg.Connections, cfg.TransactionRows = 1, Range{1, 8}
	var log happenings
	cfg.Log = slog.New(slog.NewTextHandler(&log, nil))
	stop := background(t, cfg)
	await(t, "commits were lost both ways", func() bool {
		return log.count("did not happen") >= 8 && log.count("answer happened") >= 4
	})
	result := stop()
	s.checkLedger(result)
	if report := s.verify(); !report.OK() {
		t.Errorf("report %+v", report)
	}
}

// happenings keeps a log to count in.
type happenings struct {
	mu  sync.Mutex
	all []string
}

func (h *happenings) Write(p []byte) (int, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.all = append(h.all, string(p))
	return len(p), nil
}

func (h *happenings) count(text string) (n int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, line := range h.all {
		n += strings.Count(line, text)
	}
	return n
}

// A source that was set back to the past is not written to again.
func TestLedgerSetBack(t *testing.T) {
	t.Parallel()
	s := newSource(t, devstack.SharedPostgres(t))
	cfg := everything(s.url)
	cfg.Connections = 1
	done := make(chan error, 1)
	go func() {
		_, err := Run(t.Context(), cfg)
		done <- err
	}()
	await(t, "the writer writes", func() bool { return s.number("SELECT count(*) FROM burst_ledger") > 10 })
	s.exec("BEGIN")
	s.exec("TRUNCATE burst_ledger") // holds the ledger locked until the writer's session is gone
	const sessions = "FROM pg_stat_activity WHERE application_name = 'livedb/burst' AND datname = current_database()"
	pid := s.number("SELECT pid " + sessions)
	s.exec("SELECT pg_terminate_backend($1::integer)", pid)
	await(t, "the session is gone", func() bool {
		s.exec("SELECT pg_stat_clear_snapshot()")
		return s.number("SELECT count(*) "+sessions+" AND pid = $1::integer", pid) == 0
	})
	s.exec("COMMIT")
	if err := <-done; err == nil || !strings.Contains(err.Error(), "begin a new run") {
		t.Errorf("error %v, want one that says what to do", err)
	}
}

// A run ends in time though its statement waits for a lock, and leaves no session behind.
func TestStopWhileBlocked(t *testing.T) {
	t.Parallel()
	s := newSource(t, devstack.SharedPostgres(t))
	cfg := everything(s.url)
	stop := background(t, cfg)
	await(t, "the writers write", func() bool { return s.number("SELECT count(*) FROM burst_ledger") > 50 })
	await(t, "the tables are locked", func() bool { // a deadlock may hit either side
		if _, err := s.conn.Exec(t.Context(), "BEGIN; LOCK TABLE orders, customers, order_items IN SHARE MODE"); err != nil {
			s.exec("ROLLBACK")
			return false
		}
		return true
	})
	await(t, "all wait", func() bool {
		return s.number("SELECT count(*) FROM pg_locks WHERE NOT granted AND database = (SELECT oid FROM pg_database WHERE datname = current_database())") == 4
	})
	began := time.Now()
	result := stop()
	if took := time.Since(began); took > stopLimit+2*time.Second {
		t.Errorf("stopping took %s", took)
	}
	await(t, "no session is left", func() bool { // while the lock is still held
		s.exec("SELECT pg_stat_clear_snapshot()")
		return s.number("SELECT count(*) FROM pg_stat_activity WHERE application_name = 'livedb/burst' AND datname = current_database()") == 0
	})
	s.exec("ROLLBACK")
	s.checkLedger(result)
	if report := s.verify(); !report.OK() {
		t.Errorf("report %+v", report)
	}
}

// Somebody empties the tables under the writer: it looks again and goes on.
func TestTablesEmptiedByHand(t *testing.T) {
	t.Parallel()
	s := newSource(t, devstack.SharedPostgres(t))
	stop := background(t, everything(s.url))
	for range 3 {
		await(t, "there are orders", func() bool { return s.number("SELECT count(*) FROM orders") > 100 })
		await(t, "the tables are emptied", func() bool { // a deadlock may hit either side
			_, err := s.conn.Exec(t.Context(), "TRUNCATE customers, orders, order_items")
			return err == nil
		})
	}
	await(t, "there are orders again", func() bool { return s.number("SELECT count(*) FROM orders") > 100 })
	s.checkLedger(stop())
}

func TestFinal(t *testing.T) {
	server := func(severity, code, message string) error {
		return &pgconn.PgError{Severity: severity, Code: code, Message: message}
	}
	cases := []struct {
		err    error
		closed bool
		want   bool
	}{
		{io.ErrUnexpectedEOF, true, false},
		{context.DeadlineExceeded, true, false},
		{errors.New("cannot encode"), false, true},
		{server("FATAL", "57P01", "terminating connection due to administrator command"), true, false},
		{server("FATAL", "57P03", "the database system is starting up"), true, false},
		{server("FATAL", "25P03", "terminating connection due to idle-in-transaction timeout"), true, false},
		{server("FATAL", "53300", "sorry, too many clients already"), true, false},
		{server("FATAL", "53000", "exceeded the compute time quota"), true, true},
		{server("FATAL", "28P01", "password authentication failed"), true, true},
		{server("FATAL", "3D000", "database does not exist"), true, true},
		{server("ERROR", "40P01", "deadlock detected"), false, false},
		{server("ERROR", "23503", "violates foreign key"), false, false},
		{server("ERROR", "42P01", "relation does not exist"), false, true},
		{server("ERROR", "25006", "read-only transaction"), false, true},
		{server("ERROR", "22P02", "invalid input"), false, true},
	}
	for _, c := range cases {
		if got := final(c.err, c.closed); got != c.want {
			t.Errorf("final(%v, %t) is %t, want %t", c.err, c.closed, got, c.want)
		}
	}
}
