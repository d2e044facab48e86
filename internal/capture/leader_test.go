package capture_test

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/jackc/pglogrepl"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/livedb/livedb/internal/faults/network"
	"github.com/livedb/livedb/internal/status"
)

// A slot that somebody moves while the stream starts, after the checks and before the first message, would be a hole without a word:
// Postgres forwards the start.
func TestASlotMovedWhileTheStreamStartsIsNoticed(t *testing.T) {
	t.Parallel()
	b := begun(t, newBench(t))
	dialer := network.NewPostgres(1)
	t.Cleanup(dialer.Close)
	b.config.Source.Dial = dialer.Dial
	moved := make(chan struct{})
	held := dialer.Inject(network.Fault{Match: network.Of(b.config.Source.Slot, network.Type("Q")), Action: network.Hold, Until: moved})
	records := b.written()
	ended := b.run(t.Context())
	<-held.Fired()
	b.exec("INSERT INTO a VALUES (20, 'lost')", "SELECT pg_replication_slot_advance('"+b.config.Source.Slot+"', pg_current_wal_lsn())")
	close(moved)
	stops(t, ended, "slot_ahead_of_checkpoint")
	if now := b.written(); fmt.Sprint(now) != fmt.Sprint(records) {
		t.Errorf("it wrote: %v before, %v after", records, now)
	}
	b.config.Source.Dial = nil
	b.refused("slot_ahead_of_checkpoint")
}

// A walsender of a LiveDB that is gone may hold the slot until its timeout. The leader ends it; another program's reader it waits for.
func TestAStaleReaderOfTheSlotIsEnded(t *testing.T) {
	t.Parallel()
	b := begun(t, newBench(t))
	waitsFor := b.counts()
	read := func(application string) *pgconn.PgConn {
		t.Helper()
		config, err := pgconn.ParseConfig(b.config.Source.URL)
		if err != nil {
			t.Fatal(err)
		}
		config.RuntimeParams["replication"], config.RuntimeParams["application_name"] = "database", application
		conn, err := pgconn.ConnectConfig(t.Context(), config)
		if err != nil {
			t.Fatal(err)
		}
		err = pglogrepl.StartReplication(t.Context(), conn, b.config.Source.Slot, 0, pglogrepl.StartReplicationOptions{
			PluginArgs: []string{"proto_version '1'", "publication_names 'livedb'"}})
		if err != nil {
			t.Fatal(err)
		}
		return conn
	}
	stale := read("livedb/" + b.config.Source.Slot)
	defer stale.Close(context.Background())
	ctx, cancel := context.WithCancel(t.Context())
	ended := b.run(ctx)
	b.await(fmt.Sprintf("SELECT EXISTS (SELECT FROM pg_replication_slots WHERE slot_name = '%s' AND active_pid <> %d)", b.config.Source.Slot, stale.PID()))
	cancel()
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
	b.awaitNoSlot()

	other := read("somebody")
	defer other.Close(context.Background())
	stop := b.run(t.Context())
	waitsFor("slot_in_use", 3)
	var pid uint32
	if err := b.conn.QueryRow(t.Context(), "SELECT active_pid FROM pg_replication_slots WHERE slot_name = $1", b.config.Source.Slot).Scan(&pid); err != nil || pid != other.PID() {
		t.Errorf("the slot is read by %d and not by %d any more, %v", pid, other.PID(), err)
	}
	select {
	case err := <-stop:
		t.Errorf("it ended with %v", err)
	default:
	}
}

// A second cdc of the same stream waits for the first one's end, and neither fences nor disturbs it meanwhile.
func TestARightSecondWaitsForTheLeader(t *testing.T) {
	t.Parallel()
	b := newBench(t, "CREATE TABLE a (id int PRIMARY KEY)")
	first, second := *b, *b
	first.counts()
	stop := first.start()
	r := b.reader()
	b.awaitSlot()
	second.config.Status = status.NewBoard("second").Role("cdc")
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	waiting := second.run(ctx)
	poll(t, func() string { return "the second says " + second.config.Status.Status().Detail },
		func() bool { return strings.Contains(second.config.Status.Status().Detail, "another cdc leads") })
	for i := range 5 {
		b.exec(fmt.Sprintf("INSERT INTO a VALUES (%d)", i))
		b.expect(r, fmt.Sprintf(`%d c public.a null -> {"id":%d}`, i+1, i))
	}
	if restarts := testutil.CollectAndCount(first.config.Metrics.Reconnects); restarts > 0 {
		t.Errorf("the first one started again, for %d reasons", restarts)
	}
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	b.exec("INSERT INTO a VALUES (9)")
	b.expect(r, `6 c public.a null -> {"id":9}`)
	cancel()
	if err := <-waiting; err != nil {
		t.Fatal(err)
	}
}
