package check

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/livedb/livedb/cdc"
	"github.com/livedb/livedb/cdc/envelope"
	"github.com/livedb/livedb/cdc/postgres"
	"github.com/livedb/livedb/internal/capture"
	"github.com/livedb/livedb/internal/dial"
	"github.com/livedb/livedb/internal/kafka"
)

// Config says what to check.
type Config struct {
	Stream capture.Config // Status, Metrics and Log are not used

	// Scopes are what findings are wanted of; none means all. A source without URL and a Kafka without brokers are not
	// looked at.
	Scopes []Scope

	// Limit is the time for each thing that is looked at; 0 means DefaultLimit.
	Limit time.Duration

	// OpenFor is from which age on a transaction of the source counts as long; 0 means DefaultOpenFor.
	OpenFor time.Duration

	// HangsFor is from which age on an open Kafka transaction counts as hanging; 0 means a minute more than the stream's
	// transaction timeout.
	HangsFor time.Duration

	// Started says that the start's own preflight has passed: neither it nor a replication connection, which the stream
	// itself may need, is tried again.
	Started bool

	ownRules bool // a test's: without the start's preflight

	Now func() time.Time // our clock; nil means time.Now
}

// Defaults of Config.
const (
	DefaultLimit   = 10 * time.Second
	DefaultOpenFor = 5 * time.Minute
)

func (c Config) limit() time.Duration {
	if c.Limit == 0 {
		return DefaultLimit
	}
	return c.Limit
}

func (c Config) openFor() time.Duration {
	if c.OpenFor == 0 {
		return DefaultOpenFor
	}
	return c.OpenFor
}

func (c Config) now() time.Time {
	if c.Now == nil {
		return time.Now()
	}
	return c.Now()
}

// wants reports whether findings of one of the scopes are asked for.
func (c Config) wants(scopes ...Scope) bool {
	return len(c.Scopes) == 0 || slices.ContainsFunc(scopes, func(s Scope) bool { return slices.Contains(c.Scopes, s) })
}

// run is one run: what it has read so far, and what it has found.
type run struct {
	facts
	report Report
	all    []Finding
}

// Run checks. It changes nothing, on either side, and always ends: whatever cannot be looked at in time is a finding. The
// context's end cuts it short.
//
// The slot is looked at before the checkpoint, and the end of the WAL after it: so a stream that goes on meanwhile never
// looks like a source that went back.
func Run(ctx context.Context, c Config) Report {
	r := &run{facts: facts{c: c}, report: Report{Skipped: []string{}}}
	r.all = append(r.all, configRules(c)...)
	sawSource, sawKafka := false, false
	if c.wants(Source, Neon) {
		sawSource = r.lookAtSource(ctx)
	}
	var close func()
	if c.wants(Kafka) || c.wants(Source, Neon) && len(c.Stream.Kafka.Brokers) > 0 {
		close, sawKafka = r.lookAtKafka(ctx)
		defer close()
	}
	if sawSource && !c.Started {
		r.lookAtIdentity(ctx)
	}
	if r.server != nil {
		r.all = append(r.all, r.serverRules()...)
		if r.slotsKnown {
			r.all = append(r.all, r.slotRules()...)
		}
		if r.tablesKnown {
			r.all = append(r.all, r.publicationRules()...)
			r.all = append(r.all, r.tableRules()...)
		}
		r.all = append(r.all, r.neonRules()...)
	}
	if r.kafka != nil {
		r.all = append(r.all, r.kafkaRules()...)
	}
	stream := r.streamRules()
	if sawSource && sawKafka && !c.Started && !c.ownRules {
		stream = r.askStart(ctx, stream)
	}
	r.report.Findings = settle(append(r.all, stream...), c.Scopes)
	return r.report
}

// configRules judge what was given, before anything is asked.
func configRules(c Config) (all []Finding) {
	if err := envelope.CheckPrefix(c.Stream.Prefix); err != nil {
		all = append(all, found("prefix_malformed", "--prefix", err.Error(), "correct --prefix"))
	}
	if c.Stream.Partitions < 1 {
		all = append(all, found("partitions_malformed", "--partitions", fmt.Sprintf("a topic cannot have %d partitions", c.Stream.Partitions), "give --partitions 1 or more"))
	}
	if refusal := asRefusal(c.Stream.Limits.Check()); refusal != nil {
		all = append(all, refused(Configuration, "the limits", refusal))
	}
	return all
}

// try makes one check within its limit of time. One that cannot be made is a finding.
func (r *run) try(ctx context.Context, scope Scope, what string, look func(ctx context.Context) error) bool {
	r.report.Checks++
	ctx, cancel := context.WithTimeout(ctx, r.c.limit())
	defer cancel()
	err := look(ctx)
	if err != nil {
		r.report.Stale++
		finding := stale(scope, what, err)
		if kafka.Denied(err) { // we may not look; what the stream itself may not do is a finding of its own
			finding = finding.as(Info)
			finding.Remedy = "grant DescribeConfigs on the cluster and the topics, if you like to know"
		}
		var refused *pgconn.PgError
		if errors.As(err, &refused) && refused.Code == "42501" && r.server != nil { // insufficient_privilege
			finding.Remedy = "run the SQL as an administrator"
			finding = finding.with(fmt.Sprintf("GRANT pg_monitor TO %s;", ident(r.server.User)))
		}
		r.all = append(r.all, finding)
	}
	return err == nil
}

// skip notes what is not looked at.
func (r *run) skip(what string) { r.report.Skipped = append(r.report.Skipped, what) }

// lookAtSource reads what one SQL connection tells.
func (r *run) lookAtSource(ctx context.Context) bool {
	c := r.c.Stream.Source
	if c.URL == "" {
		r.skip("the source, for there is no --source")
		return false
	}
	r.report.Checks++
	cc, err := postgres.Parse(c.URL)
	if err != nil {
		r.report.Stale++
		r.all = append(r.all, connectFinding("of --source", false, err))
		return false
	}
	r.host, r.address, r.neon, r.inClear = cc.Host, postgres.Address(cc), isNeon(cc.Host), cc.TLSConfig == nil && !dial.Local(cc.Host)
	connecting, cancel := context.WithTimeout(ctx, r.c.limit())
	defer cancel()
	conn, err := postgres.Connect(connecting, c)
	if err != nil {
		r.report.Stale++
		r.all = append(r.all, connectFinding(r.address, r.neon, err))
		return false
	}
	defer func() {
		closing, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
		defer cancel()
		conn.Close(closing)
	}()
	r.readSource(ctx, conn)
	return true
}

// lookAtIdentity asks on a replication connection whose history the source shows: what only such a connection is refused
// for, and which settings do not take there, shows too.
func (r *run) lookAtIdentity(ctx context.Context) {
	if r.server == nil || r.server.InRecovery || !r.server.Replication {
		return // the finding is there already
	}
	r.report.Checks++
	asking, cancel := context.WithTimeout(ctx, r.c.limit())
	defer cancel()
	identity, err := postgres.Identify(asking, r.c.Stream.Source)
	if err != nil {
		r.report.Stale++
		r.all = append(r.all, connectFinding(r.address, r.neon, err))
		return
	}
	r.identity = &identity
}

// askStart has the start's own preflight look too: nothing that it refuses may be missing here, and nothing may be told of the
// stream as if it refused that. stream are the findings of streamRules.
func (r *run) askStart(ctx context.Context, stream []Finding) []Finding {
	r.report.Checks++
	asking, cancel := context.WithTimeout(ctx, 2*r.c.limit())
	defer cancel()
	start := r.c.Stream
	start.Log = slog.New(slog.DiscardHandler) // what it has to say is in its error
	err := kafka.Named(capture.Preflight(asking, start))
	refusal := asRefusal(err)
	if err != nil && refusal == nil {
		r.report.Stale++
		return append(stream, stale(Source, "the start", err))
	}
	return besideStart(stream, r.all, refusal)
}

// besideStart settles the stream's findings with what the start says: nil if it goes on. others are the findings of
// everything else.
func besideStart(stream, others []Finding, refusal *cdc.Refusal) []Finding {
	if refusal == nil {
		return slices.DeleteFunc(stream, func(f Finding) bool { return f.Severity == Critical })
	}
	told := false
	for i := range stream {
		if stream[i].Slug == refusal.Name {
			told, stream[i].Remedy = true, refusal.Remedy // it knows best
		}
	}
	if told || slices.ContainsFunc(others, func(f Finding) bool { return f.Slug == refusal.Name }) {
		return stream
	}
	known, ok := catalogue[refusal.Name]
	if !ok { // it looked closer: what we say of another timeline it has explained
		known.Scope = Source
		stream = slices.DeleteFunc(stream, func(f Finding) bool { return f.Slug == "timeline_changed" })
	}
	return append(stream, refused(known.Scope, "the start", refusal))
}
