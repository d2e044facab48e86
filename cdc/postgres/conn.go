package postgres

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"net"
	"strings"
	"sync/atomic"
	"time"

	"github.com/jackc/pglogrepl"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/livedb/livedb/cdc"
)

// Conn is the replication connection. Leadership, walsender and stream live and die with it: the advisory lock that
// makes its owner the stream's one leader is taken on it. One goroutine uses it.
type Conn struct {
	config Config
	parsed *pgx.ConnConfig
	pg     *pgconn.PgConn
	net    *wire
	fatal  atomic.Pointer[cdc.Refusal] // a notice that must end the stream
}

// Identity says whose history a source shows.
type Identity struct {
	SystemID string
	Timeline int32
	Current  cdc.LSN // the end of the WAL
	Database string
}

// Dial opens the replication connection with the fixed settings, and reads them back.
func Dial(ctx context.Context, c Config) (*Conn, error) {
	cc, err := c.parse()
	if err != nil {
		return nil, err
	}
	conn := &Conn{config: c, parsed: cc}
	cc.RuntimeParams["replication"] = "database"
	cc.RuntimeParams["application_name"] = "livedb/" + c.Slot
	cc.RuntimeParams["options"] = c.options(cc.RuntimeParams["options"])
	cc.DialFunc = func(ctx context.Context, network, address string) (net.Conn, error) {
		w, err := dialWire(ctx, network, address, c.Dial)
		if err != nil {
			return nil, err
		}
		if conn.pg == nil { // once connected, pgconn dials to cancel what failed, on a goroutine of its own
			conn.net = w
		}
		return w, nil
	}
	cc.OnNotice = func(_ *pgconn.PgConn, n *pgconn.Notice) { conn.notice(n) }
	if conn.pg, err = pgconn.ConnectConfig(ctx, &cc.Config); err != nil {
		return nil, connectError(c, cc, err)
	}
	if err := conn.settle(ctx); err != nil {
		conn.Close()
		return nil, err
	}
	return conn, nil
}

// Close ends the connection without waiting for the server.
func (c *Conn) Close() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	c.pg.Close(ctx) // an error here says that it is closed already
}

// HidesLoss tells the one warning that hides a loss: Postgres 18 goes on without a publication that it cannot find
// (LoadPublications, the one warning of pgoutput.c). Its text is in the server's language, and its SQLSTATE is that of others too, such
// as of a standby that synchronized_standby_slots names and that is away: where it was raised has to tell it.
func HidesLoss(severity, file, text string) bool {
	return severity == "WARNING" && (file == "pgoutput.c" || strings.HasPrefix(text, "skipped loading publication"))
}

func (c *Conn) notice(n *pgconn.Notice) {
	if HidesLoss(n.SeverityUnlocalized, n.File, n.Message) {
		c.fatal.Store(&cdc.Refusal{Name: "publication_missing", Unsafe: true,
			Problem: fmt.Sprintf("the source goes on without the publication %s (%s)", c.config.Publication, n.Message),
			Remedy:  "changes may be lost to this stream: drop the slot and start a new stream under another --prefix"})
	}
}

// settle makes the settings those that LiveDB needs, and compares each with what the server made of it. They came with the
// connection as options, which win over a role's own settings; a proxy may have dropped these, and some settings are too new
// to be given to a server whose version is not known yet. Only a walsender is told: what a pooler is told, its other clients
// would have too.
func (c *Conn) settle(ctx context.Context) error {
	if _, err := c.Identify(ctx); err != nil {
		return err
	}
	settings := c.config.settings()
	if serverMajor(c.pg) >= 17 {
		settings = append(settings, setting{"transaction_timeout", "0", "0"})
	}
	calls := make([]string, len(settings))
	for i, s := range settings {
		calls[i] = fmt.Sprintf("set_config(%s, %s, false)", literal(s.name), literal(s.value))
	}
	results, err := c.pg.Exec(ctx, "SELECT "+strings.Join(calls, ", ")).ReadAll()
	if err != nil {
		return fmt.Errorf("make the settings of the replication connection: %w", err)
	}
	if len(results) != 1 || len(results[0].Rows) != 1 || len(results[0].Rows[0]) != len(settings) {
		return errors.New("make the settings of the replication connection: the source did not return them")
	}
	for i, s := range settings {
		if got := string(results[0].Rows[0][i]); got != s.shown {
			return &cdc.Refusal{Name: "setting_refused", Problem: fmt.Sprintf("the source has %s = %q where LiveDB set %q", s.name, got, s.shown),
				Remedy: "connect directly to the database: something between drops the connection's options"}
		}
	}
	return nil
}

// serverMajor is the server's version, such as 17; 0 if it does not tell.
func serverMajor(pg *pgconn.PgConn) (major int) {
	fmt.Sscanf(pg.ParameterStatus("server_version"), "%d", &major)
	return major
}

// text runs a query of one row and one column.
func (c *Conn) text(ctx context.Context, sql string) (string, error) {
	results, err := c.pg.Exec(ctx, sql).ReadAll()
	if err != nil {
		return "", err
	}
	if len(results) != 1 || len(results[0].Rows) != 1 || len(results[0].Rows[0]) != 1 {
		return "", fmt.Errorf("%s did not return one value", sql)
	}
	return string(results[0].Rows[0][0]), nil
}

// Lead takes the stream's advisory lock, waiting for another leader to go. waiting is called once if there is one.
func (c *Conn) Lead(ctx context.Context, waiting func()) error {
	key := fnv.New64a()
	fmt.Fprintf(key, "livedb %s", c.config.Slot)
	sql := fmt.Sprintf("SELECT pg_try_advisory_lock(%d)", int64(key.Sum64()))
	for told := false; ; told = true {
		got, err := c.text(ctx, sql)
		if err != nil {
			return fmt.Errorf("take the lead of the slot %s: %w", c.config.Slot, err)
		}
		if got == "t" {
			return nil
		}
		if !told {
			waiting()
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(250 * time.Millisecond):
		}
	}
}

// Identify asks whose history this is.
func (c *Conn) Identify(ctx context.Context) (Identity, error) {
	r, err := pglogrepl.IdentifySystem(ctx, c.pg)
	if err != nil {
		return Identity{}, c.refused(err)
	}
	return Identity{SystemID: r.SystemID, Timeline: r.Timeline, Current: r.XLogPos, Database: r.DBName}, nil
}

// refused names what a server says that lets us in and is no Postgres of the right kind, such as a pooler.
func (c *Conn) refused(err error) error {
	if e, ok := errorAs[*pgconn.PgError](err); ok {
		if refusal := answerRefusal(c.parsed, e); refusal != nil {
			return refusal
		}
	}
	return streamError(err, c.config)
}

// Identify asks a source whose history it shows, on a connection of its own.
func Identify(ctx context.Context, c Config) (Identity, error) {
	conn, err := Dial(ctx, c)
	if err != nil {
		return Identity{}, err
	}
	defer conn.Close()
	return conn.Identify(ctx)
}

// CreateSlot makes the slot and returns its consistent point: the stream begins with the transactions that commit after
// it. Postgres waits for every running transaction, so this is bounded and names the likely cause.
func (c *Conn) CreateSlot(ctx context.Context) (cdc.EndLSN, error) {
	limited, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	point, err := c.createSlot(limited)
	if err != nil && limited.Err() != nil && ctx.Err() == nil {
		return 0, &cdc.Refusal{Name: "long_transaction", Problem: fmt.Sprintf("the slot %s could not be created within 30 s", c.config.Slot),
			Remedy: "end the transactions that have been open for long (SELECT pid, xact_start, query FROM pg_stat_activity ORDER BY xact_start)", Err: err}
	}
	if err != nil {
		return 0, fmt.Errorf("create the slot %s: %w", c.config.Slot, err)
	}
	lsn, err := pglogrepl.ParseLSN(point)
	if err != nil {
		return 0, fmt.Errorf("create the slot %s: %w", c.config.Slot, err)
	}
	return cdc.EndLSN(lsn), nil
}

// DropSlots drops the slot and its replay slot, as far as they exist, and ends walsenders that still serve them. The
// caller leads the stream, or the slots are leftovers.
func DropSlots(ctx context.Context, c Config) error {
	conn, err := Connect(ctx, c)
	if err != nil {
		return err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	for _, slot := range []string{c.Slot, ReplaySlot(c.Slot)} {
		if err := dropSlot(ctx, conn, slot); err != nil {
			return err
		}
	}
	return nil
}

func dropSlot(ctx context.Context, conn *pgx.Conn, slot string) error {
	for {
		var active bool
		err := conn.QueryRow(ctx, `SELECT coalesce(bool_or(pg_terminate_backend(active_pid)), false) FROM pg_replication_slots WHERE slot_name = $1 AND active`, slot).Scan(&active)
		if err == nil && !active {
			_, err = conn.Exec(ctx, `SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE slot_name = $1`, slot)
			if e, ok := errorAs[*pgconn.PgError](err); !ok || e.Code != "55006" { // taken again meanwhile
				if err != nil {
					return fmt.Errorf("drop the slot %s: %w", slot, err)
				}
				return nil
			}
		} else if err != nil {
			return fmt.Errorf("end the reader of slot %s: %w", slot, err)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(50 * time.Millisecond):
		}
	}
}
