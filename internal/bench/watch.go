package bench

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"
)

// How often the walsender is looked for, and looked at.
const (
	findInterval   = 5 * time.Millisecond
	sampleInterval = 20 * time.Millisecond
)

// watchWalsender watches the slot's reader from its appearance to its end, or to that of the context, and returns the CPU
// that it used, in seconds; -1 if it was not seen on this machine.
func watchWalsender(ctx context.Context, conn *pgx.Conn, slot string) float64 {
	pid := 0
	for pid == 0 {
		// An error is that of the connection, or of the context's end: either way nothing more is learned.
		err := conn.QueryRow(context.WithoutCancel(ctx), `SELECT coalesce(active_pid, 0) FROM pg_replication_slots WHERE slot_name = $1`, slot).Scan(&pid)
		if err != nil || pid == 0 && !pause(ctx, findInterval) {
			return -1
		}
	}
	if p, found := readProcess(pid); !found || p.name != "postgres" {
		return -1 // it is on another machine, or in another container
	}
	cpu := -1.0
	for {
		now, found := ran(pid)
		if !found {
			return cpu
		}
		cpu = now
		if !pause(ctx, sampleInterval) {
			return cpu
		}
	}
}

// pause waits; it reports false if the context ended.
func pause(ctx context.Context, d time.Duration) bool {
	select {
	case <-ctx.Done():
		return false
	case <-time.After(d):
		return true
	}
}

// postmaster finds the process that the source's backends are children of; 0 if it is not on this machine.
func postmaster(conn *pgx.Conn) int {
	p, found := readProcess(int(conn.PgConn().PID()))
	if !found || p.name != "postgres" {
		return 0
	}
	return p.parent
}

// quiet waits until the machine does little, or for at most limit: what is noisy then is noticed during the run.
func quiet(ctx context.Context, limit time.Duration) {
	const look = 200 * time.Millisecond
	for deadline := time.Now().Add(limit); time.Now().Before(deadline); {
		before := readMachine()
		if !pause(ctx, look) || !tooNoisy(unexplained(before, readMachine(), 0)) {
			return
		}
	}
}
