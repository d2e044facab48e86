package postgres

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"time"

	"github.com/jackc/pglogrepl"
	"github.com/jackc/pgx/v5/pgproto3"

	"github.com/livedb/livedb/cdc"
	"github.com/livedb/livedb/cdc/pgoutput"
	"github.com/livedb/livedb/internal/failpoint"
)

// Handler receives a stream in commit order, on the goroutine that owns the connection. It must not block: Full is how
// it holds the stream back. Any error ends the stream.
type Handler interface {
	Begin(tx cdc.Transaction) error
	Change(c *cdc.Change) error // its rows are valid until it returns
	Truncate(lsn cdc.LSN, tables []*cdc.Table) error
	Commit(tx cdc.Transaction) error

	// Quiet says that everything before lsn has been sent. wanted asks to have it acknowledged soon.
	Quiet(lsn cdc.LSN, wanted bool) error
	// Tick is called at about the time that Alarm returned, and every second in any case.
	Tick(now time.Time) error
	Alarm() time.Time

	// Full returns nil, or a channel that delivers when there may be room again.
	Full() <-chan struct{}
	// Durable returns the highest LSN that may be acknowledged. It never falls.
	Durable() cdc.LSN
}

// Limits of the stream's timing.
const (
	statusInterval = time.Second // between two status updates; far below a third of wal_sender_timeout
	shortestRead   = time.Millisecond
)

// ErrSilent says that the source has not said a word for StreamOptions.Silence.
var ErrSilent = errors.New("the source has been silent for too long")

// Stream is the walsender's side of a Conn after START_REPLICATION.
type Stream struct {
	conn    *Conn
	decoder *pgoutput.Decoder
	message pgoutput.Message

	handler    Handler
	received   cdc.LSN
	now        time.Time // see Now
	nextStatus time.Time
	heard      time.Time
	silence    time.Duration
	bytes      func(int)
	stray      func()
}

// StreamOptions are a stream's counters, which may be nil, and its patience.
type StreamOptions struct {
	Bytes func(int) // bytes of decoded messages
	Read  func(int) // bytes that one read of the socket brought
	Stray func()    // a stream abort that nobody asked for

	// Silence is how long the source may say nothing before the connection is taken for half open; zero means
	// Config.Silence. A source that decodes a huge transaction is silent too.
	Silence time.Duration
}

// Start begins the stream at the end of the last transaction delivered whole. Postgres forwards a start below the slot's
// confirmed position silently and accepts one above its WAL: the caller has checked both.
func (c *Conn) Start(ctx context.Context, at cdc.EndLSN, options StreamOptions) (*Stream, error) {
	err := pglogrepl.StartReplication(ctx, c.pg, quote(c.config.Slot), cdc.LSN(at), pglogrepl.StartReplicationOptions{
		PluginArgs: []string{"proto_version '1'", "publication_names " + literal(quote(c.config.Publication))}})
	if err != nil {
		return nil, streamError(err, c.config)
	}
	s := &Stream{conn: c, decoder: pgoutput.NewDecoder(), received: cdc.LSN(at), heard: time.Now(),
		bytes: options.Bytes, stray: options.Stray, silence: cmp.Or(options.Silence, c.config.Silence())}
	if s.bytes == nil {
		s.bytes = func(int) {}
	}
	if s.stray == nil {
		s.stray = func() {}
	}
	c.net.told, c.net.alarm = options.Read, s.alarm
	c.net.streaming.Store(true)
	return s, nil
}

// Run feeds the handler until the context ends, which is no error, or something fails.
//
//	the order of a turn: a fatal notice; the handler's alarm; our status; then, while the handler has room, the messages
//	of one read of the socket
func (s *Stream) Run(ctx context.Context, h Handler) error {
	s.handler = h
	stop := context.AfterFunc(ctx, s.conn.net.interrupt)
	defer stop()
	s.conn.net.turned = true
	for {
		if s.conn.net.turned {
			s.conn.net.turned = false
			if ctx.Err() != nil {
				return nil
			}
			if err := s.turn(time.Now()); err != nil {
				return err
			}
		}
		if room := h.Full(); room != nil {
			s.wait(ctx, room)
			continue
		}
		if err := s.receive(); err != nil {
			if ctx.Err() != nil {
				return nil
			}
			return err
		}
	}
}

// turn does what is due.
func (s *Stream) turn(now time.Time) error {
	s.now = now
	if refusal := s.conn.fatal.Load(); refusal != nil {
		return refusal
	}
	due := !now.Before(s.nextStatus)
	if due || !now.Before(s.handler.Alarm()) {
		if err := s.handler.Tick(now); err != nil {
			return err
		}
	}
	if due {
		return s.Status(now)
	}
	return nil
}

// Now is when the message being handled was read from the socket, or when the turn began. To ask for the time at each message
// would cost more than to decode it. The handler alone may call it.
func (s *Stream) Now() time.Time { return s.now }

// alarm is when the next turn must begin, whatever arrives.
func (s *Stream) alarm() time.Time {
	if alarm := s.handler.Alarm(); alarm.Before(s.nextStatus) {
		return alarm
	}
	return s.nextStatus
}

// Status tells the server what was received and what is durable. A durable position of 0 would acknowledge everything
// received, so it is never sent.
func (s *Stream) Status(now time.Time) error {
	s.nextStatus = now.Add(statusInterval)
	durable := s.handler.Durable()
	if durable == 0 {
		return errors.New("nothing is durable yet, and a status of 0 would acknowledge everything")
	}
	if err := failpoint.Hit(failpoint.BeforeStatus); err != nil {
		return err
	}
	err := pglogrepl.SendStandbyStatusUpdate(context.Background(), s.conn.pg, pglogrepl.StandbyStatusUpdate{
		WALWritePosition: max(s.received, durable), WALFlushPosition: durable, WALApplyPosition: durable, ClientTime: now,
		ReplyRequested: now.Sub(s.heard) > s.silence/6})
	if err != nil {
		return &LostError{fmt.Errorf("send a status: %w", err)}
	}
	return failpoint.Hit(failpoint.AfterStatus)
}

// wait holds the stream back until there is room, the handler's alarm rings or a status is due.
func (s *Stream) wait(ctx context.Context, room <-chan struct{}) {
	s.conn.net.turned = true
	s.heard = s.now // we are not listening
	timer := time.NewTimer(max(time.Until(s.alarm()), time.Millisecond))
	defer timer.Stop()
	select {
	case <-room:
	case <-timer.C:
	case <-ctx.Done():
	}
}

// receive reads one message, or returns when the alarm rings.
func (s *Stream) receive() error {
	// With the background context pgconn sets no deadline of its own.
	m, err := s.conn.pg.ReceiveMessage(context.Background())
	if s.conn.net.turned { // it read the socket, and may have waited for long
		s.now = time.Now()
	}
	if err != nil {
		var timeout net.Error
		if errors.As(err, &timeout) && timeout.Timeout() {
			if s.now.Sub(s.heard) > s.silence {
				return fmt.Errorf("%w: %s", ErrSilent, s.silence)
			}
			return nil
		}
		return streamError(err, s.conn.config)
	}
	s.heard = s.now
	switch m := m.(type) {
	case *pgproto3.CopyData:
		return s.copyData(m.Data)
	case *pgproto3.ErrorResponse:
		return streamError(pgError(m), s.conn.config)
	case *pgproto3.NoticeResponse:
		if refusal := s.conn.fatal.Load(); refusal != nil { // now: what follows it in the same read must not be handled
			return refusal
		}
		return nil
	case *pgproto3.ParameterStatus:
		return nil
	case *pgproto3.CopyDone, *pgproto3.CommandComplete: // as a server does that is shut down
		return &LostError{errors.New("the source ended the stream")}
	default:
		return fmt.Errorf("the source sent %T in the middle of the stream", m)
	}
}

func (s *Stream) copyData(data []byte) error {
	if len(data) == 0 {
		return errors.New("the source sent an empty message")
	}
	switch data[0] {
	case pglogrepl.PrimaryKeepaliveMessageByteID:
		k, err := pglogrepl.ParsePrimaryKeepaliveMessage(data[1:])
		if err != nil {
			return fmt.Errorf("read a keepalive: %w", err)
		}
		s.received = max(s.received, k.ServerWALEnd)
		if err := s.handler.Quiet(k.ServerWALEnd, k.ReplyRequested); err != nil {
			return err
		}
		if k.ReplyRequested {
			s.nextStatus = time.Time{}
		}
		return nil
	case pglogrepl.XLogDataByteID:
		x, err := pglogrepl.ParseXLogData(data[1:])
		if err != nil {
			return fmt.Errorf("read a WAL message: %w", err)
		}
		s.bytes(len(x.WALData))
		s.received = max(s.received, x.WALStart)
		return s.dispatch(x.WALStart, x.WALData)
	}
	return fmt.Errorf("the source sent a replication message of the unknown kind %q", data[0])
}

func (s *Stream) dispatch(at cdc.LSN, data []byte) error {
	m := &s.message
	if err := s.decoder.Decode(at, data, m); err != nil {
		return &cdc.Refusal{Name: "undecodable_message", Problem: fmt.Sprintf("a message at %s cannot be decoded (%v)", at, err),
			Remedy: "the stream stops before it, so nothing is lost: please report this with the Postgres version", Err: err}
	}
	switch m.Kind {
	case pgoutput.Begin:
		return s.handler.Begin(m.Tx)
	case pgoutput.Row:
		return s.handler.Change(&m.Change)
	case pgoutput.Truncate:
		return s.handler.Truncate(at, m.Truncated)
	case pgoutput.Commit:
		return s.handler.Commit(m.Tx)
	case pgoutput.StreamAbort:
		s.stray()
	}
	return nil
}
