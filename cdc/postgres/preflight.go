package postgres

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/livedb/livedb/cdc"
)

// Server is what a source says about itself and about the stream's objects.
type Server struct {
	Version      int    // server_version_num
	VersionText  string // such as 15.18
	Database     string
	Current      cdc.LSN // pg_current_wal_lsn
	NeonTimeline string  // empty elsewhere

	Slot        *Slot        // nil if there is none
	Replay      *Slot        // the one that lags behind it; nil if there is none
	Publication *Publication // nil if there is none

	// Wanted are the configured tables, as long as there is no publication.
	Wanted []PublishedTable

	// Harm is what the publication does to the application; nil: nothing. It is no reason to end a stream, which loses nothing by it.
	Harm *cdc.Refusal
}

// Slot is a replication slot as pg_replication_slots shows it.
type Slot struct {
	Name, Plugin, Database string
	Type                   string // logical or physical
	TwoPhase               bool
	Active                 bool
	WALStatus              string
	Restart, Confirmed     cdc.LSN
	HasRestart             bool // false once the slot lost its WAL
	Failover               bool // standbys keep a copy of it; never before Postgres 17
	Synced                 bool // it is, or was before a promotion, such a copy
}

// slotsNeeded are the stream's own, the one that lags behind it, and a temporary copy of that one at each start.
const slotsNeeded = 3

// Inspect looks at the server alone and refuses one that cannot serve a stream. It only reads.
func Inspect(ctx context.Context, c Config) (*Server, error) {
	conn, err := Connect(ctx, c)
	if err != nil {
		return nil, err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	return inspect(ctx, conn, c)
}

// Preflight looks at the source and refuses one that cannot serve the stream. It only reads.
func Preflight(ctx context.Context, c Config) (*Server, error) {
	conn, err := Connect(ctx, c)
	if err != nil {
		return nil, err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	return preflight(ctx, conn, c)
}

func preflight(ctx context.Context, conn *pgx.Conn, c Config) (*Server, error) {
	s, err := inspect(ctx, conn, c)
	if err != nil {
		return nil, err
	}
	if err := checkSlot(s, c); err != nil {
		return nil, err
	}
	if s.Publication == nil {
		s.Wanted, err = checkTables(ctx, conn, c)
	} else {
		err = checkPublication(ctx, conn, c, s)
	}
	return s, err
}

func inspect(ctx context.Context, conn *pgx.Conn, c Config) (*Server, error) {
	s := &Server{}
	var walLevel, user string
	var mayReplicate bool
	var maxSlots, slots int
	var inRecovery bool
	err := conn.QueryRow(ctx, `
		SELECT current_setting('server_version_num')::int, current_setting('server_version'), current_database(),
		       current_setting('wal_level'), current_user, pg_is_in_recovery(),
		       (SELECT rolreplication OR rolsuper FROM pg_roles WHERE rolname = current_user),
		       current_setting('max_replication_slots')::int, (SELECT count(*) FROM pg_replication_slots),
		       coalesce(current_setting('neon.timeline_id', true), '')`).
		Scan(&s.Version, &s.VersionText, &s.Database, &walLevel, &user, &inRecovery, &mayReplicate, &maxSlots, &slots, &s.NeonTimeline)
	if err != nil {
		return nil, fmt.Errorf("read the source's settings: %w", err)
	}
	s.VersionText, _, _ = strings.Cut(s.VersionText, " ")
	switch {
	case s.Version < 150000:
		return nil, &cdc.Refusal{Name: "server_version_unsupported", Problem: "the source is Postgres " + s.VersionText, Remedy: "use Postgres 15 or later"}
	case inRecovery:
		return nil, &cdc.Refusal{Name: "source_is_replica", Problem: "the source is a read replica", Remedy: "point --source at the primary"}
	case walLevel != "logical":
		return nil, &cdc.Refusal{Name: "wal_level_not_logical", Problem: fmt.Sprintf("the source's wal_level is %s, which carries no row changes", walLevel),
			Remedy: "run ALTER SYSTEM SET wal_level = 'logical' and restart the server (on Neon: Project settings, Logical replication, Enable)"}
	case !mayReplicate:
		return nil, roleRefusal(user)
	}
	if s.Current, err = currentLSN(ctx, conn); err != nil {
		return nil, err
	}
	if s.Slot, err = readSlot(ctx, conn, c.Slot); err != nil {
		return nil, err
	}
	if s.Replay, err = readSlot(ctx, conn, ReplaySlot(c.Slot)); err != nil {
		return nil, err
	}
	if s.Slot == nil && slots+slotsNeeded > maxSlots {
		return nil, &cdc.Refusal{Name: "slots_exhausted", Problem: fmt.Sprintf("%d of the source's %d replication slots are taken and a stream needs %d", slots, maxSlots, slotsNeeded),
			Remedy: "drop a slot that nobody reads, or raise max_replication_slots"}
	}
	s.Publication, err = readPublication(ctx, conn, c.Publication)
	return s, err
}

func currentLSN(ctx context.Context, conn *pgx.Conn) (cdc.LSN, error) {
	var text string
	if err := conn.QueryRow(ctx, `SELECT pg_current_wal_lsn()::text`).Scan(&text); err != nil {
		return 0, fmt.Errorf("read the source's WAL position: %w", err)
	}
	return parseLSN(text)
}

func readSlot(ctx context.Context, conn *pgx.Conn, name string) (*Slot, error) {
	s := Slot{Name: name}
	var restart, confirmed string
	err := conn.QueryRow(ctx, `
		SELECT coalesce(plugin, ''), slot_type, coalesce(database, ''), coalesce(two_phase, false), active, coalesce(wal_status, 'lost'),
		       coalesce(restart_lsn::text, ''), coalesce(confirmed_flush_lsn::text, ''),
		       coalesce((to_jsonb(s)->>'failover')::bool, false), coalesce((to_jsonb(s)->>'synced')::bool, false)
		FROM pg_replication_slots s WHERE slot_name = $1`, name).
		Scan(&s.Plugin, &s.Type, &s.Database, &s.TwoPhase, &s.Active, &s.WALStatus, &restart, &confirmed, &s.Failover, &s.Synced)
	if errors.Is(err, pgx.ErrNoRows) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read the slot %s: %w", name, err)
	}
	s.HasRestart = restart != ""
	if s.Restart, err = parseLSN(restart); err != nil {
		return nil, err
	}
	s.Confirmed, err = parseLSN(confirmed)
	return &s, err
}

// checkSlot refuses a slot that is not ours to read.
func checkSlot(s *Server, c Config) error {
	slot := s.Slot
	switch {
	case slot == nil:
		return nil
	case slot.Type != "logical" || slot.Plugin != "pgoutput":
		return &cdc.Refusal{Name: "slot_wrong_plugin", Problem: fmt.Sprintf("the slot %s is a %s slot with plugin %q", c.Slot, slot.Type, slot.Plugin),
			Remedy: "name another slot with --slot; LiveDB reads logical slots with pgoutput"}
	case slot.Database != s.Database:
		return &cdc.Refusal{Name: "slot_other_database", Problem: fmt.Sprintf("the slot %s belongs to the database %s, not to %s", c.Slot, slot.Database, s.Database),
			Remedy: "name that database in --source, or another slot with --slot"}
	case slot.TwoPhase:
		return &cdc.Refusal{Name: "slot_two_phase", Problem: fmt.Sprintf("the slot %s decodes prepared transactions before they commit", c.Slot),
			Remedy: "drop it, or name another slot with --slot; LiveDB creates its own without two_phase"}
	}
	return nil
}

// LostWAL reports whether Postgres no longer keeps the WAL for a slot, from its wal_status and whether it has a restart_lsn.
func LostWAL(status string, hasRestart bool) bool { return status == "lost" || !hasRestart }

// CheckWAL refuses a slot that Postgres no longer keeps the WAL for. One that is only unreserved may still be read: it
// names a loss by itself, when it comes to it.
func (s *Slot) CheckWAL() error {
	if !LostWAL(s.WALStatus, s.HasRestart) {
		return nil
	}
	return &cdc.Refusal{Name: "slot_wal_lost", Unsafe: true, Problem: fmt.Sprintf("the slot %s has lost WAL (wal_status %s)", s.Name, s.WALStatus),
		Remedy: "changes are lost to this stream: drop the slot and start a new stream under another --prefix"}
}

func parseLSN(text string) (cdc.LSN, error) {
	if text == "" {
		return 0, nil
	}
	return cdc.ParseLSN(text)
}

func quote(name string) string { return pgx.Identifier{name}.Sanitize() }
