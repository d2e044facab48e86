package main

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/livedb/livedb/cdc"
	"github.com/livedb/livedb/cdc/postgres"
	"github.com/livedb/livedb/internal/devstack"
)

// The stream's slots are shown with who reads them and what they keep; only what nobody needs goes, and only after the word.
func TestSlotsAreShownMadeAndDropped(t *testing.T) {
	url := devstack.TestDatabase(t, devstack.SharedPostgres(t))
	name, _, _ := strings.Cut(url[strings.LastIndex(url, "/")+1:], "?")
	replay, prefix := name+"_replay", strings.ReplaceAll(name, "_", "-")
	sql(t, url, "CREATE TABLE a (id serial PRIMARY KEY)")
	source := []string{"--source", url, "--slot", name}
	slots := func(code int, says string, args ...string) string {
		t.Helper()
		got, stdout, stderr := livedb(t, t.Context(), append(append([]string{"slots"}, args...), source...)...)
		if got != code || !strings.Contains(stdout+stderr, says) {
			t.Errorf("slots %v: exit %d, want %d and %q: %s%s", args, got, code, says, stdout, stderr)
		}
		return stdout
	}
	slots(exitFailure, "stream_not_begun", "create")

	running := start(t, append([]string{"cdc", "--kafka", devstack.TestKafka(t)[0], "--prefix", prefix}, source...)...)
	running.await("the replay slot was made")
	var list slotList
	if err := json.Unmarshal([]byte(slots(exitDone, "", "--json")), &list); err != nil {
		t.Fatal(err)
	}
	find := func(name string) *slotEntry {
		t.Helper()
		i := slices.IndexFunc(list.Slots, func(s slotEntry) bool { return s.Name == name })
		if i < 0 {
			t.Fatalf("no slot %s in %+v", name, list)
		}
		return &list.Slots[i]
	}
	if s := find(name); s.Role != "stream" || s.ActivePID == 0 || s.Application != "livedb/"+name || s.Status != "reserved" || s.Safe == nil || s.Confirmed == "" {
		t.Errorf("the stream's slot is %+v", s)
	}
	if s := find(replay); s.Role != "replay" || s.ActivePID != 0 || s.Plugin != "pgoutput" {
		t.Errorf("the replay slot is %+v", s)
	}
	slots(exitDone, "READ BY", "list")
	slots(exitFailure, "slot_in_use", "drop", name, "--yes", "--lose-stream")
	slots(exitFailure, "slot_exists", "create")
	slots(exitUsage, "takes no name", "list", name)
	slots(exitUsage, "needs the name", "drop")
	if err := running.stop(syscall.SIGTERM, 20*time.Second); err != nil {
		t.Errorf("cdc ended with %v", err)
	}

	slots(exitFailure, "not_confirmed", "drop", replay)
	slots(exitDone, "dropped "+replay, "drop", replay, "--yes")
	slots(exitFailure, "slot_unknown", "drop", replay, "--yes")
	slots(exitDone, "made "+replay, "create")
	slots(exitFailure, "slot_needed", "drop", name, "--yes")
	slots(exitDone, "dropped "+name, "drop", name, "--yes", "--lose-stream")
	sql(t, url, "SELECT pg_create_physical_replication_slot('"+name+"_p')")
	slots(exitFailure, "slot_foreign", "drop", name+"_p", "--yes", "--lose-stream")
	sql(t, url, "SELECT pg_drop_replication_slot('"+name+"_p')")
}

// A drain is a command that ends, and says what it did.
func TestDrainingAgainAndAgain(t *testing.T) {
	url := devstack.TestDatabase(t, devstack.SharedPostgres(t))
	name, _, _ := strings.Cut(url[strings.LastIndex(url, "/")+1:], "?")
	sql(t, url, "CREATE TABLE a (id serial PRIMARY KEY)")
	broker := devstack.TestKafka(t)[0]
	for round, want := range []float64{0, 3, 0, 1} { // what was written after the round before
		code, stdout, stderr := livedb(t, t.Context(), "cdc", "--drain", "--json", "--source", url, "--slot", name, "--kafka", broker, "--prefix", strings.ReplaceAll(name, "_", "-"))
		var did map[string]any
		if err := json.Unmarshal([]byte(stdout), &did); code != exitDone || err != nil || did["events"] != want || did["drained"] != true || did["to_lsn"] == "" {
			t.Fatalf("round %d: exit %d, %s%s", round, code, stdout, stderr)
		}
		sql(t, url, fmt.Sprintf("INSERT INTO a SELECT FROM generate_series(1, %d)", []int{3, 0, 1, 0}[round]))
	}
}

// What a look at the slots means, for a person.
func TestWhatSlotsMean(t *testing.T) {
	safe := int64(60 << 20)
	slot := func(name, status string, retained int64, active int) postgres.SlotState {
		return postgres.SlotState{Slot: postgres.Slot{Name: name, Type: "logical", Plugin: "pgoutput", WALStatus: status, Restart: 5, HasRestart: status != "lost", Active: active > 0},
			ActivePID: active, Retained: retained, Safe: &safe}
	}
	look := &postgres.Look{Current: cdc.LSN(1 << 30), Keep: -1, Slots: []postgres.SlotState{
		slot("livedb", "reserved", 1<<20, 77), slot("livedb_replay", "lost", 0, 0), slot("old", "extended", 5<<30, 0), slot("other", "unreserved", 3<<20, 9)}}
	list := newSlotList(look, 1<<20, "livedb")
	if list.Holds != "old" || list.Keep != nil || *list.Slots[0].Runway != 60 {
		t.Errorf("%+v", list)
	}
	for _, want := range []string{"max_slot_wal_keep_size is not set", "livedb_replay has lost its WAL; a running cdc", "nobody reads old, which keeps 5.0 GB", "other loses its WAL at the next checkpoint"} {
		if !slices.ContainsFunc(list.Hints, func(h string) bool { return strings.Contains(h, want) }) {
			t.Errorf("no hint says %q: %q", want, list.Hints)
		}
	}
	if len(list.Hints) != 4 {
		t.Errorf("hints: %q", list.Hints)
	}
}
