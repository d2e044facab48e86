package capture_test

import (
	"context"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/livedb/livedb/internal/devstack"
)

// fastStopLimit is what the promise gives Postgres to shut down with LiveDB attached.
const fastStopLimit = 5 * time.Second

// stopsFast restarts the server and holds its way down to the limit.
func stopsFast(t *testing.T, p *devstack.Postgres) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	began := time.Now()
	var took time.Duration
	if err := p.Restart(ctx, devstack.StopFast, func() error { took = time.Since(began); return nil }); err != nil {
		t.Fatal(err)
	}
	t.Logf("postgres stopped within %s", took.Round(time.Millisecond))
	if took > fastStopLimit {
		t.Errorf("with LiveDB attached postgres took %s to stop, and %s is the limit", took, fastStopLimit)
	}
}

// A fast shutdown of Postgres waits until every walsender's client has confirmed all that was sent. LiveDB, attached and with
// nothing to do, confirms at once, again and again.
func TestPostgresStopsFastWithAnIdleStream(t *testing.T) {
	t.Parallel()
	p := devstack.TestPostgres(t)
	b := benchOn(t, p.URL(), "livedb_idle")
	b.exec("CREATE TABLE a (id int PRIMARY KEY)")
	stop := b.start()
	for range 3 {
		b.awaitSlot()
		b.exec("INSERT INTO a SELECT coalesce(max(id), 0) + 1 FROM a", "SELECT pg_switch_wal()")
		b.conn.Close(context.Background())
		stopsFast(t, p)
		var err error
		if b.conn, err = pgx.Connect(t.Context(), p.URL()); err != nil {
			t.Fatal(err)
		}
	}
	b.awaitSlot()
	if err := stop(); err != nil {
		t.Fatal(err)
	}
}

// Under load, too, with transactions under way and a replay slot that follows; afterwards nothing is lost.
func TestPostgresStopsFastWithALoadedStream(t *testing.T) {
	t.Parallel()
	server := devstack.TestPostgres(t)
	r := newRig(t, server, nil)
	for range 3 {
		r.progress()
		r.conn.Close(t.Context())
		stopsFast(t, server)
		var err error
		if r.conn, err = pgx.Connect(t.Context(), r.config.Source.URL); err != nil {
			t.Fatal(err)
		}
	}
	r.progress()
	r.finish()
}
