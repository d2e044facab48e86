package postgres

import (
	"context"
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgproto3"

	"github.com/livedb/livedb/cdc"
	"github.com/livedb/livedb/cdc/pgoutput"
)

// The warning that hides a loss is known by where it was raised: its text is in the server's language, and others have its SQLSTATE.
func TestTheWarningThatHidesALossIsKnownInAnyLanguage(t *testing.T) {
	for _, c := range []struct {
		severity, file, text string
		hides                bool
	}{
		{"WARNING", "pgoutput.c", "Laden der Publikation »p« wird übersprungen", true},
		{"WARNING", "", `skipped loading publication "p"`, true}, // through something that passes on less
		{"WARNING", "slot.c", `replication slot "standby" specified in parameter "synchronized_standby_slots" does not have active_pid`, false},
		{"WARNING", "postinit.c", "database has a collation version mismatch", false},
		{"NOTICE", "pgoutput.c", "something else", false},
	} {
		if got := HidesLoss(c.severity, c.file, c.text); got != c.hides {
			t.Errorf("%s %s %s: %v, want %v", c.severity, c.file, c.text, got, c.hides)
		}
	}
}

// unheard fails the test if anything comes.
type unheard struct {
	Handler // Quiet and the rest of what comes would panic
	t       *testing.T
}

func (h unheard) Begin(tx cdc.Transaction) error {
	h.t.Errorf("transaction %d came, which stands behind a hole", tx.XID)
	return nil
}
func (h unheard) Tick(time.Time) error  { return nil }
func (h unheard) Alarm() time.Time      { return time.Now().Add(time.Hour) }
func (h unheard) Full() <-chan struct{} { return nil }
func (h unheard) Durable() cdc.LSN      { return 1 }

// piped returns a stream whose source is the other end of a pipe. dial is what pgconn dials with to cancel what it gave up.
func piped(t *testing.T, dial pgconn.DialFunc) (*Stream, net.Conn) {
	t.Helper()
	client, server := net.Pipe()
	t.Cleanup(func() { client.Close(); server.Close() })
	c := &Conn{config: Config{Slot: "s", Publication: "p"}, net: newWire(client)}
	config, err := pgconn.ParseConfig("postgres://u@localhost/d")
	if err != nil {
		t.Fatal(err)
	}
	config.DialFunc, config.OnNotice = dial, func(_ *pgconn.PgConn, n *pgconn.Notice) { c.notice(n) }
	c.pg, err = pgconn.Construct(&pgconn.HijackedConn{Conn: c.net, Config: config, Frontend: pgproto3.NewFrontend(c.net, c.net), ParameterStatuses: map[string]string{}, TxStatus: 'I'})
	if err != nil {
		t.Fatal(err)
	}
	s := &Stream{conn: c, decoder: pgoutput.NewDecoder(), heard: time.Now(), silence: time.Minute, bytes: func(int) {}, stray: func() {}}
	c.net.alarm = s.alarm
	c.net.streaming.Store(true)
	return s, server
}

// What one read of the socket brings may hold the warning and the transactions behind the hole. None of them may be handled:
// once one is committed, the next start begins behind the hole.
func TestNothingBehindALossIsHandled(t *testing.T) {
	s, server := piped(t, nil)
	var sent []byte
	begin := append(append([]byte("w"), make([]byte, 24)...), append([]byte("B"), make([]byte, 20)...)...)
	var err error
	for _, m := range []pgproto3.BackendMessage{
		&pgproto3.ParameterStatus{Name: "the first message of a read", Value: "is followed by a turn, which looks for warnings"},
		&pgproto3.NoticeResponse{Severity: "WARNUNG", SeverityUnlocalized: "WARNING", Code: "55000", File: "pgoutput.c", Message: "Laden der Publikation »p« wird übersprungen"},
		&pgproto3.CopyData{Data: begin},
	} {
		if sent, err = m.Encode(sent); err != nil {
			t.Fatal(err)
		}
	}
	go server.Write(sent)          // ends with the pipe
	go io.Copy(io.Discard, server) // our status

	var refusal *cdc.Refusal
	if err := s.Run(t.Context(), unheard{t: t}); !errors.As(err, &refusal) || refusal.Name != "publication_missing" {
		t.Errorf("the stream ended with %v", err)
	}
}

// notYet has nothing durable.
type notYet struct{ unheard }

func (notYet) Durable() cdc.LSN { return 0 }

// A status whose flushed position is 0 acknowledges all that was received: none is sent.
func TestNoStatusIsSentBeforeAnythingIsDurable(t *testing.T) {
	s := &Stream{handler: notYet{unheard{t: t}}, received: 0x500} // without a connection: to send would panic
	if err := s.Status(time.Now()); err == nil {
		t.Error("a status was sent")
	}
}

// left fails the test if it is asked for anything after its stream has ended.
type left struct {
	unheard
	ended chan struct{}
}

func (h left) Alarm() time.Time {
	select {
	case <-h.ended:
		h.t.Error("the handler was asked after its stream had ended")
	default:
	}
	return time.Now().Add(time.Hour)
}

// pgconn reads a broken connection to its end on a goroutine of its own, when the next session may run already.
func TestNobodyIsAskedAfterABrokenStreamHasEnded(t *testing.T) {
	h := left{unheard: unheard{t: t}, ended: make(chan struct{})}
	s, server := piped(t, func(context.Context, string, string) (net.Conn, error) {
		<-h.ended
		return nil, errors.New("nothing is cancelled here")
	})
	go func() {
		server.Read(make([]byte, 1<<10)) // the first status: to be unable to send it is another end
		server.Close()
	}()
	if err := s.Run(t.Context(), h); err == nil || strings.Contains(err.Error(), "send a status") {
		t.Errorf("the stream ended with %v", err)
	}
	close(h.ended)
	<-s.conn.pg.CleanupDone()
}
