package devstack

import (
	"log/slog"
	"strings"
)

// PostgresConfig says how to run the embedded Postgres. Its zero value is fit for use.
type PostgresConfig struct {
	BinDir   string            // folder with initdb and postgres; "" means LIVEDB_PG_BIN, else what is found, else a download
	Settings map[string]string // server settings, over the defaults
	Dir      string            // where the data folder is made; "" means the system's temporary folder
	Port     int               // 0 means a free one
	Log      *slog.Logger      // nil means none
	Segment  int               // size of a WAL segment in MB, a power of two; 0 means Postgres' own 16

	// StandbyOf is a copy of the data folder of a server that was stopped. This one begins with it, without its slots, as a
	// standby that follows the primary_conninfo of its Settings. Empty means a new server.
	StandbyOf string

	guarded bool // for tests: die by the guard process also where the kernel would do it
}

// StopMode is how Restart ends a running server.
type StopMode int

const (
	// StopFast disconnects clients, writes a checkpoint and ends. It waits for walsenders that have not flushed.
	StopFast StopMode = iota
	// StopImmediate ends without a checkpoint; the next start recovers from the WAL.
	StopImmediate
	// StopKill is kill -9 of the postmaster; its children notice by themselves.
	StopKill
)

// String names the mode as pg_ctl does.
func (m StopMode) String() string {
	switch m {
	case StopImmediate:
		return "immediate"
	case StopKill:
		return "kill"
	default:
		return "fast"
	}
}

// defaultSettings are chosen for a small, heavily updated database that nobody will miss: no fsync, but a bounded disk.
func defaultSettings() map[string]string {
	return map[string]string{
		"listen_addresses": "127.0.0.1",
		"max_connections":  "100",
		"timezone":         "UTC",
		"log_timezone":     "UTC",

		"wal_level":             "logical",
		"max_replication_slots": "20",
		"max_wal_senders":       "20",

		// synchronous_commit keeps its default: turning it off changes when a commit becomes visible to a walsender.
		"fsync":            "off",
		"full_page_writes": "off",

		// A slot that nobody reads must not fill the disk of whoever left the demo running.
		"max_slot_wal_keep_size": "2GB",
		"max_wal_size":           "256MB",
		"min_wal_size":           "64MB",
		"checkpoint_timeout":     "60s",
		"log_checkpoints":        "off",

		"autovacuum":                            "on",
		"autovacuum_naptime":                    "5s",
		"autovacuum_vacuum_threshold":           "100",
		"autovacuum_vacuum_scale_factor":        "0.02",
		"autovacuum_vacuum_insert_scale_factor": "0.1",
		"autovacuum_analyze_scale_factor":       "0.05",
		"autovacuum_vacuum_cost_delay":          "0",
	}
}

// quoteSetting writes a value as postgresql.conf wants it.
func quoteSetting(value string) string {
	return "'" + strings.NewReplacer(`\`, `\\`, `'`, `''`).Replace(value) + "'"
}

func orDiscard(log *slog.Logger) *slog.Logger {
	if log == nil {
		return slog.New(slog.DiscardHandler)
	}
	return log
}
