package check

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/livedb/livedb/cdc"
	"github.com/livedb/livedb/cdc/postgres"
	"github.com/livedb/livedb/internal/capture"
)

// wellServer is a server that no rule has anything against.
func wellServer() *server {
	return &server{Version: 180004, VersionText: "18.4", Database: "shop", WALLevel: "logical", User: "ann", Replication: true, ReadsStats: true, MayCreate: true,
		MaxSlots: 10, MaxSenders: 10, KeepSizeMB: 1024}
}

func wellFacts() *facts {
	return &facts{c: Config{Stream: capture.Config{Prefix: "p", Partitions: 4, Source: postgres.Config{Slot: "livedb", Publication: "livedb"}}},
		host: "db.example.com", address: "db.example.com:5432/shop", server: wellServer(), slotsKnown: true, tablesKnown: true}
}

// What this machine's servers cannot show: other versions, and what a test would take hours to bring about.
func TestRulesOfWhatNoTestServerShows(t *testing.T) {
	own := func(f *facts) *slot {
		f.slots = []slot{{Name: "livedb", Type: "logical", Plugin: "pgoutput", Database: "shop", HasRestart: true, WALStatus: "reserved", Safe: 1 << 30, Failover: true}}
		return &f.slots[0]
	}
	for _, c := range []struct {
		story string
		with  func(f *facts)
		slug  string // none: nothing is found
		says  string
	}{
		{"a server that is well", func(f *facts) {}, "", ""},
		{"a slot that is well", func(f *facts) { own(f) }, "", ""},
		{"Postgres 14", func(f *facts) { f.server.Version, f.server.VersionText = 140018, "14.18" }, "server_version_unsupported", "Postgres 14.18"},
		{"an old minor of 15", func(f *facts) { f.server.Version, f.server.VersionText = 150013, "15.13" }, "server_minor_old", "15.14 or later"},
		{"the first good minor of 17", func(f *facts) { f.server.Version = 170006 }, "", ""},
		{"an old minor of 17", func(f *facts) { f.server.Version = 170005 }, "server_minor_old", "17.6"},
		{"the first of 18", func(f *facts) { f.server.Version = 180000 }, "", ""},
		{"a read replica", func(f *facts) { f.server.InRecovery = true }, "source_is_replica", "primary"},
		{"a limit on transactions", func(f *facts) { f.server.TransactionTimeout, f.server.TransactionTimeoutSet = "5min", true }, "session_timeout", `ALTER ROLE "ann" SET transaction_timeout = 0;`},
		{"a slot that no standby has", func(f *facts) { own(f).Failover = false }, "slot_not_failover", `ALTER_REPLICATION_SLOT "livedb" (FAILOVER true);`},
		{"the same before 17", func(f *facts) { own(f).Failover, f.server.Version = false, 160013 }, "", ""},
		{"an hour left at the present rate", func(f *facts) {
			own(f)
			f.server.Now, f.server.WALSince = time.Unix(1000, 0), time.Unix(0, 0)
			f.server.WALBytes = 1000 * float64(1<<30) / 3600
		}, "", ""},
		{"five minutes left at the present rate", func(f *facts) {
			own(f)
			f.server.Now, f.server.WALSince = time.Unix(1000, 0), time.Unix(0, 0)
			f.server.WALBytes = 1000 * float64(1<<30) / 300
		}, "safe_wal_low", "5m0s at the average of 3.4 MB a second"},
		{"little left", func(f *facts) { own(f).Safe = 100 << 20 }, "safe_wal_low", "max_slot_wal_keep_size = '2048MB'"},
		{"nothing left, and not lost yet", func(f *facts) { s := own(f); s.WALStatus, s.Safe = "unreserved", -1 }, "safe_wal_low", "with the next checkpoint"},
		{"a name that Kafka does not take", func(f *facts) {
			f.tables = []table{{Schema: "s", Name: strings.Repeat("x", 250), Identity: "f", Key: []string{"id"}, Readable: true, Owned: true, HasIdentity: true}}
			f.c.Stream.Source.Tables = []string{"s." + f.tables[0].Name}
		}, "topic_name_too_long", "leave the table out"},
		{"a slot at 69 of Neon's 100 files", func(f *facts) {
			f.neon, f.snapshots = true, &snapshots{Limit: 100, After: map[string]int{"livedb": 70}}
		}, "neon_keeps_awake", ""},
		{"a slot at 71 of Neon's 100 files", func(f *facts) {
			f.neon, f.snapshots = true, &snapshots{Limit: 100, After: map[string]int{"livedb": 71}}
		}, "neon_slot_expiry", "about 7m15s of writing"},
		{"wal_level on Neon", func(f *facts) { f.neon, f.server.WALLevel = true, "replica" }, "wal_level_not_logical", "restarts its computes"},
		{"slots on Neon", func(f *facts) { f.neon, f.server.Slots = true, 9 }, "slots_exhausted", "Neon's support"},
		{"senders on Neon", func(f *facts) { f.neon, f.server.Senders = true, 9 }, "wal_senders_exhausted", "Neon's support"},
		{"a role on Neon", func(f *facts) { f.neon, f.server.Replication = true, false }, "role_lacks_replication", "made in Neon's console"},
		{"Neon in clear", func(f *facts) { f.neon, f.inClear = true, true }, "source_tls_required", "sslmode=disable"},
	} {
		f := wellFacts()
		c.with(f)
		f.c.Stream.Source.Tables = append(f.c.Stream.Source.Tables, "s.t")
		f.tables = append(f.tables, table{Schema: "s", Name: "t", Identity: "f", Key: []string{"id"}, Readable: true, Owned: true, HasIdentity: true})
		var all []Finding
		for _, rules := range []func() []Finding{f.serverRules, f.slotRules, f.publicationRules, f.tableRules, f.neonRules, f.streamRules} {
			all = append(all, rules()...)
		}
		ok := len(all) == 0
		for _, found := range all {
			ok = ok || found.Slug == c.slug && strings.Contains(fmt.Sprint(found), c.says)
			if f.neon && strings.Contains(found.SQL, "ALTER SYSTEM") {
				t.Errorf("%s: nobody may run this on Neon: %s", c.story, found.SQL)
			}
		}
		if !ok || c.slug == "" && len(all) > 0 || c.slug != "" && len(all) == 0 {
			t.Errorf("%s: want %q with %q, got %+v", c.story, c.slug, c.says, all)
		}
	}
}

// The start is the judge of a stream: what it lets pass is not told, what it refuses is, in its words.
func TestTheStartJudgesTheStream(t *testing.T) {
	stream := func() []Finding {
		return []Finding{found("timeline_changed", "s", "x", "y"), found("slot_missing", "s", "x", "y"), found("topic_shared", "t", "x", "y").as(Error)}
	}
	others := []Finding{found("select_denied", "s", "x", "y")}
	for _, c := range []struct {
		refusal *cdc.Refusal
		want    string
	}{
		{nil, "topic_shared y"},
		{&cdc.Refusal{Name: "slot_missing", Unsafe: true, Remedy: "z"}, "timeline_changed y, slot_missing z, topic_shared y"},
		{&cdc.Refusal{Name: "select_denied", Remedy: "z"}, "timeline_changed y, slot_missing y, topic_shared y"},
		{&cdc.Refusal{Name: "topic_missing", Unsafe: true, Remedy: "z"}, "timeline_changed y, slot_missing y, topic_shared y, topic_missing z"},
		{&cdc.Refusal{Name: "of_tomorrow", Unsafe: true, Remedy: "z"}, "slot_missing y, topic_shared y, of_tomorrow z"},
	} {
		var told []string
		for _, f := range besideStart(stream(), others, c.refusal) {
			told = append(told, f.Slug+" "+f.Remedy)
		}
		if got := strings.Join(told, ", "); got != c.want {
			t.Errorf("%v: %s, want %s", c.refusal, got, c.want)
		}
	}
}

func TestNeonIsKnownByItsHost(t *testing.T) {
	for host, neon := range map[string]bool{"ep-a.eu.neon.tech": true, "EP-A.EU.NEON.TECH": true, "ep-a.us-east-2.aws.neon.build": true, "neon.tech.example.com": false, "127.0.0.1": false} {
		if isNeon(host) != neon {
			t.Errorf("%s", host)
		}
	}
}

// Each finding stands once, the worst of each scope first, and only those asked for.
func TestFindingsAreSettled(t *testing.T) {
	all := []Finding{found("clock_skew", "b", "", ""), found("slot_missing", "x", "", ""), found("clock_skew", "a", "", ""), found("clock_skew", "b", "", ""),
		found("prefix_malformed", "y", "", ""), found("neon_keeps_awake", "z", "", "")}
	var told []string
	for _, f := range settle(all, nil) {
		told = append(told, f.Slug+" "+f.Object)
	}
	if got := strings.Join(told, ", "); got != "prefix_malformed y, slot_missing x, clock_skew a, clock_skew b, neon_keeps_awake z" {
		t.Error(got)
	}
	if some := settle(all, []Scope{Neon}); len(some) != 1 || some[0].Slug != "neon_keeps_awake" {
		t.Errorf("%+v", some)
	}
}

// Slugs are an interface: each stands in docs/check.md, with its scope and its severity, and a test of this package
// provokes it.
func TestEveryFindingIsDocumentedAndProvoked(t *testing.T) {
	text, err := os.ReadFile("../../docs/check.md")
	if err != nil {
		t.Fatal(err)
	}
	documented := map[string]Known{}
	for _, row := range regexp.MustCompile("(?m)^\\| `([a-z_]+)` \\| ([a-z]+) \\| ([a-z]+) \\|").FindAllStringSubmatch(string(text), -1) {
		documented[row[1]] = Known{Scope(row[2]), Severity(row[3])}
	}
	tests, err := filepath.Glob("*_test.go")
	if err != nil {
		t.Fatal(err)
	}
	provoked := map[string]bool{}
	for _, file := range tests {
		code, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, literal := range regexp.MustCompile(`"([a-z_]+)"`).FindAllStringSubmatch(string(code), -1) {
			provoked[literal[1]] = true
		}
	}
	for slug, known := range catalogue {
		if documented[slug] != known {
			t.Errorf("%s: docs/check.md says %v, the catalogue %v", slug, documented[slug], known)
		}
		if !provoked[slug] {
			t.Errorf("no test provokes %s", slug)
		}
	}
	for slug := range documented {
		if _, known := catalogue[slug]; !known {
			t.Errorf("docs/check.md tells of %s, which is never found", slug)
		}
	}
}
