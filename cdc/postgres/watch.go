package postgres

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/livedb/livedb/cdc"
)

// Look is what a server says at one moment about its WAL and its replication slots.
type Look struct {
	Time    time.Time // by the server's clock
	Current cdc.LSN   // the end of the WAL

	Keep    int64 // max_slot_wal_keep_size in bytes; below 0 there is no limit
	Segment int64 // bytes: WAL is kept and removed by whole segments

	// Idle is idle_replication_slot_timeout: a slot that nobody used for so long is invalidated. 0: never, as before Postgres 18.
	Idle time.Duration

	// Neon removes a slot once so many snapshot files are newer than its restart_lsn; 0 elsewhere.
	SnapLimit int
	Neon      bool

	Slots []SlotState // all of the server's, by name
}

// SlotState is a slot with what decides how long it lives.
type SlotState struct {
	Slot
	Temporary   bool
	ActivePID   int
	Application string // of the active process
	Retained    int64  // bytes of WAL from restart_lsn to the end; 0 without a restart_lsn
	Safe        *int64 // bytes that may be written before the slot is in danger of losing WAL; nil without a limit
	Snaps       int    // snapshot files newer than restart_lsn, where Look.SnapLimit is above 0 and the role may count them

	SpilledTransactions, SpilledBytes int64 // since the slot's statistics began

	// Of later versions: 16 has Conflicting, 17 the others.
	Conflicting   bool
	Invalidation  string    // why the slot is lost; empty if it is not, or before 17
	InactiveSince time.Time // zero while it is active, or before 17
}

// Find returns the slot of a name; nil if there is none.
func (l *Look) Find(name string) *SlotState {
	for i := range l.Slots {
		if l.Slots[i].Name == name {
			return &l.Slots[i]
		}
	}
	return nil
}

// snapsEvery is how often the snapshot files are counted, for each that is allowed: with Neon's ten thousand, every 15 seconds,
// in which one comes.
const snapsEvery = 1500 * time.Microsecond

// Watch looks at a server's slots from a connection of its own. One goroutine uses it.
type Watch struct {
	conn    *pgx.Conn
	counted time.Time // when the snapshot files were last counted
	snaps   map[string]int
}

// OpenWatch connects.
func OpenWatch(ctx context.Context, c Config) (*Watch, error) {
	conn, err := Connect(ctx, c)
	if err != nil {
		return nil, err
	}
	return &Watch{conn: conn}, nil
}

// Close disconnects.
func (w *Watch) Close(ctx context.Context) { w.conn.Close(ctx) }

// Look reads the server's slots. Any role may: what only a member of pg_monitor sees is left out without a word.
func (w *Watch) Look(ctx context.Context) (*Look, error) {
	l := &Look{}
	var current string
	var mayCount bool
	var idle int64
	err := w.conn.QueryRow(ctx, `
		SELECT clock_timestamp(), pg_current_wal_lsn()::text,
		       (SELECT CASE WHEN setting = '-1' THEN -1 ELSE setting::bigint << 20 END FROM pg_settings WHERE name = 'max_slot_wal_keep_size'),
		       (SELECT setting::bigint FROM pg_settings WHERE name = 'wal_segment_size'),
		       coalesce((SELECT setting::bigint * CASE unit WHEN 'min' THEN 60 ELSE 1 END FROM pg_settings WHERE name = 'idle_replication_slot_timeout'), 0),
		       coalesce(nullif(current_setting('neon.timeline_id', true), ''), '') <> '',
		       coalesce(nullif(current_setting('neon.logical_replication_max_snap_files', true), '')::int, 0),
		       has_function_privilege('pg_ls_logicalsnapdir()', 'EXECUTE')`).
		Scan(&l.Time, &current, &l.Keep, &l.Segment, &idle, &l.Neon, &l.SnapLimit, &mayCount)
	if err != nil {
		return nil, fmt.Errorf("look at the source's WAL: %w", err)
	}
	l.Idle = time.Duration(idle) * time.Second
	if l.Current, err = parseLSN(current); err != nil {
		return nil, err
	}
	if l.SnapLimit > 0 && mayCount && l.Time.Sub(w.counted) >= time.Duration(l.SnapLimit)*snapsEvery {
		if w.snaps, err = w.countSnaps(ctx); err != nil {
			return nil, err
		}
		w.counted = l.Time
	}
	return l, w.slots(ctx, l)
}

// slots reads all slots. Columns that came with later versions are asked for by way of JSON.
func (w *Watch) slots(ctx context.Context, l *Look) error {
	rows, err := w.conn.Query(ctx, `
		SELECT s.slot_name, coalesce(s.plugin, ''), coalesce(s.database, ''), s.slot_type, coalesce(s.two_phase, false), s.active, coalesce(s.wal_status, ''),
		       coalesce(s.restart_lsn::text, ''), coalesce(s.confirmed_flush_lsn::text, ''),
		       s.temporary, coalesce(s.active_pid, 0), coalesce(a.application_name, ''), s.safe_wal_size,
		       coalesce(t.spill_txns, 0), coalesce(t.spill_bytes, 0),
		       coalesce(j->>'failover' = 'true', false), coalesce(j->>'synced' = 'true', false), coalesce(j->>'conflicting' = 'true', false),
		       coalesce(j->>'invalidation_reason', ''), (j->>'inactive_since')::timestamptz
		FROM pg_replication_slots s CROSS JOIN LATERAL to_jsonb(s) j
		LEFT JOIN pg_stat_activity a ON a.pid = s.active_pid
		LEFT JOIN pg_stat_replication_slots t ON t.slot_name = s.slot_name
		ORDER BY 1`)
	if err != nil {
		return fmt.Errorf("look at the replication slots: %w", err)
	}
	var s SlotState
	var restart, confirmed string
	var inactive *time.Time
	_, err = pgx.ForEachRow(rows, []any{&s.Name, &s.Plugin, &s.Database, &s.Type, &s.TwoPhase, &s.Active, &s.WALStatus, &restart, &confirmed,
		&s.Temporary, &s.ActivePID, &s.Application, &s.Safe, &s.SpilledTransactions, &s.SpilledBytes,
		&s.Failover, &s.Synced, &s.Conflicting, &s.Invalidation, &inactive}, func() error {
		next := s
		s.Safe = nil // which Scan would write through
		var err error
		if next.Restart, err = parseLSN(restart); err != nil {
			return err
		}
		if next.Confirmed, err = parseLSN(confirmed); err != nil {
			return err
		}
		if next.HasRestart = restart != ""; next.HasRestart {
			next.Retained = max(0, int64(l.Current)-int64(next.Restart))
		}
		if inactive != nil {
			next.InactiveSince = *inactive
		}
		next.Snaps = w.snaps[next.Name]
		l.Slots = append(l.Slots, next)
		return nil
	})
	if err != nil {
		return fmt.Errorf("look at the replication slots: %w", err)
	}
	return nil
}

// countSnaps counts for each slot the snapshot files that are newer than its restart_lsn: a file's name is its LSN.
func (w *Watch) countSnaps(ctx context.Context) (map[string]int, error) {
	rows, err := w.conn.Query(ctx, `
		WITH f AS MATERIALIZED (SELECT CASE WHEN name ~ '^[0-9A-F]+-[0-9A-F]+\.snap$' THEN replace(left(name, -5), '-', '/')::pg_lsn END AS lsn FROM pg_ls_logicalsnapdir())
		SELECT s.slot_name, (SELECT count(*) FROM f WHERE f.lsn > s.restart_lsn) FROM pg_replication_slots s WHERE s.slot_type = 'logical'`)
	if err != nil {
		return nil, fmt.Errorf("count the snapshot files: %w", err)
	}
	counts := map[string]int{}
	var name string
	var n int
	if _, err := pgx.ForEachRow(rows, []any{&name, &n}, func() error { counts[name] = n; return nil }); err != nil {
		return nil, fmt.Errorf("count the snapshot files: %w", err)
	}
	return counts, nil
}
