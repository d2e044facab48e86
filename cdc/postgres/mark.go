package postgres

import (
	"context"
	"fmt"

	"github.com/livedb/livedb/cdc"
)

// Mark writes a small message of LiveDB's own into the source's WAL, which no stream shows, and returns its LSN: whatever had
// committed before lies before it. Its commit is flushed, so the server has all of that sent soon, also where an application
// commits asynchronously; and a walsender that has nothing else to send says that it came so far.
func Mark(ctx context.Context, c Config) (cdc.LSN, error) {
	conn, err := Connect(ctx, c)
	if err != nil {
		return 0, err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	var lsn string
	if err := conn.QueryRow(ctx, `SELECT pg_logical_emit_message(true, 'livedb', 'drain')::text`).Scan(&lsn); err != nil {
		return 0, fmt.Errorf("mark the end of what is to be drained: %w", err)
	}
	return parseLSN(lsn)
}
