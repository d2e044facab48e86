package check

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/livedb/livedb/cdc"
	"github.com/livedb/livedb/cdc/postgres"
)

// server is what the source says about itself and about our role.
type server struct {
	Version     int // server_version_num
	VersionText string
	Database    string
	WALLevel    string
	User        string
	InRecovery  bool
	Replication bool // the role may replicate
	Superuser   bool
	ReadsStats  bool // the role sees what others do
	MayCreate   bool // in this database: what a publication takes

	MaxSlots, Slots           int
	MaxSenders, Senders, Ours int // Ours: senders that serve our slot
	KeepSizeMB                int64
	TransactionTimeout        string
	TransactionTimeoutSet     bool
	NeonTimeline              string

	Now      time.Time // the server's clock
	WALBytes float64   // written since WALSince
	WALSince time.Time
}

// rate is how many bytes of WAL are written in a second, on average; 0 if that is not known.
func (s *server) rate() float64 {
	if age := s.Now.Sub(s.WALSince).Seconds(); age >= 1 {
		return s.WALBytes / age
	}
	return 0
}

// readServer looks at the server. took is how long it had the server's clock wait for us.
func readServer(ctx context.Context, conn *pgx.Conn, slot string) (s server, took time.Duration, err error) {
	began := time.Now()
	if err := conn.QueryRow(ctx, `SELECT clock_timestamp()`).Scan(&s.Now); err != nil {
		return s, 0, err
	}
	took = time.Since(began)
	err = conn.QueryRow(ctx, `
		SELECT current_setting('server_version_num')::int, split_part(current_setting('server_version'), ' ', 1), current_database(), current_setting('wal_level'),
		       current_user, pg_is_in_recovery(), r.rolreplication OR r.rolsuper, r.rolsuper, pg_has_role(current_user, 'pg_read_all_stats', 'USAGE'),
		       has_database_privilege(current_database(), 'CREATE'),
		       current_setting('max_replication_slots')::int, (SELECT count(*) FROM pg_replication_slots),
		       current_setting('max_wal_senders')::int, (SELECT count(*) FROM pg_stat_replication),
		       (SELECT count(*) FROM pg_stat_replication WHERE application_name = 'livedb/' || $1),
		       (SELECT setting::bigint FROM pg_settings WHERE name = 'max_slot_wal_keep_size'),
		       coalesce(current_setting('transaction_timeout', true), '0'),
		       coalesce(current_setting('neon.timeline_id', true), ''), w.wal_bytes::float8, coalesce(w.stats_reset, now())
		FROM pg_roles r, pg_stat_wal w WHERE r.rolname = current_user`, slot).
		Scan(&s.Version, &s.VersionText, &s.Database, &s.WALLevel, &s.User, &s.InRecovery, &s.Replication, &s.Superuser, &s.ReadsStats, &s.MayCreate,
			&s.MaxSlots, &s.Slots, &s.MaxSenders, &s.Senders, &s.Ours, &s.KeepSizeMB, &s.TransactionTimeout, &s.NeonTimeline, &s.WALBytes, &s.WALSince)
	s.TransactionTimeoutSet = s.TransactionTimeout != "0"
	return s, took, err
}

// slot is a replication slot of the server.
type slot struct {
	Name, Plugin, Type, Database string
	TwoPhase, Temporary, Active  bool
	Failover                     bool // false before 17, which knows none
	PID                          int
	Application                  string // of who reads it; empty if that is hidden
	WALStatus                    string
	Invalid                      string // why it was invalidated; empty before 17
	HasRestart                   bool
	Restart, Confirmed           string // as Postgres writes them
	Retained                     int64  // bytes of WAL kept for it
	Safe                         int64  // bytes that may be written before it is lost; -1 for no limit
}

// confirmed is how far the slot is acknowledged.
func (s *slot) confirmed() cdc.LSN {
	lsn, err := cdc.ParseLSN(s.Confirmed)
	if err != nil {
		return 0 // none yet
	}
	return lsn
}

// lost is the start's own rule.
func (s *slot) lost() bool { return postgres.LostWAL(s.WALStatus, s.HasRestart) }

// unreserved reports whether Postgres may remove WAL that the slot needs at any time, and has not yet.
func (s *slot) unreserved() bool { return s.WALStatus == "unreserved" }

// readSlots lists all slots of the server. Columns that a version lacks are looked for as JSON.
func readSlots(ctx context.Context, conn *pgx.Conn) ([]slot, error) {
	rows, err := conn.Query(ctx, `
		SELECT s.slot_name::text, coalesce(s.plugin::text, ''), s.slot_type, coalesce(s.database::text, ''), coalesce(s.two_phase, false), s.temporary, s.active,
		       coalesce((to_jsonb(s)->>'failover')::bool, false), coalesce(s.active_pid, 0), coalesce(a.application_name, ''),
		       coalesce(s.wal_status, 'lost'), coalesce(to_jsonb(s)->>'invalidation_reason', ''), s.restart_lsn IS NOT NULL,
		       coalesce(s.restart_lsn::text, ''), coalesce(s.confirmed_flush_lsn::text, ''),
		       coalesce(CASE WHEN NOT pg_is_in_recovery() THEN pg_wal_lsn_diff(pg_current_wal_lsn(), s.restart_lsn) END, 0)::bigint, coalesce(s.safe_wal_size, -1)
		FROM pg_replication_slots s LEFT JOIN pg_stat_activity a ON a.pid = s.active_pid ORDER BY 1`)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowToStructByPos[slot])
}

// transaction is one that has been open for long.
type transaction struct {
	PID         int
	User        string
	Application string
	State       string
	Age         time.Duration
}

// readTransactions lists the transactions that write and have been open for longer than a limit, the oldest first.
func readTransactions(ctx context.Context, conn *pgx.Conn, limit time.Duration) ([]transaction, error) {
	rows, err := conn.Query(ctx, `
		SELECT pid, coalesce(usename, ''), application_name, coalesce(state, ''), now() - xact_start FROM pg_stat_activity
		WHERE backend_xid IS NOT NULL AND now() - xact_start > $1 AND pid <> pg_backend_pid() ORDER BY xact_start LIMIT 20`, limit)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowToStructByPos[transaction])
}

// prepared is a prepared transaction of our database.
type prepared struct {
	GID   string
	Owner string
	Age   time.Duration
}

func readPrepared(ctx context.Context, conn *pgx.Conn) ([]prepared, error) {
	rows, err := conn.Query(ctx, `SELECT gid, owner::text, now() - prepared FROM pg_prepared_xacts WHERE database = current_database() ORDER BY prepared LIMIT 20`)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowToStructByPos[prepared])
}

// publication is the publication as it was made.
type publication struct {
	AllTables, ViaRoot               bool
	Insert, Update, Delete, Truncate bool
}

func readPublicationFlags(ctx context.Context, conn *pgx.Conn, name string) (p publication, err error) {
	err = conn.QueryRow(ctx, `SELECT puballtables, pubviaroot, pubinsert, pubupdate, pubdelete, pubtruncate FROM pg_publication WHERE pubname = $1`, name).
		Scan(&p.AllTables, &p.ViaRoot, &p.Insert, &p.Update, &p.Delete, &p.Truncate)
	if err != nil {
		return p, fmt.Errorf("read the publication %s: %w", name, err)
	}
	return p, nil
}

// snapshots is what Neon's rule for removing slots looks at.
type snapshots struct {
	Limit int // a slot is dropped when so many files are younger than it
	Files int
	Every time.Duration  // between two of them; 0 if that is not known
	After map[string]int // by slot, how many files are younger than its restart_lsn
}

func readSnapshots(ctx context.Context, conn *pgx.Conn) (s snapshots, err error) {
	var seconds float64
	err = conn.QueryRow(ctx, `
		SELECT coalesce(nullif(current_setting('neon.logical_replication_max_snap_files', true), ''), '10000')::int, count(*),
		       coalesce(extract(epoch FROM max(modification) - min(modification)) / nullif(count(*) - 1, 0), 0)::float8
		FROM pg_ls_logicalsnapdir() WHERE name LIKE '%.snap'`).Scan(&s.Limit, &s.Files, &seconds)
	if err != nil {
		return s, err
	}
	s.Every = time.Duration(seconds * float64(time.Second))
	rows, err := conn.Query(ctx, `
		SELECT slot_name::text, (SELECT count(*) FROM pg_ls_logicalsnapdir() WHERE name LIKE '%.snap' AND replace(replace(name, '.snap', ''), '-', '/')::pg_lsn > restart_lsn)
		FROM pg_replication_slots WHERE slot_type = 'logical' AND restart_lsn IS NOT NULL`)
	if err != nil {
		return s, err
	}
	s.After = map[string]int{}
	var name string
	var after int
	_, err = pgx.ForEachRow(rows, []any{&name, &after}, func() error { s.After[name] = after; return nil })
	return s, err
}
