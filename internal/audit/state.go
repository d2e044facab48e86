package audit

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/IBM/sarama"

	"github.com/livedb/livedb/cdc"
	"github.com/livedb/livedb/cdc/envelope"
	"github.com/livedb/livedb/cdc/postgres"
	"github.com/livedb/livedb/internal/audit/oracle"
)

// StateConfig says which stream to hold against which source's tables.
type StateConfig struct {
	Client    sarama.Client // as in StreamConfig
	Prefix    string
	Source    postgres.Config
	OpenLimit time.Duration // as in StreamConfig

	// Wait is how long the stream may take to come to where the source is now; 0 means a minute.
	Wait time.Duration

	Progress func(events, upto uint64) // as in StreamConfig
}

// StateReport is what the source's tables say of the stream.
type StateReport struct {
	Verdict
	Prefix string       `json:"prefix"`
	Seq    uint64       `json:"seq"` // the events up to it were folded
	At     string       `json:"at"`  // the source's LSN when its tables were read last
	Tables []TableState `json:"tables"`
}

// TableState is a table and the fold of its events.
type TableState struct {
	Table     string `json:"table"`
	Judged    bool   `json:"judged"`
	Reason    string `json:"reason,omitempty"` // why it was not judged, or how
	Rows      int64  `json:"rows"`             // in the table; 0 if it was not read
	EventRows int64  `json:"event_rows"`       // that its events leave behind
	Sum       string `json:"sum,omitempty"`    // of the hashes of its rows, modulo 2^128
	EventSum  string `json:"event_sum,omitempty"`
}

// Judged is the number of tables judged.
func (r *StateReport) Judged() int {
	n := 0
	for i := range r.Tables {
		if r.Tables[i].Judged {
			n++
		}
	}
	return n
}

const (
	defaultWait   = time.Minute
	stateAttempts = 5
	statePoll     = 200 * time.Millisecond
	// A commit that does not wait for the disk is there after three turns of the WAL writer, 200 ms each by default.
	flushPatience = time.Second
)

// State folds all events of a stream and compares what they leave behind with the source's tables, in one snapshot. A table
// that is written to meanwhile is looked at again, some times.
func State(ctx context.Context, c StateConfig) (*StateReport, error) {
	if c.Wait == 0 {
		c.Wait = defaultWait
	}
	conn, err := postgres.Connect(ctx, c.Source)
	if err != nil {
		return nil, fmt.Errorf("audit of the state: %w", err)
	}
	defer conn.Close(context.WithoutCancel(ctx))
	s := &stateAudit{config: c, source: tableReader{conn}, fold: fold{tables: map[string]*tableFold{}},
		report: &StateReport{Prefix: c.Prefix}, states: map[string]TableState{}}
	s.report.Counts, s.report.Findings = map[Kind]uint64{}, []Finding{}
	s.stream = NewAuditor(StreamConfig{Client: c.Client, Prefix: c.Prefix, OpenLimit: c.OpenLimit, Progress: c.Progress})
	s.stream.judge.renew = s.fold.renew
	s.stream.judge.visit = func(e *event) error { s.fold.event(e); return nil }
	if err := s.run(ctx); err != nil {
		return nil, fmt.Errorf("audit of the state: %w", err)
	}
	s.finish()
	return s.report, nil
}

type stateAudit struct {
	config StateConfig
	source tableReader
	stream *Auditor
	fold   fold
	tables map[string]published
	states map[string]TableState
	report *StateReport
}

func (s *stateAudit) run(ctx context.Context) error {
	var err error
	if s.tables, err = s.source.published(ctx, s.config.Source.Publication); err != nil {
		return err
	}
	for name, p := range s.tables {
		s.fold.tables[name] = &tableFold{name: name, columns: p.columns, full: p.full}
	}
	if err := s.stream.Round(ctx); err != nil {
		return err
	}
	if err := s.source.check(ctx, s.stream.saved.Source); err != nil {
		return err
	}
	doubted := map[string]bool{} // tables that differed once: a commit may be in the WAL before a snapshot shows it
	pending := slices.Sorted(maps.Keys(s.tables))
	for range stateAttempts {
		if pending, err = s.attempt(ctx, pending, doubted); err != nil || len(pending) == 0 {
			return err
		}
	}
	for _, name := range pending {
		s.skip(name, "it is not quiet: it was written to whenever it was read")
	}
	return nil
}

// attempt judges the tables that are quiet and returns the others.
func (s *stateAudit) attempt(ctx context.Context, names []string, doubted map[string]bool) (pending []string, err error) {
	shot, err := s.source.read(ctx, s.tables, s.judgeable(names))
	if err != nil {
		return nil, err
	}
	if err := s.catchUp(ctx, shot.taken); err != nil {
		return nil, err
	}
	s.report.At = shot.before.String()
	for _, name := range s.judgeable(names) {
		t, got := s.fold.tables[name], shot.sums[name]
		switch {
		case cdc.LSN(t.last) >= shot.before:
			pending = append(pending, name)
		case got.sum != t.sum || got.rows != t.rows:
			if !doubted[name] {
				doubted[name] = true
				pending = append(pending, name)
				continue
			}
			if same, err := s.sameByKey(ctx, t, got); err != nil {
				return nil, err
			} else if same {
				s.judged(t, got, "by key, since values of it were rewritten without events")
				continue
			}
			if err := s.differs(ctx, t, got); err != nil {
				return nil, err
			}
		default:
			s.judged(t, got, "")
		}
	}
	return pending, nil
}

// judgeable leaves out the tables whose fold is worth nothing, and says why.
func (s *stateAudit) judgeable(names []string) (good []string) {
	from := s.stream.Report().From
	for _, name := range names {
		switch t := s.fold.tables[name]; {
		case from > 1:
			s.skip(name, fmt.Sprintf("retention removed the events before seq %d", from))
		case s.tables[name].reason != "":
			s.skip(name, s.tables[name].reason)
		case t.reason != "":
			s.skip(name, t.reason)
		default:
			good = append(good, name)
		}
	}
	return good
}

// catchUp folds on until the stream has delivered what the source had committed when its tables were read.
func (s *stateAudit) catchUp(ctx context.Context, taken time.Time) error {
	deadline := time.Now().Add(s.config.Wait)
	var target cdc.LSN
	for {
		if target == 0 && time.Since(taken) >= flushPatience {
			var err error
			if target, err = s.source.flushed(ctx); err != nil {
				return err
			}
		}
		if err := s.stream.Round(ctx); err != nil {
			return err
		}
		at := s.stream.saved.AckedUpto
		if target != 0 && at >= target {
			return nil
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("the stream is at %s and the source was at %s %s ago: see whether livedb cdc runs and is healthy", at, target, s.config.Wait)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(statePoll):
		}
	}
}

func (s *stateAudit) skip(name, reason string) {
	s.states[name] = TableState{Table: name, Reason: reason, EventRows: s.fold.tables[name].rows}
}

func (s *stateAudit) judged(t *tableFold, got rowSum, reason string) {
	s.states[t.name] = TableState{Table: t.name, Judged: true, Reason: reason, Rows: got.rows, EventRows: t.rows, Sum: got.sum.String(), EventSum: t.sum.String()}
}

// differs reports a table that is not what its events make of it, if its rows are not older than they.
func (s *stateAudit) differs(ctx context.Context, t *tableFold, got rowSum) error {
	if gaps := s.stream.Report().Gaps; len(gaps) > 0 {
		s.skip(t.name, fmt.Sprintf("it is not what its events make of it, and changes were lost before epoch %d began", gaps[len(gaps)-1].EpochTo))
		return nil
	}
	before, err := s.source.older(ctx, s.tables[t.name], s.fold.oldest)
	if err != nil {
		return err
	}
	if before > 0 {
		s.skip(t.name, fmt.Sprintf("%d of its rows are older than the stream's first transaction", before))
		return nil
	}
	if s.tables[t.name].root && got.rows < t.rows {
		s.skip(t.name, "it has fewer rows than its events leave, as after a partition was emptied, detached or dropped, of which logical decoding tells nothing")
		return nil
	}
	s.judged(t, got, "")
	topic, err := envelope.Topics(s.config.Prefix).Table(s.tables[t.name].schema, s.tables[t.name].name)
	if err != nil {
		return err
	}
	f := Finding{Kind: Altered, Position: t.at, Topic: topic, Offset: -1,
		Text: fmt.Sprintf("table %s holds %d rows of sum %s, and its events up to here leave %d rows of sum %s", t.name, got.rows, got.sum, t.rows, t.sum)}
	n := uint64(1)
	switch {
	case got.rows > t.rows:
		f.Kind, n = Missing, uint64(got.rows-t.rows)
	case got.rows < t.rows:
		f.Kind, n = Duplicated, uint64(t.rows-got.rows)
	}
	s.report.FindMany(n, f)
	return nil
}

// finish lists the tables.
func (s *stateAudit) finish() {
	for name, t := range s.fold.tables {
		if t.columns == nil && s.tables[name].reason == "" {
			s.skip(name, t.reason)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(s.states)) {
		s.report.Tables = append(s.report.Tables, s.states[name])
	}
	s.report.Seq = s.stream.Report().To
}

// rowSum is a table's rows: how many, and the sum of their hashes.
type rowSum struct {
	sum  oracle.Hash
	rows int64
}
