package replay

import (
	"bytes"
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/livedb/livedb/internal/devstack"
)

// small is a stream of some transactions of one row each.
func small(t *testing.T, server *devstack.Postgres) *rig {
	t.Helper()
	r := newRig(t, server, "CREATE TABLE a (id int PRIMARY KEY, v text)")
	r.start()
	for i := range 10 {
		r.exec(fmt.Sprintf("INSERT INTO a VALUES (%d, 'x')", i))
	}
	r.delivered()
	return r
}

// topics lists those of the stream's replays.
func (r *rig) replayTopics() (made []string) {
	r.t.Helper()
	if err := r.client.RefreshMetadata(); err != nil {
		r.t.Fatal(err)
	}
	all, err := r.client.Topics()
	if err != nil {
		r.t.Fatal(err)
	}
	for _, topic := range all {
		if strings.HasPrefix(topic, r.config.Prefix+".replay-") {
			made = append(made, topic)
		}
	}
	return made
}

// unchanged holds that no replay has left anything, on either side.
func (r *rig) unchanged() {
	r.t.Helper()
	if made := r.replayTopics(); len(made) > 0 {
		r.t.Errorf("the topics %v were made", made)
	}
	r.await("SELECT NOT EXISTS (SELECT FROM pg_replication_slots WHERE temporary AND database = current_database())")
}

// What cannot be replayed is refused by name, below the window with the window's true bounds, and nothing is written.
func TestWhatCannotBeReplayedIsRefused(t *testing.T) {
	t.Parallel()
	r := small(t, devstack.SharedPostgres(t))
	all := r.transactions()
	third, last := all[2], all[len(all)-1]
	slot := r.config.Source.Slot + "_replay"
	r.exec(fmt.Sprintf("SELECT pg_replication_slot_advance('%s', '%s')", slot, third.Commit))
	oldest := all[2]
	between := text(oldest.Time.Add(time.Microsecond))
	for _, c := range []struct{ name, from, to string }{
		{"below_replay_window", all[0].Commit.String(), ""},
		{"below_replay_window", "0/1", ""},
		{"below_replay_window", position(all[1], 1), ""},
		{"below_replay_window", text(all[1].Time), ""},
		{"below_replay_window", "1h ago", ""},
		{"replay_place_unknown", fmt.Sprint("xid:", all[1].XID), ""},
		{"replay_place_unknown", position(third, 2), ""},
		{"replay_place_unknown", third.Commit.String(), position(last, 9)},
		{"replay_place_unknown", third.Commit.String(), "xid:4294967290"},
		{"replay_from_after_end", (last.Commit + 1).String(), ""},
		{"replay_from_after_end", "now", ""},
		{"replay_to_before_from", last.Commit.String(), third.Commit.String()},
		{"replay_to_before_from", fmt.Sprint("xid:", last.XID), fmt.Sprint("xid:", third.XID)},
		{"replay_to_before_from", text(last.Time), text(third.Time)},
		{"replay_to_before_from", last.Commit.String(), text(third.Time)},
		{"replay_range_empty", between, between},
		{"replay_from_missing", "", ""},
		{"replay_bound_malformed", "16/x", ""},
		{"replay_bound_malformed", third.Commit.String(), "tomorrow"},
	} {
		result, err := Run(t.Context(), r.replay("none", c.from, c.to))
		refused(t, err, c.name)
		if err == nil || result.Written != 0 {
			t.Errorf("%q to %q: %+v", c.from, c.to, result)
			continue
		}
		if c.name != "below_replay_window" {
			continue
		}
		if w := result.Window; w == nil || w.From != oldest.place(1) || w.To != last.place(1) {
			t.Errorf("%q: the window is %+v", c.from, w)
		}
		for _, says := range []string{position(oldest, 1), fmt.Sprint("seq ", oldest.First), text(oldest.Time), position(last, 1), fmt.Sprint("seq ", last.Last), text(last.Time)} {
			if !strings.Contains(err.Error(), says) {
				t.Errorf("%v does not say %s", err, says)
			}
		}
	}
	for name, change := range map[string]func(*Config){
		"replay_id_malformed":       func(c *Config) { c.ID = "a.b" },
		"replay_rate_malformed":     func(c *Config) { c.Rate = -1 },
		"prefix_malformed":          func(c *Config) { c.Prefix = "a b" },
		"stream_unknown":            func(c *Config) { c.Prefix = "nothing" },
		"publication_changed":       func(c *Config) { c.Source.Publication = "other" },
		"system_identifier_changed": func(c *Config) { c.Source.URL = devstack.TestPostgres(t).URL(); r.other(c.Source.URL) },
	} {
		c := r.replay("none", oldest.Commit.String(), "")
		change(&c)
		_, err := Run(t.Context(), c)
		refused(t, err, name)
	}
	r.unchanged()

	result := r.run(r.replay("edge", oldest.Commit.String(), "")) // the oldest itself is inside
	r.same("edge", result.From.Seq, result.To.Seq)
}

// other gives another server slots of the stream's names.
func (r *rig) other(url string) {
	r.t.Helper()
	other := newRigOn(r.t, url)
	slot := r.config.Source.Slot
	other.exec("CREATE PUBLICATION livedb FOR ALL TABLES", fmt.Sprintf("SELECT pg_create_logical_replication_slot(s, 'pgoutput') FROM unnest(ARRAY['%s', '%[1]s_replay']) s", slot))
}

// A dry run tells what would be replayed and what could be, and changes nothing.
func TestADryRunChangesNothing(t *testing.T) {
	t.Parallel()
	r := small(t, devstack.SharedPostgres(t))
	all := r.transactions()
	c := r.replay("dry", position(all[3], 1), fmt.Sprint("xid:", all[5].XID))
	c.DryRun = true
	result := r.run(c)
	if result.State != Planned || result.Transactions != 3 || result.Events != 3 || result.WALBytes != uint64(all[5].End)-uint64(all[2].Commit) ||
		*result.From != all[3].place(1) || *result.To != all[5].place(1) || result.Window.From != all[0].place(1) || result.Window.To != all[9].place(1) {
		t.Errorf("got %+v, the window %+v", result, result.Window)
	}
	c.From, c.To = "", ""
	if result = r.run(c); result.Transactions != 10 {
		t.Errorf("without bounds: %+v", result)
	}
	r.unchanged()
}

// What a stream cannot tell of, for it began later, is below its window too, though nothing of its own is missing.
func TestBeforeTheStreamIsBelowTheWindow(t *testing.T) {
	t.Parallel()
	r := small(t, devstack.SharedPostgres(t))
	first := r.transactions()[0]
	for _, from := range []string{"0/1", "1h", text(first.Time.Add(-time.Second))} {
		result, err := Run(t.Context(), r.replay("none", from, ""))
		refused(t, err, "below_replay_window")
		if result.Window == nil || result.Window.From != first.place(1) {
			t.Errorf("%s: the window is %+v", from, result.Window)
		}
	}
	for _, from := range []string{"oldest", first.Commit.String(), (first.Commit - 1).String(), text(first.Time), position(first, 1)} {
		c := r.replay("dry", from, "")
		c.DryRun = true
		if result := r.run(c); *result.From != first.place(1) {
			t.Errorf("%s: it begins with %+v", from, result.From)
		}
	}
	r.unchanged()
}

// Lines of JSON are the events in their order, and leave nothing behind.
func TestToAnOutput(t *testing.T) {
	t.Parallel()
	r := small(t, devstack.SharedPostgres(t))
	all := r.transactions()
	var out bytes.Buffer
	c := r.replay("lines", all[4].Commit.String(), all[6].Commit.String())
	c.Output = &out
	r.run(c)
	got := strings.Split(strings.TrimSpace(out.String()), "\n")
	if len(got) != 3 {
		t.Fatalf("got %q", got)
	}
	for i, line := range got {
		begins := fmt.Sprintf(`{"position":"%s","seq":%d,"topic":"%s.public.a","partition":`, position(all[4+i], 1), all[4+i].First, r.config.Prefix)
		holds := fmt.Sprintf(`,"key":{"id":%d},"value":{"before":null,"after":{"id":%[1]d,"v":"x"},"source":{`, 4+i)
		if !strings.HasPrefix(line, begins) || !strings.Contains(line, holds) || !strings.HasSuffix(line, `},"replay":"lines"}`) {
			t.Errorf("got %s", line)
		}
	}
	r.unchanged()
}

// Without a slot to copy, or without room for the copy, the replay is refused before anything is changed, and the stream
// goes on.
func TestWithoutASlotOrRoom(t *testing.T) {
	t.Parallel()
	server := devstack.TestPostgres(t, map[string]string{"max_replication_slots": "3", "max_wal_senders": "3"})
	r := small(t, server)
	from := r.transactions()[0].Commit.String()
	attempt := func(name string) {
		t.Helper()
		_, err := Run(t.Context(), r.replay("none", from, ""))
		refused(t, err, name)
	}
	r.exec("SELECT pg_create_logical_replication_slot('third', 'pgoutput')")
	attempt("slots_exhausted")
	r.exec("SELECT pg_drop_replication_slot('third')")
	free := r.occupy(2)
	attempt("wal_senders_exhausted")
	free()

	slot := r.config.Source.Slot + "_replay"
	r.exec("SELECT pg_create_physical_replication_slot('third')") // so that the stream cannot make the slot anew
	r.exec(fmt.Sprintf("SELECT pg_drop_replication_slot('%s')", slot))
	attempt("replay_slot_missing")
	r.unchanged()
	r.exec("INSERT INTO a VALUES (100, 'x')")
	r.delivered()
}

// A replay that is told to stop stops, and leaves no Kafka transaction open: its readers see what was written at once.
func TestAStoppedReplayGoesOnWithItsID(t *testing.T) {
	t.Parallel()
	r := newRig(t, devstack.SharedPostgres(t), "CREATE TABLE a (id int PRIMARY KEY, v text)")
	r.start()
	r.exec("INSERT INTO a SELECT i, 'x' FROM generate_series(1, 10000) i", "UPDATE a SET v = 'y'")
	r.delivered()
	c := r.replay("slow", "oldest", "now")
	c.Rate, c.Limits.Events = 10_000, 500
	var result *Result
	for runs := 0; ; runs++ {
		ctx, cancel := context.WithCancel(t.Context())
		began := uint64(0)
		one := c
		one.Progress = func(p Progress) {
			if began == 0 {
				began = p.Done + 1
			}
			if p.Done >= began+2500 {
				cancel()
			}
		}
		var err error
		result, err = Run(ctx, one)
		cancel()
		if err == nil {
			if runs < 2 {
				t.Errorf("it was finished in %d runs", runs+1)
			}
			break
		}
		if ctx.Err() == nil || result.State != Running || result.Done == 0 || result.Done == result.Events {
			t.Fatalf("%+v: %v", result, err)
		}
		r.seen(c.ID, result.Done)
		c.From, c.To = "", "" // it is known
	}
	if result.State != Finished || result.Done != 20_000 {
		t.Errorf("got %+v", result)
	}
	r.same("slow", 1, 20_000)

	again := r.run(c)
	if again.State != Finished || again.Written != 0 || again.Done != 20_000 {
		t.Errorf("a replay that was finished: %+v", again)
	}
	c.From = "2m"
	_, err := Run(t.Context(), c)
	refused(t, err, "replay_exists")
}
