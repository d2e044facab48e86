package processor

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/livedb/livedb/cdc"
)

// stateKey is the one key of a view's state topic.
const stateKey = "position"

// state is the value of a view's state record: where the view stands in the stream, and what its results do not tell.
type state struct {
	Version    int           `json:"version"`
	View       string        `json:"view"` // the definition
	Position   cdc.Position  `json:"position"`
	Seq        uint64        `json:"seq"`
	Epoch      uint32        `json:"epoch"`
	Commit     cdc.CommitLSN `json:"commit_lsn"`
	CommitTime time.Time     `json:"commit_time"`
	Saved      Saved         `json:"saved"`
	EventTime  *int64        `json:"event_time_us"` // the greatest one, microseconds since 1970; null before the first
	Groups     int           `json:"groups"`
	Sample     *result       `json:"sample"` // one of the groups; null if there is none
	Dropped    uint64        `json:"dropped"`
	Late       uint64        `json:"late"`
	Begin      int64         `json:"begin_us,omitempty"` // windows that began before it are left out, microseconds since 1970
}

// result is a record of the view's topic.
type result struct {
	Key   string          `json:"key"`
	Value json.RawMessage `json:"value"`
}

// state returns the state after the last transaction folded, or at the beginning of an epoch, where its seq is 0; before
// the first transaction its epoch is 0 too.
func (s *session) state() []byte {
	st := state{Version: 1, View: s.config.View.definition(), Position: s.last.Position, Seq: s.last.Seq, Epoch: s.last.Tx.Epoch,
		Commit: s.last.Tx.Commit, CommitTime: s.last.Tx.Time,
		Groups: s.fold.live, Sample: s.fold.sample(), Dropped: s.fold.dropped, Late: s.fold.late, Begin: s.fold.begin}
	if s.reader != nil {
		st.Saved = s.reader.Saved()
	}
	if s.fold.timed {
		st.EventTime = &s.fold.newest
	}
	text, err := json.Marshal(st)
	if err != nil {
		panic(err) // plain data
	}
	return text
}

// sample returns the result of one group, as it was last written.
func (f *fold) sample() *result {
	for _, g := range f.groups {
		if g.rows > 0 {
			return &result{g.key, f.appendResult(nil, g)}
		}
	}
	return nil
}

// parseState reads what state wrote and refuses another view's.
func (s *session) parseState(text []byte) (st state, err error) {
	if err := json.Unmarshal(text, &st); err != nil || st.Version != 1 {
		return st, fmt.Errorf("%w: the state is of version %d and not one that this LiveDB wrote (%v): %s", ErrView, st.Version, err, s.anew())
	}
	if definition := s.config.View.definition(); st.View != definition {
		return st, fmt.Errorf("%w: the results are those of %s and the view is now %s: give it another name, or %s", ErrView, st.View, definition, s.anew())
	}
	return st, nil
}

// load takes back state and results, and says where the stream goes on. Both were written together, so results that do
// not fit the state are refused.
func (s *session) load(st state, results map[string][]byte) (Start, error) {
	if st.Groups != len(results) {
		return Start{}, fmt.Errorf("%w: the state tells of %d groups and there are %d results: %s", ErrView, st.Groups, len(results), s.anew())
	}
	for key, value := range results {
		if err := s.fold.load(key, value); err != nil {
			return Start{}, err
		}
	}
	f := s.fold
	f.dropped, f.late, f.begin = st.Dropped, st.Late, st.Begin
	if st.EventTime != nil {
		f.newest, f.timed = *st.EventTime, true
	}
	if st.Epoch == 0 {
		return FromBeginning(), nil
	}
	s.last = Item{Kind: End, Seq: st.Seq, Position: st.Position, Tx: Transaction{Epoch: st.Epoch, Commit: st.Commit, Time: st.CommitTime}}
	s.totals.restored(s)
	return From(st.Saved), nil
}

// anew is the remedy where state and results do not fit the view.
func (s *session) anew() string {
	return fmt.Sprintf("delete the topics %s and %s, so that the view is computed anew", s.view, s.place)
}
