package audit

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/IBM/sarama"
	"golang.org/x/sync/errgroup"

	"github.com/livedb/livedb/cdc"
	"github.com/livedb/livedb/cdc/envelope"
	"github.com/livedb/livedb/cdc/postgres"
	"github.com/livedb/livedb/internal/audit/oracle"
	"github.com/livedb/livedb/producer"
)

// SourceConfig says which stream to hold against which source.
type SourceConfig struct {
	Client sarama.Client // used, not closed
	Prefix string
	Source postgres.Config

	// OracleSlot is a slot whose WAL is read again; it is copied, and stays where it is. It should be a copy of the
	// stream's own slot made before the first change. Empty: <slot>_replay, else the stream's own slot, which is close to
	// the end.
	OracleSlot string
}

// SourceReport is what the source's WAL says of the stream.
type SourceReport struct {
	Verdict
	Slot string `json:"slot"` // whose WAL was read again

	// Transactions that commit from From to To were compared. Those before From are in no WAL that the slot keeps.
	From cdc.CommitLSN `json:"from"`
	To   cdc.CommitLSN `json:"to"`

	FirstSeq     uint64        `json:"first_seq"` // of the events found on Kafka; 0: none
	LastSeq      uint64        `json:"last_seq"`
	Transactions uint64        `json:"transactions"` // in the WAL
	Events       uint64        `json:"events"`       // of them
	Snapshot     uint64        `json:"snapshot"`     // rows read by a snapshot, which no WAL has
	Expired      uint64        `json:"expired"`      // events of the WAL that retention may have removed from Kafka
	Took         time.Duration `json:"took_ns"`
}

// Range says what was compared.
func (r *SourceReport) Range() string {
	if r.To < r.From {
		return fmt.Sprintf("nothing: slot %s begins at %s, behind the last commit delivered, %s", r.Slot, r.From, r.To)
	}
	return fmt.Sprintf("commits %s to %s of slot %s, seq %d to %d: %d transactions, %d events", r.From, r.To, r.Slot, r.FirstSeq, r.LastSeq, r.Transactions, r.Events)
}

// sourceAudit merges the WAL's events with Kafka's by position. It holds some events of each.
type sourceAudit struct {
	report *SourceReport
	topics envelope.Topics
	log    *eventLog
	order  *entryLog
	at     cdc.Position // of the last event found
}

// Source decodes the source's WAL again and compares it with the stream: transaction by transaction, event by event, up to
// the checkpoint as it is now. The WAL's side is not the stream's code. Of a stream with several epochs it is the last one that the WAL can tell of. Tombstones and seqs are the business of Stream.
func Source(ctx context.Context, c SourceConfig) (*SourceReport, error) {
	began := time.Now()
	topics := envelope.Topics(c.Prefix)
	saved, err := NewAuditor(StreamConfig{Client: c.Client, Prefix: c.Prefix}).peek(ctx)
	if err != nil {
		return nil, fmt.Errorf("audit of the source: %w", err)
	}
	slots := []string{c.Source.Slot + "_replay", c.Source.Slot}
	if c.OracleSlot != "" {
		slots = []string{c.OracleSlot}
	}
	wal, err := openWAL(ctx, c.Source, saved.Position, slots...)
	if err != nil {
		return nil, fmt.Errorf("audit of the source: %w", err)
	}
	defer wal.close()

	a := &sourceAudit{topics: topics, report: &SourceReport{Slot: wal.copied, From: cdc.CommitLSN(wal.start), To: wal.upto}}
	if err := a.run(ctx, c, wal, saved.Topology, saved.Position.Epoch); err != nil {
		return nil, fmt.Errorf("audit of the source: %w", err)
	}
	a.report.Took = time.Since(began)
	return a.report, nil
}

func (a *sourceAudit) run(ctx context.Context, c SourceConfig, wal *walReader, topology producer.Topology, epoch uint32) error {
	if wal.upto < a.report.From {
		return nil // all that the stream holds is older than what the slot keeps
	}
	topics := slices.Sorted(maps.Keys(topology.Topics))
	keys := map[string][]string{}
	for _, place := range topology.Topics {
		keys[place.Schema+"."+place.Table] = place.Key
	}
	var err error
	if a.order, err = openEntryLog(c.Client, a.topics.Transaction(), epoch, a.report.From, wal.upto, &a.report.Verdict); err != nil {
		return err
	}
	if a.log, err = openEventLog(ctx, c.Client, append(topics, a.topics.Truncate()), epoch, a.report.From, wal.upto, &a.report.Verdict); err != nil {
		return err
	}
	conn, err := postgres.Connect(ctx, c.Source)
	if err != nil {
		return err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	catalog, err := oracle.OpenCatalog(ctx, conn, func(schema, table string) []string { return keys[schema+"."+table] })
	if err != nil {
		return err
	}

	both, ctx := errgroup.WithContext(ctx)
	both.Go(func() error { return wal.read(ctx, c.Source.Publication, catalog) })
	both.Go(func() error { return a.compare(ctx, wal.steps) })
	return both.Wait()
}

// compare takes the WAL's steps against the log.
func (a *sourceAudit) compare(ctx context.Context, steps <-chan walStep) error {
	for s := range steps {
		err := error(nil)
		switch {
		case s.event.Table != nil:
			err = a.event(ctx, &s)
		case s.events > 0: // one whose changes were all rolled back or filtered yields nothing
			err = a.transaction(ctx, &s)
		}
		if err != nil {
			return err
		}
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	for a.log.head() != nil {
		e, err := a.log.pop(ctx)
		if err != nil {
			return err
		}
		a.unknown(e)
	}
	return a.order.rest(ctx)
}

// event finds the WAL's event in the log.
func (a *sourceAudit) event(ctx context.Context, s *walStep) error {
	w := &s.event
	a.report.Events++
	for {
		head := a.log.head()
		if head == nil || head.position.Compare(w.Position) > 0 {
			return a.missing(w)
		}
		e, err := a.log.pop(ctx)
		if err != nil {
			return err
		}
		if e.position == w.Position {
			a.hit(e)
			return a.match(s, e)
		}
		a.unknown(e)
	}
}

// hit notes that an event of the log is one of the WAL's.
func (a *sourceAudit) hit(e *logged) {
	seq, err := envelope.ParseSeq(header(&e.record, envelope.HeaderSeq))
	if err != nil {
		return // said by match
	}
	if a.report.FirstSeq == 0 {
		a.report.FirstSeq = seq
	}
	a.report.LastSeq = max(a.report.LastSeq, seq)
	a.at = e.position
}

// unknown reports an event of the log that the WAL does not have, or has once.
func (a *sourceAudit) unknown(e *logged) {
	var value struct{ Op string }
	if json.Unmarshal(e.record.Value, &value) == nil && value.Op == string(rune(cdc.Read)) {
		a.report.Snapshot++
		return
	}
	if e.position == a.at {
		a.report.Find(e.finding(Duplicated, "an event of this position stands before it"))
		return
	}
	a.report.Find(e.finding(Duplicated, "the source's WAL has no such change, or it stands in its place already"))
}

// missing reports an event of the WAL that the log does not have.
func (a *sourceAudit) missing(w *oracle.Event) error {
	topic, err := topicOf(a.topics, w)
	if err != nil {
		return err
	}
	if a.log.expired(topic, w.Position) {
		a.report.Expired++
		return nil
	}
	a.report.Find(Finding{Kind: Missing, Position: w.Position, Topic: topic, Offset: -1, Key: keyText(w),
		Text: fmt.Sprintf("the source's WAL has %q of %s here, and the topic does not", w.Op, w.Table)})
	return nil
}

// transaction finds the WAL's transaction among the transaction records.
func (a *sourceAudit) transaction(ctx context.Context, s *walStep) error {
	a.report.Transactions++
	return a.order.match(ctx, s)
}
