// Package replay streams a part of the stream's past again: the same events, byte for byte but for processing times, into
// topics of their own or as lines of JSON. The live stream, its slot and its topics are not touched.
//
//	<prefix>.transaction ──► plan: which transactions, which seqs ──► what must come ─┐
//	<slot>_replay ──copy──► temporary slot ══► walsender ──► decoder ──► handler ◄────┘──► Writer ──► <prefix>.replay-<id>.…
//
// The order in Kafka says what every transaction was; the source must show the same, or the replay stops by name.
package replay

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"regexp"
	"strings"
	"time"

	"github.com/IBM/sarama"

	"github.com/livedb/livedb/cdc"
	"github.com/livedb/livedb/cdc/envelope"
	"github.com/livedb/livedb/cdc/postgres"
	"github.com/livedb/livedb/internal/kafka"
	"github.com/livedb/livedb/internal/metrics"
	"github.com/livedb/livedb/producer"
)

// Config says what to replay, and where to.
type Config struct {
	Source  postgres.Config // with the slot and the publication of the stream
	Kafka   kafka.Config
	Prefix  string // of the stream
	Version string // of LiveDB, for the events

	ID       string // names the replay and its topics; NewID if empty. Of a replay that did not end: goes on with it
	From, To string // an LSN, a Position, a time, how long ago, or xid:1234; To is included. Empty: the oldest, the newest
	DryRun   bool   // plan only

	Output io.Writer // takes lines of JSON instead of Kafka, if not nil
	Rate   int       // changes a second; 0: no limit
	Limits producer.Limits

	Metrics  *metrics.Replay
	Progress func(Progress) // called now and then, by one goroutine; may be nil
	Log      *slog.Logger
}

// Progress is how far a replay is.
type Progress struct{ Done, Total uint64 } // events

// States of a Result.
const (
	Planned  = "planned"  // by a dry run
	Running  = "running"  // it ended before its end; run it again with its id
	Finished = "finished" // now or, if it wrote nothing, before
)

// Result is what a replay holds, and how far it came.
type Result struct {
	Prefix string `json:"prefix"`
	ID     string `json:"id"`
	State  string `json:"state,omitempty"`
	Slot   string `json:"slot"`

	Window *Window `json:"window,omitempty"` // what could be replayed when it began; not known of one that goes on

	From         *Place            `json:"from,omitempty"` // the first event
	To           *Place            `json:"to,omitempty"`   // the last one
	Transactions uint64            `json:"transactions"`
	Events       uint64            `json:"events"`
	WALBytes     uint64            `json:"wal_bytes"`        // of the source, up to the end of the last and from the commit before the first
	Topics       map[string]uint64 `json:"topics,omitempty"` // that it is made of: events in transactions, whole

	Done    uint64  `json:"done"`    // events written, by this run and those before
	Written uint64  `json:"written"` // by this run
	Records uint64  `json:"records"` // of this run: with tombstones
	Seconds float64 `json:"seconds"` // that decoding and writing took
}

func (r *Result) plan(p *plan) {
	r.From, r.To = &p.From, &p.To
	r.Transactions, r.Events, r.WALBytes, r.Topics = p.Transactions, p.Events, p.WALBytes, p.Counts
}

// NewID returns an id that nobody has used: the time and some letters.
func NewID(now time.Time) string {
	return now.UTC().Format("20060102-150405-") + strings.ToLower(rand.Text()[:4])
}

var legalID = regexp.MustCompile(`^[A-Za-z0-9-]{1,40}$`)

// replay is one run.
type replay struct {
	Config
	topics, own envelope.Topics // of the stream, of the replay
	result      *Result

	client sarama.Client
	saved  producer.Saved // of the stream
	source producer.Source
	slot   *postgres.Slot // to be copied
	copied *postgres.Copy
}

// Run replays until all is written, which is no error, until the context ends, or until something fails; a Result comes in
// any case. Whatever was written stays, and a run with the same id goes on behind it.
func Run(ctx context.Context, c Config) (*Result, error) {
	if c.ID == "" {
		c.ID = NewID(time.Now())
	}
	r := &replay{Config: c, topics: envelope.Topics(c.Prefix), own: envelope.Topics(c.Prefix).Replay(c.ID),
		result: &Result{Prefix: c.Prefix, ID: c.ID, Slot: postgres.ReplaySlot(c.Source.Slot)}}
	err := r.run(ctx)
	return r.result, kafka.Named(err)
}

func (r *replay) run(ctx context.Context) error {
	lower, upper, err := r.check()
	if err != nil {
		return err
	}
	if r.client, err = kafka.Connect(ctx, r.Kafka); err != nil {
		return err
	}
	defer r.client.Close()
	defer func() {
		if r.copied != nil {
			r.copied.Close()
		}
	}()
	if err := r.examine(ctx); err != nil {
		return err
	}
	var before *record
	if r.Output == nil && !r.DryRun {
		if before, err = peekRecord(ctx, r.client, r.own); err != nil {
			return err
		}
	}
	if before != nil {
		return r.resume(ctx, before)
	}
	if r.From == "" && !r.DryRun {
		return &cdc.Refusal{Name: "replay_from_missing", Problem: fmt.Sprintf("there is no replay %s to go on with, and nothing says where a new one begins", r.ID),
			Remedy: "give --from, or the --id of a replay that did not end"}
	}
	return r.begin(ctx, lower, upper)
}

// check refuses what cannot be meant.
func (r *replay) check() (lower, upper bound, err error) {
	if err := envelope.CheckPrefix(r.Prefix); err != nil {
		return lower, upper, &cdc.Refusal{Name: "prefix_malformed", Problem: err.Error(), Remedy: "correct --prefix", Err: err}
	}
	if !legalID.MatchString(r.ID) || envelope.CheckPrefix(string(r.own)) != nil {
		return lower, upper, &cdc.Refusal{Name: "replay_id_malformed", Problem: fmt.Sprintf("a replay cannot have the id %q", r.ID),
			Remedy: "use 1 to 40 letters, digits and dashes; with the prefix and some letters more it has room for 100"}
	}
	if r.Rate < 0 {
		return lower, upper, &cdc.Refusal{Name: "replay_rate_malformed", Problem: fmt.Sprintf("a replay cannot have the rate %d", r.Rate), Remedy: "give --rate as changes a second; 0 is without a limit"}
	}
	now := time.Now()
	if lower, err = parseBound("from", r.From, now); err != nil {
		return lower, upper, err
	}
	upper, err = parseBound("to", r.To, now)
	return lower, upper, err
}

// examine looks at both sides and refuses where there is nothing to replay, or where the source is not the stream's. It
// changes nothing.
func (r *replay) examine(ctx context.Context) error {
	server, err := postgres.Inspect(ctx, r.Source)
	if err != nil {
		return err
	}
	found, err := kafka.Look(ctx, r.client, r.topics.Checkpoint(), r.topics.Transaction())
	if err != nil {
		return err
	}
	if len(found) == 2 {
		if r.saved, err = producer.PeekSaved(ctx, r.client, r.topics); err != nil {
			return err
		}
	}
	if r.saved.Position == nil || r.saved.Position.State == producer.Creating {
		return &cdc.Refusal{Name: "stream_unknown", Problem: fmt.Sprintf("kafka has no stream %s", r.Prefix), Remedy: "correct --prefix or --kafka; livedb cdc begins a stream"}
	}
	r.slot = server.Replay
	switch {
	case r.slot == nil:
		return postgres.NoReplaySlot(r.result.Slot, "there is no slot "+r.result.Slot)
	case postgres.LostWAL(r.slot.WALStatus, r.slot.HasRestart):
		return postgres.NoReplaySlot(r.result.Slot, fmt.Sprintf("the slot %s has lost its WAL", r.result.Slot))
	}
	room, err := postgres.ReadRoom(ctx, r.Source)
	if err != nil {
		return err
	}
	if err := room.Check(); err != nil {
		return err
	}
	if r.copied, err = postgres.DialCopy(ctx, r.Source); err != nil {
		return err
	}
	identity, err := r.copied.Identify(ctx)
	if err != nil {
		return err
	}
	r.source = producer.Source{SystemID: identity.SystemID, Timeline: identity.Timeline, NeonTimeline: server.NeonTimeline,
		Database: identity.Database, Slot: r.Source.Slot, Publication: r.Source.Publication}
	return r.saved.Position.Check(r.source, 0, identity.Current)
}

// find looks for the window of a slot that decodes from an LSN on.
func (r *replay) find(ctx context.Context, confirmed cdc.LSN) (*finder, error) {
	f := &finder{order: r.order(), slot: r.result.Slot, confirmed: confirmed}
	if err := f.look(ctx); err != nil {
		return nil, err
	}
	r.result.Window = &f.window
	return f, nil
}

func (r *replay) order() *order {
	return &order{client: r.client, topic: r.topics.Transaction(), epoch: r.saved.Position.Epoch}
}

// begin plans a new replay, and runs it.
func (r *replay) begin(ctx context.Context, lower, upper bound) error {
	f, err := r.find(ctx, r.slot.Confirmed)
	if err != nil {
		return err
	}
	p, err := f.plan(ctx, lower, upper)
	if err != nil {
		return err
	}
	r.result.plan(p)
	if r.DryRun {
		r.result.State = Planned
		return nil
	}
	if err := r.copied.Make(ctx); err != nil {
		return err
	}
	if cdc.LSN(p.From.Position.Commit) < r.copied.Confirmed { // the slot moved meanwhile
		if f, err = r.find(ctx, r.copied.Confirmed); err != nil {
			return err
		}
		return f.below(lower.text)
	}
	r.result.State = Running
	if r.Output != nil {
		return r.toOutput(ctx, p)
	}
	return r.toNewTopics(ctx, p)
}

// resume goes on with a replay that has begun, or says that it is finished.
func (r *replay) resume(ctx context.Context, before *record) error {
	p := &before.Plan
	r.result.plan(p)
	r.result.State = Running
	if asked := r.From != "" || r.To != ""; asked && (r.From != before.From || r.To != before.To) {
		return &cdc.Refusal{Name: "replay_exists", Problem: fmt.Sprintf("the replay %s was begun with --from %q and --to %q", r.ID, before.From, before.To),
			Remedy: "leave both out to go on with it, or choose another --id"}
	}
	at, err := producer.PeekSaved(ctx, r.client, r.own)
	if err != nil {
		return err
	}
	if at.Position != nil && p.finished(at.Position) {
		r.result.State, r.result.Done = Finished, p.Events
		return nil
	}
	if err := r.copied.Make(ctx); err != nil {
		return err
	}
	return r.toOldTopics(ctx, p)
}

// errAnother says that somebody runs the same replay.
var errAnother = errors.New("another run of this replay has taken over, or took longer than kafka allows; run it again with its id once no other does")
