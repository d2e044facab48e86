package processor

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"

	"github.com/livedb/livedb/cdc"
)

// results yields the result of every group that changed since the last call: key and value as JSON, no value for a
// group that is gone. They may be kept.
func (f *fold) results(yield func(key string, value []byte)) {
	for _, g := range f.dirty {
		g.dirty = false
		switch {
		case g.rows > 0:
			g.written = true
			yield(g.key, f.appendResult(make([]byte, 0, resultRoom), g))
		case g.written:
			g.written = false
			yield(g.key, nil)
		}
		if g.rows == 0 && !g.held {
			delete(f.groups, g.key)
		}
	}
	clear(f.dirty)
	f.dirty = f.dirty[:0]
}

// repeat has results yield every group.
func (f *fold) repeat() {
	for _, key := range slices.Sorted(maps.Keys(f.groups)) {
		if g := f.groups[key]; g.rows > 0 {
			f.touch(g)
		}
	}
}

// resultRoom is what the result of some few aggregates takes, in bytes.
const resultRoom = 160

// appendResult writes {"orders":3,"revenue":"12.50","position":"16/B374D848:7","seq":1041,"epoch":1}.
func (f *fold) appendResult(b []byte, g *group) []byte {
	b = append(b, '{')
	sums := g.sums
	for i, a := range f.view.Aggregates {
		b = append(b, f.fields[i]...)
		if a.Func == Count {
			b = append(strconv.AppendInt(b, g.rows, 10), ',')
			continue
		}
		s := sums[0]
		sums = sums[1:]
		if s.nulls == g.rows {
			b = append(b, "null,"...)
		} else {
			b = append(b, '"')
			b = s.total.append(b)
			b = append(b, `",`...)
		}
		if s.nulls > 0 {
			b = append(b, f.nulls[i]...)
			b = append(strconv.AppendInt(b, s.nulls, 10), ',')
		}
	}
	b = append(g.position.Append(append(b, `"position":"`...)), `","seq":`...)
	b = append(strconv.AppendUint(b, g.seq, 10), `,"epoch":`...)
	return append(strconv.AppendUint(b, uint64(g.epoch), 10), '}')
}

// load takes back a result that results yielded.
func (f *fold) load(key string, value []byte) error {
	g := &group{key: key, sums: make([]sum, len(f.columns)-len(f.view.GroupBy)), written: true}
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(value, &fields); err != nil {
		return f.foreign(key, value, err)
	}
	sums := g.sums
	for _, a := range f.view.Aggregates {
		if a.Func == Count {
			if err := json.Unmarshal(fields[a.As], &g.rows); err != nil || g.rows <= 0 {
				return f.foreign(key, value, fmt.Errorf("no count %s", a.As))
			}
		}
	}
	for _, a := range f.view.Aggregates {
		if a.Func == Sum {
			if err := sums[0].load(fields[a.As], fields[nullsName(a)]); err != nil {
				return f.foreign(key, value, err)
			}
			sums = sums[1:]
		}
	}
	var about struct {
		Position cdc.Position `json:"position"`
		Seq      uint64       `json:"seq"`
		Epoch    uint32       `json:"epoch"`
	}
	if err := json.Unmarshal(value, &about); err != nil {
		return f.foreign(key, value, err)
	}
	g.position, g.seq, g.epoch = about.Position, about.Seq, about.Epoch
	start, timed, err := f.windowOf(key)
	if err != nil {
		return f.foreign(key, value, err)
	}
	f.groups[key] = g
	f.live++
	f.hold(g, start, timed)
	return nil
}

func (s *sum) load(total, nulls []byte) (err error) {
	if nulls != nil {
		if err := json.Unmarshal(nulls, &s.nulls); err != nil {
			return err
		}
	}
	if total == nil {
		return errors.New("a sum is missing")
	}
	if string(total) == "null" {
		return nil
	}
	return s.total.add(unquoted(total), 1)
}

// windowOf finds the window that a result's key names.
func (f *fold) windowOf(key string) (start int64, timed bool, err error) {
	members := 0
	for o := (object{data: []byte(key)}); ; members++ {
		name, value, more, err := o.next()
		switch {
		case err != nil:
			return 0, false, err
		case !more && members != len(f.view.GroupBy):
			return 0, false, errors.New("other groups than the view's")
		case !more:
			return start, timed, nil
		case members >= len(f.view.GroupBy) || string(name) != f.view.GroupBy[members].As:
			return 0, false, fmt.Errorf("a group %q", name)
		case members == f.tumble && string(value) != "null":
			if start, _, err = parseTime(value); err != nil {
				return 0, false, err
			}
			timed = true
		}
	}
}

func (f *fold) foreign(key string, value []byte, err error) error {
	return fmt.Errorf("%w: the result %s = %s is not of view %s (%v): delete the view's two topics, so that it is computed anew",
		ErrView, key, value, f.view.Name, err)
}

// appendName writes a member's name and the colon.
func appendName(b []byte, name string) []byte {
	text, err := json.Marshal(name)
	if err != nil {
		panic(err) // a string
	}
	return append(append(b, text...), ':')
}
