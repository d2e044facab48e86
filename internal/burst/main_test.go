package burst

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pglogrepl"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"

	"github.com/livedb/livedb/cdc"
	"github.com/livedb/livedb/internal/burst/ledger"
	"github.com/livedb/livedb/internal/devstack"
	"github.com/livedb/livedb/migrations"
)

func TestMain(m *testing.M) {
	os.Exit(devstack.RunTests(m))
}

// source is a database with the demo's tables and a slot that holds what is written to them.
type source struct {
	t    testing.TB
	url  string
	conn *pgx.Conn
	slot string
}

func newSource(t testing.TB, p *devstack.Postgres) *source {
	t.Helper()
	s := &source{t: t, url: devstack.TestDatabase(t, p)}
	if _, err := migrations.Up(t.Context(), s.url, DefaultSchema); err != nil {
		t.Fatal(err)
	}
	s.connect()
	s.slot = s.conn.Config().Database
	s.exec("CREATE PUBLICATION demo FOR TABLES IN SCHEMA " + DefaultSchema)
	s.exec("SELECT pg_create_logical_replication_slot($1, 'pgoutput')", s.slot)
	return s
}

// connect opens the test's own connection, once more after a restart of the server.
func (s *source) connect() {
	s.t.Helper()
	conn, err := pgx.Connect(s.t.Context(), s.url)
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { _ = conn.Close(context.Background()) }) // nothing is lost with it
	s.conn = conn
	s.exec("SET search_path = " + DefaultSchema + "; SET TimeZone = UTC; SET DateStyle = ISO")
}

func (s *source) exec(sql string, args ...any) {
	s.t.Helper()
	if _, err := s.conn.Exec(s.t.Context(), sql, args...); err != nil {
		s.t.Fatalf("%s: %v", sql, err)
	}
}

func (s *source) number(sql string, args ...any) (n int64) {
	s.t.Helper()
	if err := s.conn.QueryRow(s.t.Context(), sql, args...).Scan(&n); err != nil {
		s.t.Fatalf("%s: %v", sql, err)
	}
	return n
}

func (s *source) truth() ledger.Truth {
	s.t.Helper()
	truth, err := ReadTruth(s.t.Context(), s.url, DefaultSchema)
	if err != nil {
		s.t.Fatal(err)
	}
	return truth
}

// background runs the writer until stop is called, which gives its result. If it ends in an error, the test fails at once.
func background(t testing.TB, cfg Config) (stop func() Result) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	var result Result
	go func() {
		defer close(done)
		var err error
		if result, err = Run(ctx, cfg); err != nil {
			t.Errorf("burst (seed %d): %v", result.Seed, err)
		}
	}()
	stop = func() Result {
		t.Helper()
		cancel()
		<-done
		t.Logf("burst: %d rows, %d transactions, %d rollbacks, %d unknown, seed %d in %s", result.Rows, result.Transactions, result.Rollbacks,
			result.Unknown, result.Seed, result.Took.Round(time.Millisecond))
		return result
	}
	t.Cleanup(func() {
		cancel()
		<-done
	})
	return stop
}

// await polls until a condition holds.
func await(t testing.TB, what string, holds func() bool) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); !holds(); {
		if time.Now().After(deadline) {
			t.Fatalf("waited in vain until %s", what)
		}
		if t.Failed() {
			t.FailNow() // the writer has
		}
		time.Sleep(2 * time.Millisecond)
	}
}

// checkLedger holds the ledger against what the writers believe: the same writers, numbers and rows, and no number missing
// or twice. The ledger must not have been trimmed.
func (s *source) checkLedger(result Result) {
	s.t.Helper()
	truth := s.truth()
	var rows, transactions int64
	for _, w := range result.Writers {
		if w.N > 0 && truth[w.ID] != w {
			s.t.Errorf("writer %s believes %+v, the ledger says %+v", w.ID, w, truth[w.ID])
		}
		rows, transactions = rows+w.Rows, transactions+w.N
	}
	if rows != result.Rows || transactions != result.Transactions || rows == 0 {
		s.t.Errorf("the writers made %d rows in %d transactions, the result says %d in %d", rows, transactions, result.Rows, result.Transactions)
	}
	if n := s.number("SELECT count(*) FROM burst_ledger"); n != transactions {
		s.t.Errorf("the ledger has %d rows, want %d", n, transactions)
	}
	if n := s.number("SELECT count(*) FROM (SELECT FROM burst_ledger GROUP BY writer HAVING max(n) <> count(*) OR min(n) <> 1) AS g"); n != 0 {
		s.t.Errorf("%d writers have a gap in the ledger", n)
	}
}

// verify reads the slot to its end and has the events judged.
func (s *source) verify() ledger.Report {
	s.t.Helper()
	v := ledger.NewVerifier(ledger.Config{})
	truth := s.truth()
	if v.CaughtUp(truth) {
		s.t.Error("caught up before anything was read")
	}
	if err := s.replay(v); err != nil {
		s.t.Fatal(err)
	}
	if !v.CaughtUp(truth) {
		s.t.Error("not caught up after everything was read")
	}
	return v.Finish(truth)
}

// replay hands the WAL to a verifier, decoded by pglogrepl and written as JSON by this test: nothing of LiveDB's own path
// is in it.
func (s *source) replay(v *ledger.Verifier) error {
	rows, err := s.conn.Query(s.t.Context(),
		"SELECT data FROM pg_logical_slot_peek_binary_changes($1, NULL, NULL, 'proto_version', '1', 'publication_names', 'demo')", s.slot)
	if err != nil {
		return err
	}
	relations := map[uint32]*pglogrepl.RelationMessage{}
	var data []byte
	_, err = pgx.ForEachRow(rows, []any{&data}, func() error {
		message, err := pglogrepl.Parse(data)
		if err != nil {
			return err
		}
		event := func(op cdc.Op, relation uint32, before, after *pglogrepl.TupleData) error {
			r := relations[relation]
			return v.Event(op, r.Namespace+"."+r.RelationName, asJSON(r, before, nil), asJSON(r, after, before))
		}
		switch m := message.(type) {
		case *pglogrepl.BeginMessage:
			v.Begin(m.Xid, cdc.CommitLSN(m.FinalLSN))
		case *pglogrepl.CommitMessage:
			v.End()
		case *pglogrepl.RelationMessage:
			relations[m.RelationID] = m
		case *pglogrepl.InsertMessage:
			return event(cdc.Insert, m.RelationID, nil, m.Tuple)
		case *pglogrepl.UpdateMessage:
			return event(cdc.Update, m.RelationID, m.OldTuple, m.NewTuple)
		case *pglogrepl.DeleteMessage:
			return event(cdc.Delete, m.RelationID, m.OldTuple, nil)
		}
		return nil
	})
	return err
}

func asJSON(r *pglogrepl.RelationMessage, row, old *pglogrepl.TupleData) json.RawMessage {
	if row == nil {
		return json.RawMessage("null")
	}
	var b bytes.Buffer
	b.WriteByte('{')
	for i, c := range row.Columns {
		if c.DataType == pglogrepl.TupleDataTypeToast && old != nil {
			c = old.Columns[i] // unchanged
		}
		if i > 0 {
			b.WriteByte(',')
		}
		fmt.Fprintf(&b, "%q:", r.Columns[i].Name)
		text := string(c.Data)
		switch {
		case c.DataType == pglogrepl.TupleDataTypeNull:
			text = "null"
		case r.Columns[i].DataType == pgtype.Int2OID || r.Columns[i].DataType == pgtype.Int4OID || r.Columns[i].DataType == pgtype.Int8OID:
		case r.Columns[i].DataType == pgtype.BoolOID:
			text = map[string]string{"t": "true", "f": "false"}[text]
		case r.Columns[i].DataType == pgtype.TimestamptzOID:
			at, err := time.Parse("2006-01-02 15:04:05.999999Z07", text)
			if err != nil {
				panic(err)
			}
			text = `"` + at.Format("2006-01-02T15:04:05.000000Z") + `"`
		default:
			quoted, err := json.Marshal(strings.ToValidUTF8(text, "?"))
			if err != nil {
				panic(err)
			}
			text = string(quoted)
		}
		b.WriteString(text)
	}
	b.WriteByte('}')
	return b.Bytes()
}
