package capture

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/livedb/livedb/cdc"
	"github.com/livedb/livedb/cdc/envelope"
	"github.com/livedb/livedb/cdc/postgres"
	"github.com/livedb/livedb/internal/failpoint"
	"github.com/livedb/livedb/internal/kafka"
	"github.com/livedb/livedb/producer"
)

// A stream that has lost changes goes on in a new epoch, if somebody orders it: the same topics, seqs from 1 on again, and
// a certificate of the gap at its beginning. The old epoch has ended for good once the checkpoint says "creating" with
// that certificate; whatever start comes next, ordered or not, brings the new one to its beginning:
//
//	publication, if it is missing ─► creating ─► our slots dropped ─► slot ─► certificate + checkpoint, in one Kafka transaction
//
// That is the bootstrap of a stream, and every step of it may be repeated.

// NextEpoch, as Config.NewEpoch, orders the epoch after the one that the stream is in, whatever its number.
const NextEpoch = math.MaxUint32

// lifted are the refusals that a new epoch makes moot, with what else might be done. All others stay: an epoch needs a
// source that can be streamed, the database and the slot of the stream, and all of its topics as they were.
var lifted = map[string]string{
	"slot_missing":                "",
	"slot_wal_lost":               "",
	"slot_or_publication_missing": "",
	"publication_missing":         "",
	"partial_transaction_missing": "",
	"partial_transaction_shorter": "",
	"slot_not_synced":             "",
	"promotion_lost_commits":      "undo the lost transactions where they were acted on; ",
	"slot_ahead_of_checkpoint":    "if kafka lost what it had committed, livedb recover delivers it again; else find out who moved the slot; ",
	"publication_altered":         "put the publication back as it was if nothing was written since; otherwise, ",
	"table_left_publication":      "add the table again if nothing was written to it since; otherwise, ",
	"system_identifier_changed":   "correct --source or --prefix if they are wrong; otherwise, ",
	"timeline_changed":            "correct --source or --prefix if they are wrong; otherwise, ",
	"neon_timeline_changed":       "correct --source or --prefix if they are wrong; otherwise, ",
	"checkpoint_ahead_of_wal":     "correct --source or --prefix if they are wrong; otherwise, ",
	"source_rewritten":            "correct --source or --prefix if they are wrong; otherwise, ",
}

// liftable returns the refusal of an error that a new epoch makes moot.
func liftable(err error) (*cdc.Refusal, bool) {
	var refusal *cdc.Refusal
	if !errors.As(err, &refusal) {
		return nil, false
	}
	_, may := lifted[refusal.Name]
	return refusal, may
}

// LostError is a refusal that a new epoch would make moot, with the certificate of what is lost by then.
type LostError struct {
	Refusal *cdc.Refusal
	Gap     *envelope.Gap // without its end
}

// Error is the refusal's.
func (e *LostError) Error() string { return e.Refusal.Error() }

// Unwrap gives the refusal.
func (e *LostError) Unwrap() error { return e.Refusal }

// certifyLimit bounds how long a stop waits for Kafka to tell where the stream ends.
const certifyLimit = 10 * time.Second

// certified adds to a refusal what is lost, and the order that would go on without it. Other errors stay as they are.
func certified(ctx context.Context, c Config, err error) error {
	refusal, may := liftable(err)
	if !may {
		return err
	}
	told := *refusal
	told.Err = err
	gap, lookErr := lookUp(ctx, c, refusal)
	if lookErr != nil {
		c.Log.Warn("what is lost could not be looked up", "error", lookErr)
		told.Remedy = lifted[refusal.Name] + "to go on without what is lost, start once with --new-epoch"
		return &told
	}
	told.Remedy = fmt.Sprintf("%sto go on without what committed from %s on (after seq %d of epoch %d), start once with --new-epoch=%d",
		lifted[refusal.Name], gap.From.End, gap.From.Seq, gap.EpochFrom, gap.EpochTo)
	c.Log.Error("the stream has lost changes", "certificate", certificate(gap))
	return &LostError{&told, gap}
}

// lookUp has Kafka tell where the stream ends.
func lookUp(ctx context.Context, c Config, why *cdc.Refusal) (*envelope.Gap, error) {
	ctx, cancel := context.WithTimeout(ctx, certifyLimit)
	defer cancel()
	client, err := kafka.Connect(ctx, c.Kafka)
	if err != nil {
		return nil, err
	}
	defer client.Close()
	saved, err := peek(ctx, client, envelope.Topics(c.Prefix))
	if err == nil && saved.Position == nil {
		err = errors.New("there is no checkpoint")
	}
	if err != nil {
		return nil, err
	}
	return saved.Position.Certificate(c.Prefix, why), nil
}

// certificate is a gap as JSON, for a log.
func certificate(gap *envelope.Gap) string {
	text, err := json.Marshal(gap)
	if err != nil {
		return err.Error() // plain data: it never fails
	}
	return string(text)
}

// ordered reports whether the epoch after this one was ordered.
func (c *Config) ordered(epoch uint32) bool {
	return c.NewEpoch == NextEpoch || c.NewEpoch != 0 && c.NewEpoch == epoch+1
}

// lift takes a refusal that the order makes moot as the reason of a new epoch. It returns every other error.
func (e *evidence) lift(c *Config, err error) error {
	refusal, may := liftable(err)
	if !may || !c.ordered(e.saved.Position.Epoch) {
		return err
	}
	if e.lost == nil {
		e.lost = refusal
	}
	return nil
}

// examineLost refuses what not even a new epoch makes right.
func (e *evidence) examineLost(c *Config) error {
	at := e.saved.Position
	as := e.source(c.Source)
	if as.SystemID != at.SystemID { // what the names mean there is for that Postgres to say
		as.Slot, as.Publication = at.Slot, at.Publication
	}
	as.SystemID, as.Timeline, as.NeonTimeline = at.SystemID, at.Timeline, at.NeonTimeline
	if err := at.Check(as, 0, math.MaxUint64); err != nil {
		return err
	}
	for _, slot := range []*postgres.Slot{e.server.Slot, e.server.Replay} {
		if slot != nil && at.SystemID != e.identity.SystemID {
			return &cdc.Refusal{Name: "slot_of_another_stream", Unsafe: true,
				Problem: fmt.Sprintf("the slot %s is there already, and the stream %s has been with another Postgres, of the system %s", slot.Name, c.Prefix, at.SystemID),
				Remedy:  "name another slot with --slot, or drop this one if nothing reads it"}
		}
	}
	return nil
}

// takeUp has the next session begin a new epoch for a refusal that came only when the stream ran, if one was ordered and
// the stream has not got any further in this process. It does so once.
func (r *role) takeUp(err error) bool {
	refusal, may := liftable(err)
	if !may || r.NewEpoch == 0 || r.lost != nil || r.progress.Commits.Load() > 0 {
		return false
	}
	r.lost = refusal
	r.Log.Warn("the stream cannot go on, and a new epoch was ordered", "reason", refusal.Problem)
	return true
}

// gap is the certificate that the epoch to be bootstrapped begins with; nil for the first one.
func (r *role) gap(e *evidence) *envelope.Gap {
	at := e.saved.Position
	if at == nil || at.Gap == nil && (e.lost == nil || at.State == producer.Creating) {
		return nil
	}
	gap := at.Certificate(r.Prefix, e.lost)
	now := e.source(r.Source)
	gap.SourceNow = &now
	return gap
}

// beginEpoch writes the beginning of an epoch whose slot has been created.
func (r *role) beginEpoch(p *kafka.Producer, from producer.Checkpoint, topology producer.Topology) (producer.Checkpoint, producer.Topology, error) {
	gap := from.Gap
	from.Gap = nil
	gap.To = &envelope.GapTo{LSN: from.End, Time: from.Time}
	topology, err := producer.BeginEpoch(p, r.topics, from, gap, topology)
	if err != nil {
		return from, topology, err
	}
	r.Metrics.Gaps.Inc()
	r.Log.Warn("a new epoch begins: "+gap.String(), "certificate", certificate(gap))
	r.NewEpoch, r.lost = 0, nil
	return from, topology, failpoint.Hit(failpoint.EpochBegun)
}
