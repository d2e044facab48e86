package check

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pglogrepl"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgproto3"

	"github.com/livedb/livedb/cdc/postgres"
)

// start begins to stream the slot from where it is.
func (p *probe) start(ctx context.Context, conn *pgconn.PgConn, slot string) error {
	return pglogrepl.StartReplication(ctx, conn, ident(slot), 0, pglogrepl.StartReplicationOptions{Mode: pglogrepl.LogicalReplication,
		PluginArgs: []string{"proto_version '1'", "publication_names " + literal(p.name)}})
}

// receive answers the server until it has sent as many inserts, and calls each at its arrival. The probe's table is the only
// one published, and it does nothing but insert.
func receive(ctx context.Context, conn *pgconn.PgConn, inserts int, each func()) error {
	for inserts > 0 {
		message, err := conn.ReceiveMessage(ctx)
		if err != nil {
			return err
		}
		switch m := message.(type) {
		case *pgproto3.ErrorResponse:
			return pgconn.ErrorResponseToPgError(m)
		case *pgproto3.CopyData:
			switch {
			case len(m.Data) == 18 && m.Data[0] == pglogrepl.PrimaryKeepaliveMessageByteID:
				if m.Data[17] == 1 { // it wants an answer; ours acknowledges nothing
					if err := pglogrepl.SendStandbyStatusUpdate(ctx, conn, pglogrepl.StandbyStatusUpdate{WALWritePosition: 1}); err != nil {
						return err
					}
				}
			case len(m.Data) > 25 && m.Data[0] == pglogrepl.XLogDataByteID && m.Data[25] == 'I':
				each()
				inserts--
			}
		}
	}
	return nil
}

func (p *probe) insert(ctx context.Context) error {
	_, err := p.conn.Exec(ctx, fmt.Sprintf("INSERT INTO %s.t SELECT coalesce(max(id), 0) + 1, clock_timestamp() FROM %[1]s.t", ident(p.name)))
	return err
}

// stream makes a slot behind the publication, inserts, and measures how long each event takes.
func (p *probe) stream(ctx context.Context) (Outcome, string, error) {
	if !p.made {
		return No, "", errNotMade
	}
	began := time.Now()
	if _, err := p.conn.Exec(ctx, "SELECT pg_create_logical_replication_slot($1, 'pgoutput')", p.name); err != nil {
		return No, "make the slot:", err
	}
	took := time.Since(began)
	conn, err := p.replication(ctx)
	if err != nil {
		return No, "", err
	}
	defer closeNow(conn)
	if err := p.start(ctx, conn, p.name); err != nil {
		return No, "start the stream:", err
	}
	var latencies []time.Duration
	for range probeEvents {
		if err := p.insert(ctx); err != nil {
			return No, "insert:", err
		}
		committed := time.Now()
		if err := receive(ctx, conn, 1, func() { latencies = append(latencies, time.Since(committed)) }); err != nil {
			return No, "wait for the event:", err
		}
	}
	slices.Sort(latencies)
	return Yes, fmt.Sprintf("the slot took %s; %d events arrived %s after their commit (median; at most %s)", took.Round(time.Millisecond), probeEvents,
		latencies[len(latencies)/2].Round(10*time.Microsecond), latencies[len(latencies)-1].Round(10*time.Microsecond)), nil
}

// copy does what a replay does: a temporary copy of the slot, streamed from on the connection that it lives on. The events
// come again, for nothing acknowledged them.
func (p *probe) copy(ctx context.Context) (Outcome, string, error) {
	if !p.made {
		return No, "", errNotMade
	}
	conn, err := p.replication(ctx)
	if err != nil {
		return No, "", err
	}
	defer closeNow(conn)
	name := p.name + "_copy"
	if _, err := value(ctx, conn, fmt.Sprintf("SELECT pg_copy_logical_replication_slot(%s, %s, true)", literal(p.name), literal(name))); err != nil {
		return No, "copy the slot:", err
	}
	if err := p.start(ctx, conn, name); err != nil {
		return No, "start the copy:", err
	}
	again := 0
	if err := receive(ctx, conn, probeEvents, func() { again++ }); err != nil {
		return No, "read the copy:", err
	}
	return Yes, fmt.Sprintf("%d events came again", again), nil
}

// senderTimeout starts a stream, never answers, and waits for the server to end it.
func (p *probe) senderTimeout(ctx context.Context) (Outcome, string, error) {
	if !p.made {
		return No, "", errNotMade
	}
	conn, err := p.replication(ctx, "wal_sender_timeout=2s")
	if err != nil {
		return No, "", err
	}
	defer closeNow(conn)
	if err := p.start(ctx, conn, p.name); err != nil {
		return No, "start the stream:", err
	}
	began := time.Now()
	for {
		message, err := conn.ReceiveMessage(ctx)
		_, refused := message.(*pgproto3.ErrorResponse)
		switch {
		case ctx.Err() != nil:
			return No, fmt.Sprintf("a silent connection was still open after %s", time.Since(began).Round(time.Second)), nil
		case err != nil, refused:
			return Yes, fmt.Sprintf("it ended after %s", time.Since(began).Round(100*time.Millisecond)), nil
		}
	}
}

// cleanUp removes all that the probe made, on a connection of its own: an interrupted trial has ended the probe's. What it
// cannot remove it says how to.
func (p *probe) cleanUp(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, probeCleanUp)
	defer cancel()
	pid := p.conn.PgConn().PID()
	p.conn.Close(ctx) // it may be closed already
	statements := []string{
		fmt.Sprintf("SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE slot_name = %s;", literal(p.name)),
		fmt.Sprintf("DROP PUBLICATION IF EXISTS %s;", ident(p.name)),
		fmt.Sprintf("DROP SCHEMA IF EXISTS %s CASCADE;", ident(p.name)),
	}
	conn, err := postgres.Connect(ctx, p.config)
	if err != nil {
		p.report.Left = strings.Join(statements, " ")
		return
	}
	defer conn.Close(ctx)
	var left []string
	// A statement that was given up may still be at work, and make a slot later. If its process is gone, so is that.
	_, _ = conn.Exec(ctx, "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE pid = $1 AND usename = current_user", int32(pid))
	if err := p.release(ctx, conn); err != nil {
		left = append(left, statements[0])
	}
	for _, sql := range statements[1:] {
		if _, err := conn.Exec(ctx, sql); err != nil {
			left = append(left, sql)
		}
	}
	p.report.Left = strings.Join(left, " ")
}

// release ends whoever still reads the slot, which is the probe itself, and drops it.
func (p *probe) release(ctx context.Context, conn *pgx.Conn) error {
	for {
		_, err := conn.Exec(ctx, "SELECT pg_terminate_backend(active_pid) FROM pg_replication_slots WHERE slot_name = $1 AND active", p.name)
		if err == nil {
			_, err = conn.Exec(ctx, "SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE slot_name = $1", p.name)
		}
		if err == nil || ctx.Err() != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(50 * time.Millisecond):
		}
	}
}
