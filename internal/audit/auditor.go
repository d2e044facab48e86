package audit

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/IBM/sarama"

	"github.com/livedb/livedb/cdc/envelope"
	"github.com/livedb/livedb/internal/kafka"
	"github.com/livedb/livedb/producer"
)

// Auditor audits a stream in rounds, each up to the checkpoint that is the last when it begins. One goroutine uses it.
type Auditor struct {
	config StreamConfig
	topics envelope.Topics
	report StreamReport
	judge  judge
	known  map[string]bool // topics with partitions
	hung   map[place]int64 // partitions reported as hanging: their last stable offset
	above  uint64          // a seq that was read before its checkpoint; 0 for none
	of     uint32          // its epoch
	alone  uint64          // one of those that was reported to have none
	saved  *producer.Checkpoint
	broken bool // an error left the judge half way
}

// NewAuditor returns an auditor that has read nothing.
func NewAuditor(c StreamConfig) *Auditor {
	if c.OpenLimit == 0 {
		c.OpenLimit = defaultOpenLimit
	}
	a := &Auditor{config: c, topics: envelope.Topics(c.Prefix), known: map[string]bool{}, hung: map[place]int64{}}
	a.report = StreamReport{Verdict: Verdict{Counts: map[Kind]uint64{}, Findings: []Finding{}}, Prefix: c.Prefix, Gaps: []envelope.Gap{}, progress: c.Progress}
	a.judge = newJudge(&a.report, a.topics, a.learn)
	return a
}

// Report returns what was found so far.
func (a *Auditor) Report() *StreamReport {
	r := a.report
	r.Counts, r.Findings, r.Gaps = maps.Clone(r.Counts), slices.Clone(r.Findings), slices.Clone(r.Gaps)
	r.Epoch, r.Topics, r.Partitions = a.judge.epoch, len(a.known), len(a.judge.partitions)
	return &r
}

// Round judges what was committed since the last round. After an error that is not Kafka's the auditor is of no further
// use; what it found stays true.
func (a *Auditor) Round(ctx context.Context) error {
	if err := a.config.Client.RefreshMetadata(); err != nil {
		return fmt.Errorf("audit the stream %s: %w", a.config.Prefix, err)
	}
	if err := a.round(ctx); errors.Is(err, ErrNoStream) {
		return err
	} else if err != nil {
		return fmt.Errorf("audit the stream %s: %w", a.config.Prefix, err)
	}
	return nil
}

func (a *Auditor) round(ctx context.Context) error {
	saved, err := a.peek(ctx)
	if err != nil {
		return err
	}
	a.saved = saved.Position
	if a.of == a.saved.Epoch && a.above > a.saved.Seq && a.above != a.alone {
		a.alone = a.above
		a.report.Find(Finding{Kind: Misplaced, Seq: a.above, Topic: a.topics.Checkpoint(), Offset: -1, Key: keyPosition,
			Text: fmt.Sprintf("the log goes on with seq %d above seq %d of the last checkpoint", a.above, a.saved.Seq)})
	}
	if err := a.refill(ctx, saved.Topology); err != nil {
		return err
	}
	if err := a.judge.round(ctx, a.saved.Epoch, a.saved.Seq); err != nil {
		a.broken = true
		return err
	}
	a.above, a.of = a.judge.beyond(), a.judge.epoch
	return nil
}

// peek reads the checkpoint. Kafka answers a commit before it shows it: what is in the log now is waited for.
func (a *Auditor) peek(ctx context.Context) (producer.Saved, error) {
	none := fmt.Errorf("%w of the name %s, for the topic %s holds no checkpoint: name the stream with --prefix", ErrNoStream, a.config.Prefix, a.topics.Checkpoint())
	if _, err := a.config.Client.Partitions(a.topics.Checkpoint()); errors.Is(err, sarama.ErrUnknownTopicOrPartition) {
		return producer.Saved{}, none
	}
	if _, err := a.open(ctx, place{a.topics.Checkpoint(), 0}, oldest); err != nil {
		return producer.Saved{}, err
	}
	saved, err := producer.PeekSaved(ctx, a.config.Client, a.topics)
	for err == nil {
		if saved.Position == nil {
			return saved, none
		}
		// All checkpoints up to this one must be among those that are read, and none of an epoch that begins just now.
		if a.judge.marks.cursor, err = a.open(ctx, place{a.topics.Checkpoint(), 0}, a.judge.marks.next); err != nil {
			break
		}
		before := saved
		if saved, err = producer.PeekSaved(ctx, a.config.Client, a.topics); err == nil && saved.Position != nil && saved.Position.Epoch == before.Position.Epoch {
			return before, nil
		}
	}
	return saved, err
}

// refill opens what has been written since the last round. The order does not matter: all that the checkpoint covers was
// in the log before it was visible.
func (a *Auditor) refill(ctx context.Context, t producer.Topology) error {
	j := &a.judge
	transactions, err := a.open(ctx, place{a.topics.Transaction(), 0}, j.announce.at)
	if err != nil {
		return err
	}
	j.announce.cursor = transactions
	j.announce.cut = transactions.Start() > 0
	for _, p := range j.partitions {
		if p.cursor, err = a.open(ctx, place{p.topic, p.number}, p.next); err != nil {
			return err
		}
	}
	for _, topic := range append(slices.Sorted(maps.Keys(t.Topics)), a.topics.Truncate()) {
		if err := a.add(ctx, topic); err != nil {
			return err
		}
	}
	return nil
}

// learn adds the topics that a transaction record names. The topology names each before anything is written to it.
func (a *Auditor) learn(ctx context.Context, topics []string) error {
	for _, topic := range topics {
		if a.known[topic] {
			continue
		}
		a.judge.announce.find(Misplaced, 0, 0, 0, "the record names topic %s, and the topology does not", topic)
		if err := a.add(ctx, topic); err != nil {
			return err
		}
	}
	return nil
}

// add opens the partitions of a topic, if they are not open.
func (a *Auditor) add(ctx context.Context, topic string) error {
	if a.known[topic] {
		return nil
	}
	a.known[topic] = true
	numbers, err := a.config.Client.Partitions(topic)
	for err != nil && !errors.Is(err, sarama.ErrUnknownTopicOrPartition) && a.again(ctx, err) {
		numbers, err = a.config.Client.Partitions(topic)
	}
	switch {
	case errors.Is(err, sarama.ErrUnknownTopicOrPartition):
		a.report.Find(Finding{Kind: Missing, Topic: topic, Offset: -1, Text: "the stream's topic does not exist"})
		return nil
	case err != nil:
		return fmt.Errorf("read the partitions of topic %s: %w", topic, err)
	}
	for _, number := range numbers {
		scan, err := a.open(ctx, place{topic, number}, oldest)
		if err != nil {
			return err
		}
		p := a.judge.newPartition(place{topic, number}, scan.Start() > 0, scan)
		a.judge.partitions = append(a.judge.partitions, p)
		if a.judge.due != 0 {
			if err := a.judge.refill(ctx, p); err != nil {
				return err
			}
		}
	}
	return nil
}

// open opens a scan that sees all that is in the log now: it waits until no transaction is open in it. One that stays open
// for too long is reported, once, and the scan ends before it.
func (a *Auditor) open(ctx context.Context, at place, from int64) (*patient, error) {
	began, target := time.Now(), int64(-1)
	for {
		opened, err := kafka.OpenScan(a.config.Client, at.topic, at.partition, from)
		switch {
		case err != nil && a.again(ctx, err):
			continue
		case err != nil:
			return nil, err
		}
		scan := &patient{opened, a}
		if target < 0 {
			target = scan.HighWater()
		}
		stuck, told := a.hung[at]
		switch {
		case scan.End() >= target:
			delete(a.hung, at)
			return scan, nil
		case told && stuck == scan.End():
			return scan, nil
		case time.Since(began) >= a.config.OpenLimit:
			a.hung[at] = scan.End()
			a.report.Find(Finding{Kind: Hanging, Topic: at.topic, Partition: at.partition, Offset: scan.End(),
				Text: fmt.Sprintf("a Kafka transaction has been open here for %s: it hides the offsets up to %d", a.config.OpenLimit, target)})
			return scan, nil
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(openPoll):
		}
	}
}

// patient is a scan that goes on where Kafka did not answer, if there is somebody to tell.
type patient struct {
	*kafka.Scan
	auditor *Auditor
}

// Next implements cursor.
func (p *patient) Next(ctx context.Context) (kafka.Record, bool, error) {
	for {
		r, more, err := p.Scan.Next(ctx)
		if err == nil || !p.auditor.again(ctx, err) {
			return r, more, err
		}
	}
}

// again tells of trouble, waits and reports whether to try again.
func (a *Auditor) again(ctx context.Context, err error) bool {
	if a.config.Trouble == nil || ctx.Err() != nil || errors.Is(err, sarama.ErrOffsetOutOfRange) {
		return false
	}
	a.config.Trouble(err)
	select {
	case <-ctx.Done():
		return false
	case <-time.After(troublePause):
		return true
	}
}
