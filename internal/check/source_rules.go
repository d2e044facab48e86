package check

import (
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/livedb/livedb/cdc/postgres"
)

// What a stream needs beside what it has: its own slot, the one that lags behind it, and a temporary copy of that; a sender
// for the stream and one for the copy.
const (
	slotsNeeded   = 3
	sendersNeeded = 2
)

// Bounds of the rules.
const (
	skewLimit   = 2 * time.Second
	safeShare   = 5                // a slot that may lose its WAL after a fifth of the limit, or
	safeRunway  = 15 * time.Minute // in less than this at the average rate, is near its end
	keepDefault = "10GB"
)

// fixedMinor are the minor versions in which bugs that harm logical decoding were fixed, by major version.
var fixedMinor = map[int]int{15: 14, 16: 10, 17: 6}

func ident(name string) string   { return pgx.Identifier{name}.Sanitize() }
func literal(text string) string { return "'" + strings.ReplaceAll(text, "'", "''") + "'" }

// systemSQL sets a setting of the server; the reload is left out where only a restart does it.
func systemSQL(name, value string, reload bool) string {
	sql := fmt.Sprintf("ALTER SYSTEM SET %s = %s;", name, value)
	if reload {
		sql += "\nSELECT pg_reload_conf();"
	}
	return sql
}

// serverRules judge the server and the role.
func (f *facts) serverRules() (all []Finding) {
	s := f.server
	object := "server " + f.address
	if major, minor := s.Version/10000, s.Version%10000; major < 15 {
		all = append(all, found("server_version_unsupported", object, "the source is Postgres "+s.VersionText, "use Postgres 15 or later"))
	} else if minor < fixedMinor[major] {
		all = append(all, found("server_minor_old", object, "the source is Postgres "+s.VersionText+", whose logical decoding has bugs that are known",
			fmt.Sprintf("install the minor release %d.%d or later", major, fixedMinor[major])).
			because("Among them: WAL removed too early, waits without end after a crash, changes lost beside DDL."))
	}
	if s.InRecovery {
		all = append(all, found("source_is_replica", object, "the source is a read replica", "point --source at the primary"))
	}
	if s.WALLevel != "logical" {
		all = append(all, f.walLevel(object))
	}
	if !s.Replication {
		all = append(all, f.roleLacksReplication())
	}
	if s.TransactionTimeoutSet {
		all = append(all, found("session_timeout", "role "+s.User, fmt.Sprintf("sessions of this role have a transaction_timeout of %s, which can end long work of LiveDB's, such as decoding a large transaction or moving the replay slot", s.TransactionTimeout),
			"set it to 0 for this role").with(fmt.Sprintf("ALTER ROLE %s SET transaction_timeout = 0;", ident(s.User))))
	}
	all = append(all, f.retention(object)...)
	if skew := f.skew.Abs(); skew > skewLimit {
		all = append(all, found("clock_skew", object, fmt.Sprintf("the server's clock is %s %s ours, so every latency is shown wrong by that", skew.Round(time.Millisecond), map[bool]string{true: "ahead of", false: "behind"}[f.skew > 0]),
			"have both machines follow the same time servers (NTP)"))
	}
	all = append(all, f.slotRoom(object)...)
	return append(all, f.activity()...)
}

func (f *facts) walLevel(object string) Finding {
	summary := fmt.Sprintf("the source's wal_level is %s, which carries no row changes", f.server.WALLevel)
	if f.neon {
		return found("wal_level_not_logical", object, summary, "turn on Logical replication in the Neon console (Project settings), or enable_logical_replication by its API").
			because("It is a setting of the whole project, cannot be turned off again, and restarts its computes.")
	}
	return found("wal_level_not_logical", object, summary, "run the SQL as an administrator and restart the server").with(systemSQL("wal_level", "'logical'", false))
}

func (f *facts) roleLacksReplication() Finding {
	user := f.server.User
	finding := found("role_lacks_replication", "role "+user, fmt.Sprintf("the role %s may not replicate", user), "run the SQL as an administrator").
		with(fmt.Sprintf("ALTER ROLE %s WITH REPLICATION;", ident(user)))
	if f.neon {
		finding.Remedy = "use a role made in Neon's console, CLI or API, or try the SQL as one of these"
	}
	return finding
}

func (f *facts) retention(object string) []Finding {
	if f.server.KeepSizeMB >= 0 {
		return nil
	}
	finding := found("slot_retention_unbounded", object, "the source keeps WAL for a slot without a limit: a stream that stands still for long fills its disk",
		"choose a limit that the disk can bear; a managed service has it among its parameters").with(systemSQL("max_slot_wal_keep_size", literal(keepDefault), true))
	if f.neon {
		finding.SQL, finding.Severity, finding.Remedy = "", Info, "nothing: Neon removes slots by a rule of its own, see neon_slot_expiry"
	}
	return []Finding{finding}
}

// slotRoom judges whether there is room for what the stream still has to make.
func (f *facts) slotRoom(object string) (all []Finding) {
	s := f.server
	if f.slotsKnown {
		needed := slotsNeeded
		if f.slot(f.c.Stream.Source.Slot) != nil {
			needed--
		}
		if f.slot(postgres.ReplaySlot(f.c.Stream.Source.Slot)) != nil {
			needed--
		}
		if s.Slots+needed > s.MaxSlots {
			finding := found("slots_exhausted", object, fmt.Sprintf("%d of the source's %d replication slots are taken and the stream needs %d more", s.Slots, s.MaxSlots, needed),
				"drop a slot that nobody reads, or run the SQL and restart the server").
				with(systemSQL("max_replication_slots", fmt.Sprint(s.Slots+needed+2), false)).because(f.idleSlots())
			if f.neon {
				finding.SQL, finding.Remedy = "", "drop a slot that nobody reads, or ask Neon's support for more"
			}
			all = append(all, finding)
		}
	}
	needed := sendersNeeded - min(s.Ours, 1)
	if s.Senders+needed <= s.MaxSenders {
		return all
	}
	finding := found("wal_senders_exhausted", object, fmt.Sprintf("%d of the source's %d walsenders are taken and the stream needs %d more", s.Senders, s.MaxSenders, needed),
		"end a replication that nobody needs, or run the SQL and restart the server").with(systemSQL("max_wal_senders", fmt.Sprint(s.Senders+needed+2), false))
	if f.neon {
		finding.SQL, finding.Remedy = "", "end a replication that nobody needs, or ask Neon's support for more"
	}
	return append(all, finding)
}

// idleSlots names the slots that nobody reads.
func (f *facts) idleSlots() string {
	var names []string
	for _, s := range f.slots {
		if !s.Active && s.Name != "wal_proposer_slot" {
			names = append(names, s.Name)
		}
	}
	if len(names) == 0 {
		return ""
	}
	return "Nobody reads now: " + strings.Join(names, ", ") + "."
}

// activity judges what else goes on in the server.
func (f *facts) activity() (all []Finding) {
	if s := f.server; !s.ReadsStats {
		all = append(all, found("activity_hidden", "role "+s.User, fmt.Sprintf("the role %s does not see what other roles do, so long transactions and foreign readers of a slot cannot be found", s.User),
			"run the SQL as an administrator, if you like").with(fmt.Sprintf("GRANT pg_monitor TO %s;", ident(s.User))))
	}
	for _, t := range f.transactions {
		all = append(all, found("long_transaction", fmt.Sprintf("process %d", t.PID), fmt.Sprintf("a transaction of %s (%s, %s) is open for %s", t.User, orUnnamed(t.Application), t.State, t.Age.Round(time.Second)),
			"have it end; the SQL ends it by force").with(fmt.Sprintf("SELECT pg_terminate_backend(%d);", t.PID)).
			because("Until it ends no slot can be made, and no WAL since its beginning can go."))
	}
	for _, p := range f.prepared {
		all = append(all, found("prepared_transactions_used", "prepared transaction "+p.GID, fmt.Sprintf("a transaction of %s is prepared for %s and has not ended", p.Owner, p.Age.Round(time.Second)),
			"end it as its coordinator wants it: by the SQL, or by ROLLBACK PREPARED").with(fmt.Sprintf("COMMIT PREPARED %s;", literal(p.GID))).
			because("Its changes come when it commits. Until it ends no WAL since its beginning can go."))
	}
	return all
}

func orUnnamed(application string) string {
	if application == "" {
		return "unnamed"
	}
	return application
}

// slotRules judge the stream's slots.
func (f *facts) slotRules() (all []Finding) {
	name := f.c.Stream.Source.Slot
	if s := f.slot(name); s != nil {
		all = append(all, f.ownSlot(s)...)
	}
	if s := f.slot(postgres.ReplaySlot(name)); s != nil && !s.lost() {
		all = append(all, f.safe(s)...)
	}
	for _, s := range f.slots {
		if strings.HasPrefix(s.Name, ProbeName) && !s.Active && !s.Temporary {
			all = append(all, found("probe_leftover", "slot "+s.Name, "a probe that was killed left the slot "+s.Name+", which keeps WAL for ever",
				"drop it").with(fmt.Sprintf("SELECT pg_drop_replication_slot(%s);", literal(s.Name))))
		}
	}
	return all
}

// ownSlot judges the stream's own slot, by the rules of the start.
func (f *facts) ownSlot(s *slot) (all []Finding) {
	object := "slot " + s.Name
	drop := fmt.Sprintf("SELECT pg_drop_replication_slot(%s);", literal(s.Name))
	if s.Type != "logical" || s.Plugin != "pgoutput" {
		return append(all, found("slot_wrong_plugin", object, fmt.Sprintf("the slot %s is a %s slot with plugin %q", s.Name, s.Type, s.Plugin),
			"name another slot with --slot; LiveDB reads logical slots with pgoutput"))
	}
	if s.Database != f.server.Database {
		return append(all, found("slot_other_database", object, fmt.Sprintf("the slot %s belongs to the database %s, not to %s", s.Name, s.Database, f.server.Database),
			"name that database in --source, or another slot with --slot"))
	}
	if s.TwoPhase {
		finding := found("slot_two_phase", object, fmt.Sprintf("the slot %s decodes prepared transactions before they commit", s.Name), "drop it, or name another slot with --slot; LiveDB makes its own without two_phase")
		if !f.begun() {
			finding = finding.with(drop)
		}
		all = append(all, finding)
	}
	if s.lost() {
		return append(all, found("slot_wal_lost", object, fmt.Sprintf("the slot %s has lost WAL (wal_status %s%s)", s.Name, s.WALStatus, strings.TrimRight(", "+s.Invalid, ", ")),
			"changes are lost to this stream: to go on without them, start livedb cdc once with --new-epoch").
			because("A larger max_slot_wal_keep_size gives a stream more time."))
	}
	if s.Active && s.Application != "" && s.Application != "livedb/"+s.Name {
		all = append(all, found("slot_in_use", object, fmt.Sprintf("the slot %s is read by process %d (%s), which is not LiveDB: what it acknowledges is lost to the stream", s.Name, s.PID, s.Application),
			"stop that reader and have it use a slot of its own; the SQL ends it by force").with(fmt.Sprintf("SELECT pg_terminate_backend(%d);", s.PID)))
	}
	if f.server.Version >= 170000 && !s.Failover {
		all = append(all, found("slot_not_failover", object, fmt.Sprintf("the slot %s is not kept on a standby: after a failover there is none", s.Name),
			"if there is a standby that is to take over, run the SQL on a replication connection (psql 'replication=database …') while cdc is stopped").
			with(fmt.Sprintf("ALTER_REPLICATION_SLOT %s (FAILOVER true);", ident(s.Name))))
	}
	return append(all, f.safe(s)...)
}

// safe judges how near a slot is to losing its WAL.
func (f *facts) safe(s *slot) []Finding {
	limit := f.server.KeepSizeMB << 20
	if limit <= 0 || s.Safe < 0 && !s.unreserved() {
		return nil
	}
	rate, runway := f.server.rate(), time.Duration(0)
	if rate > 0 {
		runway = time.Duration(float64(s.Safe) / rate * float64(time.Second))
	}
	if s.Safe >= limit/safeShare && (rate == 0 || runway >= safeRunway) && !s.unreserved() {
		return nil
	}
	summary := fmt.Sprintf("the slot %s loses its WAL after %s more", s.Name, size(s.Safe))
	if s.unreserved() {
		summary = fmt.Sprintf("the slot %s loses its WAL with the next checkpoint", s.Name)
	} else if rate > 0 {
		summary += fmt.Sprintf(", which is %s at the average of %s a second", runway.Round(time.Second), size(int64(rate)))
	}
	enough := max(2*limit, 2*s.Retained, int64(4*safeRunway.Seconds()*rate)+s.Retained) >> 20
	finding := found("safe_wal_low", "slot "+s.Name, summary, "have the stream catch up (is cdc running, does Kafka take what it sends?), or run the SQL if the disk has room").
		with(systemSQL("max_slot_wal_keep_size", literal(fmt.Sprintf("%dMB", enough)), true)).
		because(fmt.Sprintf("max_slot_wal_keep_size is %s, and %s are kept for this slot. A slot that lost its WAL ends the stream.", size(limit), size(s.Retained)))
	if s.unreserved() && s.Name == f.c.Stream.Source.Slot {
		finding = finding.as(Error)
	}
	if f.neon {
		finding.SQL = ""
	}
	return []Finding{finding}
}

// size writes bytes for people.
func size(bytes int64) string {
	switch {
	case bytes >= 1<<30:
		return fmt.Sprintf("%.1f GB", float64(bytes)/(1<<30))
	case bytes >= 1<<20:
		return fmt.Sprintf("%.1f MB", float64(bytes)/(1<<20))
	default:
		return fmt.Sprintf("%d kB", bytes>>10)
	}
}

// connectFinding says why the source could not be reached.
func connectFinding(address string, neon bool, err error) Finding {
	object := "server " + address
	text := err.Error()
	if refusal := asRefusal(err); refusal != nil {
		return refused(Source, object, refusal)
	}
	lower := strings.ToLower(text)
	switch {
	case strings.Contains(lower, "quota"):
		return found("source_quota_exceeded", object, "the source does not let us in: "+text, "raise the plan's limits, or wait for the next period; do not try again and again")
	case strings.Contains(lower, "max_wal_senders"):
		return found("wal_senders_exhausted", object, "all walsenders of the source are taken ("+text+")", "end a replication that nobody needs, or raise max_wal_senders and restart the server")
	}
	finding := found("source_unreachable", object, text, "check that it runs, and the host, port, user and password of --source")
	if neon {
		finding.Remedy += "; if the project has an IP Allow list, our address must be in it"
	}
	return finding
}
