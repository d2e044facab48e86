package postgres

import (
	"fmt"
	"strings"
	"testing"

	"github.com/livedb/livedb/internal/devstack"
)

// A look tells of a slot what the server's version knows; where Neon's number of snapshot files limits the slots, it counts for
// each those that are newer.
func TestALookAtTheSlots(t *testing.T) {
	t.Parallel()
	p := devstack.TestPostgresWith(t, devstack.PostgresConfig{Segment: 1, Settings: map[string]string{
		"max_slot_wal_keep_size": "64MB", "neon.logical_replication_max_snap_files": "20", "neon.timeline_id": "aaaa"}})
	c := Config{URL: p.URL(), Slot: "livedb", Publication: "livedb"}
	conn, err := Dial(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := conn.CreateSlot(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := CreateReplaySlot(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	sql, err := Connect(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	defer sql.Close(t.Context())
	var version int
	if err := sql.QueryRow(t.Context(), "SELECT current_setting('server_version_num')::int").Scan(&version); err != nil {
		t.Fatal(err)
	}
	for i := range 3 { // each checkpoint logs the running transactions, of which the slot that is moved writes a file
		for _, statement := range []string{fmt.Sprintf("CREATE TABLE public.t%d (id int)", i), "CHECKPOINT", "SELECT pg_replication_slot_advance('livedb', pg_current_wal_lsn())"} {
			if _, err := sql.Exec(t.Context(), statement); err != nil {
				t.Fatalf("%s: %v", statement, err)
			}
		}
	}
	w, err := OpenWatch(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close(t.Context())
	look, err := w.Look(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	live, replay := look.Find("livedb"), look.Find("livedb_replay")
	if look.Keep != 64<<20 || look.Segment != 1<<20 || look.SnapLimit != 20 || !look.Neon || live == nil || replay == nil || look.Find("other") != nil {
		t.Fatalf("%+v", look)
	}
	if live.Failover != (version >= 170000) || replay.Failover {
		t.Errorf("failover: %v and %v on %d", live.Failover, replay.Failover, version)
	}
	if live.InactiveSince.IsZero() != (version < 170000) {
		t.Errorf("inactive since %s on %d", live.InactiveSince, version)
	}
	if live.Active || live.Safe == nil || *live.Safe <= 0 || live.Plugin != "pgoutput" || replay.Retained <= live.Retained || replay.Confirmed >= live.Confirmed {
		t.Errorf("%+v and %+v", live, replay)
	}
	if replay.Snaps < 2 || live.Snaps >= replay.Snaps {
		t.Errorf("%d snapshot files are newer than the stream's slot, and %d than the replay slot", live.Snaps, replay.Snaps)
	}
	if names := look.Slots[0].Name + " " + look.Slots[1].Name; len(look.Slots) != 2 || !strings.HasPrefix(names, "livedb livedb_replay") {
		t.Errorf("the slots are %s", names)
	}
}

func TestSizes(t *testing.T) {
	for text, want := range map[string]int64{"0": 0, "64kB": 64 << 10, "512MB": 512 << 20, "2GB": 2 << 30, "1TB": 1 << 40, "512": -1, "512 MB": -1, "-1MB": -1, "1.5GB": -1, "": -1, "9999999999TB": -1} {
		if got, ok := ParseSize(text); ok != (want >= 0) || ok && got != want {
			t.Errorf("%q: %d, %v", text, got, ok)
		}
	}
}
