package processor

import (
	"bytes"
	"fmt"
	"maps"
	"slices"

	"github.com/livedb/livedb/cdc"
	"github.com/livedb/livedb/cdc/envelope"
)

// fold keeps a view's groups up to date, one event at a time. It is pure: the groups depend on the events alone. What
// is not in memory is in the results it yields, and load takes them back.
type fold struct {
	view    View
	tumble  int      // index of the group that is a window, -1 if none is
	names   [][]byte // of the groups, as "status":
	fields  [][]byte // of the aggregates, likewise; and of the nulls of each
	nulls   [][]byte
	columns []string // the table's that are needed: the groups', then the sums'
	before  row
	after   row

	groups  map[string]*group // by the result's key
	live    int               // groups that hold rows
	windows []window          // with a retention, in the order of time
	newest  int64             // the greatest event time, microseconds since 1970
	timed   bool              // there was an event time
	dropped uint64            // groups that retention dropped
	late    uint64            // changes of groups that retention had dropped, or that began before the stream
	begin   int64             // windows that began before it are left out, microseconds since 1970; 0 for none

	dirty   []*group // changed since results
	scratch []byte
	at      int64 // event time of the last row looked at
	atKnown bool
}

// row is what a view needs of a row: its columns as JSON, in the order of fold.columns. nil is one that is not there.
type row [][]byte

// group is a row of the result.
type group struct {
	key  string
	rows int64
	sums []sum

	// Of the last event that changed it.
	position cdc.Position
	seq      uint64
	epoch    uint32

	held    bool // by a window, which will drop it
	dirty   bool // in fold.dirty
	written bool // there is a result of it
}

// sum is the sum of a column over a group.
type sum struct {
	total exact
	nulls int64 // rows without a value
}

// window is a time window and the groups that fall into it.
type window struct {
	start  int64 // microseconds since 1970
	groups []*group
}

func newFold(v View) *fold {
	f := &fold{view: v, tumble: -1, groups: map[string]*group{}}
	for i, g := range v.GroupBy {
		f.columns = append(f.columns, g.Column)
		f.names = append(f.names, appendName(nil, g.As))
		if g.Tumble > 0 {
			f.tumble = i
		}
	}
	for _, a := range v.Aggregates {
		f.fields = append(f.fields, appendName(nil, a.As))
		f.nulls = append(f.nulls, appendName(nil, nullsName(a)))
		if a.Func == Sum {
			f.columns = append(f.columns, a.Column)
		}
	}
	f.before, f.after = make(row, len(f.columns)), make(row, len(f.columns))
	return f
}

// apply takes a change of the view's table.
func (f *fold) apply(item *Item) error {
	op, err := f.read(item.Value)
	if err != nil {
		return f.violation(item, ErrRecord, "a change of a row", err.Error())
	}
	late := false
	switch op {
	case cdc.Insert, cdc.Read:
		late, err = f.change(item, f.after, 1)
	case cdc.Delete:
		late, err = f.change(item, f.before, -1)
	case cdc.Update:
		var lateBefore bool
		if lateBefore, err = f.change(item, f.before, -1); err == nil {
			late, err = f.change(item, f.after, 1)
		}
		late = late || lateBefore
	default:
		return f.violation(item, ErrRecord, "a change of a row", fmt.Sprintf("op %q", op))
	}
	if late {
		f.late++
	}
	if err == nil && op != cdc.Delete {
		f.advance(item)
	}
	return err
}

// read finds op and the needed columns in an envelope. Of one as LiveDB writes it only rows and end are looked at.
func (f *fold) read(value []byte) (op cdc.Op, err error) {
	clear(f.before)
	clear(f.after)
	if bytes.HasPrefix(value, beforeRows) {
		op = envelope.LastOp(value)
	}
	ours := op != 0
	for o := (object{data: value}); ; {
		key, more, err := o.member()
		if err != nil || !more {
			return op, err
		}
		switch string(key) {
		case "before":
			err = f.readRow(f.before, &o)
		case "after":
			err = f.readRow(f.after, &o)
			if ours && err == nil && bytes.HasPrefix(o.data[o.at:], afterRows) {
				return op, nil
			}
		case "op":
			var letter []byte
			if letter, err = o.value(); err == nil && len(letter) != 3 {
				err = errJSON
			}
			if err == nil {
				op = cdc.Op(letter[1])
			}
		default:
			_, err = o.value()
		}
		if err != nil {
			return 0, err
		}
	}
}

// What stands before and after the rows of an envelope that LiveDB wrote.
var (
	beforeRows = []byte(`{"before":`)
	afterRows  = []byte(`,"source":{"version":"`)
)

// unavailable stands for a large column that an update did not touch. With a full replica identity it never does.
const unavailable = `"__debezium_unavailable_value"`

// readRow reads the row that the walk has come to.
func (f *fold) readRow(r row, o *object) error {
	inner := object{data: o.data[o.at:]}
	if bytes.HasPrefix(inner.data, []byte("null")) {
		if value, err := o.value(); err != nil || len(value) != len("null") {
			return errJSON
		}
		return nil
	}
	for {
		key, value, more, err := inner.next()
		if err != nil {
			return err
		}
		if !more {
			o.at += inner.at + 1
			return nil
		}
		for i, name := range f.columns {
			if string(key) == name && string(value) != unavailable {
				r[i] = value
			}
		}
	}
}

// change adds a row to its group, or with -1 takes it back. Late is a row of a group that retention dropped.
func (f *fold) change(item *Item, r row, by int64) (late bool, err error) {
	if i := slices.IndexFunc(r, func(v []byte) bool { return v == nil }); i >= 0 {
		kind, want := ErrValue, "a row with column "+f.columns[i]
		if by < 0 {
			kind, want = ErrIdentity, "the whole earlier row"
		}
		return false, f.violation(item, kind, want, "one without column "+f.columns[i])
	}
	key, start, err := f.key(r)
	if err != nil {
		return false, f.violation(item, ErrValue, "a time such as 2026-11-22T10:00:00.123456Z", err.Error())
	}
	if f.atKnown && (start < f.horizon() || start < f.begin) {
		return true, nil
	}
	g := f.groups[string(key)]
	if by < 0 && (g == nil || g.rows == 0) {
		return false, f.violation(item, ErrUncounted, "a row of group "+string(key), "one that was never added to it")
	}
	if g == nil {
		g = &group{key: string(key), sums: make([]sum, len(f.columns)-len(f.view.GroupBy))}
		f.groups[g.key] = g
	}
	if by > 0 && g.rows == 0 && !g.held {
		f.hold(g, start, f.atKnown)
	}
	for i := range g.sums {
		if err := g.sums[i].add(r[len(f.view.GroupBy)+i], by); err != nil {
			return false, f.violation(item, ErrValue, "a number in column "+f.columns[len(f.view.GroupBy)+i], err.Error())
		}
	}
	if by > 0 && g.rows == 0 {
		f.live++
	}
	g.rows += by
	if g.rows == 0 {
		f.empty(g)
	}
	for i := range g.sums {
		if g.sums[i].nulls == g.rows {
			g.sums[i].total = exact{} // in every digit, as after load
		}
	}
	g.position, g.seq, g.epoch = item.Position, item.Seq, item.Tx.Epoch
	f.touch(g)
	return false, nil
}

// empty leaves a group without rows.
func (f *fold) empty(g *group) {
	f.live--
	g.rows = 0
	clear(g.sums)
}

// touch remembers that a group's result is to be written.
func (f *fold) touch(g *group) {
	if !g.dirty {
		g.dirty = true
		f.dirty = append(f.dirty, g)
	}
}

// key builds the result's key of a row, valid until the next call, and finds its window.
func (f *fold) key(r row) (key []byte, start int64, err error) {
	f.at, f.atKnown = 0, false
	b := append(f.scratch[:0], '{')
	for i, g := range f.view.GroupBy {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(b, f.names[i]...)
		if i != f.tumble || string(r[i]) == "null" {
			b = append(b, r[i]...)
			continue
		}
		at, zoned, err := parseTime(r[i])
		if err != nil {
			return nil, 0, err
		}
		f.at, f.atKnown = at, true
		start = floor(at, g.Tumble.Microseconds())
		b = appendTime(b, start, zoned)
	}
	f.scratch = append(b, '}')
	return f.scratch, start, nil
}

// add adds a value, or with -1 takes it back.
func (s *sum) add(value []byte, by int64) error {
	if string(value) == "null" {
		s.nulls += by
		return nil
	}
	return s.total.add(unquoted(value), by)
}

// unquoted takes the quotes off a number, if it has any.
func unquoted(value []byte) []byte {
	if value[0] == '"' {
		return value[1 : len(value)-1]
	}
	return value
}

// truncate clears the view if the event truncates its table.
func (f *fold) truncate(item *Item) error {
	e, err := envelope.ParseEvent(item.Value)
	if err != nil {
		return f.violation(item, ErrRecord, "a truncate", err.Error())
	}
	if e.Kind() != cdc.Truncate || e.Source.Schema != f.view.Schema || e.Source.Table != f.view.Table {
		return nil
	}
	for _, key := range slices.Sorted(maps.Keys(f.groups)) {
		if g := f.groups[key]; g.rows > 0 {
			f.empty(g)
			g.position, g.seq, g.epoch = item.Position, item.Seq, item.Tx.Epoch
			f.touch(g)
		}
	}
	return nil
}

// forget leaves every group without rows, as the beginning of an epoch asks for: nobody knows any more what the table holds.
func (f *fold) forget(epoch uint32) {
	for _, key := range slices.Sorted(maps.Keys(f.groups)) {
		g := f.groups[key]
		if g.rows > 0 {
			f.empty(g)
		}
		g.held = false
		g.position, g.seq, g.epoch = cdc.Position{}, 0, epoch
		f.touch(g)
	}
	f.windows, f.newest, f.timed, f.begin = nil, 0, false, 0
}

func (f *fold) violation(item *Item, kind error, want, got string) error {
	v := &Violation{Err: kind, Topic: item.Topic, Partition: item.Partition, Offset: item.Offset, Want: want, Got: got}
	if kind == ErrIdentity {
		v.Remedy = fmt.Sprintf("run ALTER TABLE %s.%s REPLICA IDENTITY FULL and begin a new epoch, for the events written before stay as they are",
			f.view.Schema, f.view.Table)
	}
	return v
}
