package audit

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"strings"
	"time"

	"github.com/jackc/pglogrepl"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgproto3"

	"github.com/livedb/livedb/cdc"
	"github.com/livedb/livedb/cdc/postgres"
	"github.com/livedb/livedb/internal/audit/oracle"
	"github.com/livedb/livedb/producer"
)

// walStep is one thing that the WAL tells: an event, or the end of a transaction.
type walStep struct {
	tx     cdc.Transaction
	event  oracle.Event // of no table: the transaction's end
	events uint64       // of the transaction, at its end
}

// walReader streams the source's WAL from a temporary copy of a slot, which no one else sees and which goes with the
// connection: the slot itself is neither read nor moved. It holds some events.
type walReader struct {
	conn   *pgx.Conn
	copied string // the slot that was copied
	start  cdc.LSN
	upto   cdc.CommitLSN // the last transaction to read
	end    cdc.EndLSN    // of it
	steps  chan walStep

	tx       cdc.Transaction
	received cdc.LSN
	status   time.Time // when the next one is due
}

// walStatus is how often the server hears of us. It must do so within wal_sender_timeout, which is 5 s at least.
const walStatus = time.Second

// walAhead is how many steps may wait for the log.
const walAhead = 64

// errRead ends the reading: all that was wanted has been read.
var errRead = errors.New("the WAL was read")

// openWAL copies a slot, to read up to a checkpoint. Of the slots named, the first that exists is taken.
func openWAL(ctx context.Context, c postgres.Config, upto *producer.Checkpoint, slots ...string) (*walReader, error) {
	c.URL = replicationURL(c.URL)
	conn, err := postgres.Connect(ctx, c)
	if err != nil {
		return nil, err
	}
	w := &walReader{conn: conn, steps: make(chan walStep, walAhead), upto: upto.Commit, end: upto.End}
	if err = w.checkSource(ctx, upto); err == nil {
		err = w.copySlot(ctx, slots)
	}
	if err != nil {
		w.close()
		return nil, fmt.Errorf("read the WAL again: %w", err)
	}
	return w, nil
}

// checkSource refuses a source that does not have the stream's history.
func (w *walReader) checkSource(ctx context.Context, upto *producer.Checkpoint) error {
	system, err := pglogrepl.IdentifySystem(ctx, w.conn.PgConn())
	switch {
	case err != nil:
		return err
	case system.SystemID != upto.SystemID || system.DBName != upto.Database:
		return fmt.Errorf("the source is database %s of system %s and the stream was made from database %s of system %s: name that one with --source",
			system.DBName, system.SystemID, upto.Database, upto.SystemID)
	case system.XLogPos < cdc.LSN(upto.End):
		return fmt.Errorf("the source's WAL ends at %s and the stream has delivered what lies before %s: the source was set back", system.XLogPos, upto.End)
	}
	return nil
}

// replicationURL adds replication=database to a URL, or to a list of key=value pairs.
func replicationURL(source string) string {
	u, err := url.Parse(source)
	if err != nil || !strings.Contains(source, "://") {
		return source + " replication=database"
	}
	q := u.Query()
	q.Set("replication", "database")
	u.RawQuery = q.Encode()
	return u.String()
}

func (w *walReader) close() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	w.conn.Close(ctx)
}

const temporarySlot = "livedb_audit_"

func (w *walReader) copySlot(ctx context.Context, slots []string) error {
	for _, slot := range slots {
		found, err := w.query(ctx, "SELECT slot_name FROM pg_catalog.pg_replication_slots WHERE slot_name = "+quoteText(slot))
		if err != nil {
			return err
		}
		if found != "" {
			w.copied = slot
			break
		}
	}
	if w.copied == "" {
		return fmt.Errorf("there is no slot %s: name one with --oracle-slot", strings.Join(slots, " or "))
	}
	_, err := w.query(ctx, fmt.Sprintf("SELECT pg_catalog.pg_copy_logical_replication_slot(%s, '%s' || pg_catalog.pg_backend_pid(), true)", quoteText(w.copied), temporarySlot))
	if err != nil {
		return fmt.Errorf("%s: %w", w.copied, err)
	}
	start, err := w.query(ctx, "SELECT confirmed_flush_lsn FROM pg_catalog.pg_replication_slots WHERE slot_name = '"+temporarySlot+"' || pg_catalog.pg_backend_pid()")
	if err != nil {
		return fmt.Errorf("%s: %w", w.copied, err)
	}
	w.start, err = pglogrepl.ParseLSN(start)
	w.received = w.start
	return err
}

// query returns the first column of the first row, or nothing.
func (w *walReader) query(ctx context.Context, sql string) (string, error) {
	results, err := w.conn.PgConn().Exec(ctx, sql).ReadAll()
	if err != nil || len(results) != 1 || len(results[0].Rows) == 0 {
		return "", err
	}
	return string(results[0].Rows[0][0]), nil
}

func quoteText(text string) string { return "'" + strings.ReplaceAll(text, "'", "''") + "'" }

// read streams the WAL into steps up to the last transaction wanted, and closes steps.
func (w *walReader) read(ctx context.Context, publication string, describer oracle.Describer) error {
	defer close(w.steps)
	slot := fmt.Sprint(temporarySlot, w.conn.PgConn().PID())
	err := pglogrepl.StartReplication(ctx, w.conn.PgConn(), slot, w.start, pglogrepl.StartReplicationOptions{
		PluginArgs: []string{"proto_version '1'", "publication_names " + quoteText(pgx.Identifier{publication}.Sanitize())}})
	if err != nil {
		return fmt.Errorf("read the WAL again from slot %s: %w", w.copied, err)
	}
	network := w.conn.PgConn().Conn()
	stop := context.AfterFunc(ctx, func() { network.SetDeadline(time.Unix(1, 0)) })
	defer stop()

	decoder := oracle.NewDecoder(describer, &walSteps{w, ctx})
	for err == nil {
		err = w.turn(ctx, network, decoder)
	}
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case errors.Is(err, errRead):
		return nil
	}
	return fmt.Errorf("read the WAL again from slot %s: %w", w.copied, err)
}

// turn sends a status if one is due, and takes the next message if one comes before the next status.
func (w *walReader) turn(ctx context.Context, network net.Conn, decoder *oracle.Decoder) error {
	if now := time.Now(); !now.Before(w.status) {
		if err := w.acknowledge(ctx); err != nil {
			return err
		}
		network.SetReadDeadline(w.status)
		if ctx.Err() != nil { // the cancellation may have set its deadline before
			return ctx.Err()
		}
	}
	message, err := w.conn.PgConn().Frontend().Receive()
	if timeout, ok := errors.AsType[net.Error](err); ok && timeout.Timeout() {
		return ctx.Err()
	}
	if err != nil {
		return err
	}
	switch m := message.(type) {
	case *pgproto3.CopyData:
		return w.data(ctx, m.Data, decoder)
	case *pgproto3.ErrorResponse:
		return fmt.Errorf("%s (SQLSTATE %s)", m.Message, m.Code)
	case *pgproto3.NoticeResponse:
		if postgres.HidesLoss(m.SeverityUnlocalized, m.File, m.Message) {
			return fmt.Errorf("the source decodes without the publication: %s", m.Message)
		}
	}
	return nil
}

func (w *walReader) data(ctx context.Context, data []byte, decoder *oracle.Decoder) error {
	if len(data) == 0 {
		return errors.New("an empty message")
	}
	switch data[0] {
	case pglogrepl.PrimaryKeepaliveMessageByteID:
		k, err := pglogrepl.ParsePrimaryKeepaliveMessage(data[1:])
		if err != nil {
			return err
		}
		w.received = max(w.received, k.ServerWALEnd)
		if !decoder.Open() && k.ServerWALEnd >= cdc.LSN(w.end) {
			return errRead // every commit before it has been sent
		}
		if k.ReplyRequested {
			return w.acknowledge(ctx)
		}
		return nil
	case pglogrepl.XLogDataByteID:
		x, err := pglogrepl.ParseXLogData(data[1:])
		if err != nil {
			return err
		}
		w.received = max(w.received, x.WALStart)
		return decoder.Message(ctx, x.WALStart, x.WALData)
	}
	return fmt.Errorf("a message of the unknown kind %q", data[0])
}

// acknowledge reports all that was received: the copy is nobody's, and Postgres could not shut down otherwise.
func (w *walReader) acknowledge(ctx context.Context) error {
	w.status = time.Now().Add(walStatus)
	return pglogrepl.SendStandbyStatusUpdate(ctx, w.conn.PgConn(), pglogrepl.StandbyStatusUpdate{
		WALWritePosition: w.received, WALFlushPosition: w.received, WALApplyPosition: w.received, ReplyRequested: true})
}

// walSteps hands what is decoded over, and keeps the connection alive while nobody takes it.
type walSteps struct {
	*walReader
	ctx context.Context
}

// Begin implements oracle.Handler.
func (w *walSteps) Begin(tx cdc.Transaction) error {
	if tx.Commit > w.upto {
		return errRead
	}
	w.tx = tx
	return nil
}

// Event implements oracle.Handler.
func (w *walSteps) Event(e oracle.Event) error { return w.hand(walStep{tx: w.tx, event: e}) }

// End implements oracle.Handler.
func (w *walSteps) End(tx cdc.Transaction, events uint64) error {
	if err := w.hand(walStep{tx: tx, events: events}); err != nil {
		return err
	}
	if tx.Commit >= w.upto {
		return errRead
	}
	return nil
}

func (w *walSteps) hand(s walStep) error {
	for {
		select {
		case w.steps <- s:
			return nil
		default:
		}
		select {
		case w.steps <- s:
			return nil
		case <-w.ctx.Done():
			return w.ctx.Err()
		case <-time.After(walStatus):
			if err := w.acknowledge(w.ctx); err != nil {
				return err
			}
		}
	}
}
