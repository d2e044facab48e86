package ui

import (
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/livedb/livedb/cdc"
)

// Bounds of what is held of a view.
const (
	viewReach  = 15 * time.Minute // back from the newest second
	viewGroups = 20000
	viewAhead  = time.Minute // a second further in the future than this does not push older ones out
)

// groupKey and groupValue are a record of <prefix>.view-orders.
type groupKey struct {
	Status *string `json:"status"`
	Second string  `json:"second"`
}

type groupValue struct {
	Orders   int64        `json:"orders"`
	Revenue  *string      `json:"revenue"` // a decimal; nil is SQL's sum of nothing but nulls
	Position cdc.Position `json:"position"`
	Seq      uint64       `json:"seq"`
	Epoch    uint32       `json:"epoch"`
}

// group is one group of the view orders: a status and a second.
type group struct {
	status  *string
	second  time.Time
	removed bool // kept until it ages out, so that pages learn of it
	groupValue

	version uint64 // of the view when the group last changed
}

// ordersView holds the last minutes of the view's groups. Every change gives the view a new version, and what a page
// lacks is the groups with a greater version than its own.
type ordersView struct {
	mu      sync.Mutex
	groups  map[string]*group // by record key
	version uint64
	reset   uint64 // the version at which everything was read anew
	newest  time.Time
	at      *groupValue // the furthest position any group is true for
	loaded  bool
	changes uint64 // records read
}

func newOrdersView() *ordersView { return &ordersView{groups: map[string]*group{}} }

// clear empties the view: it is about to be read anew from the beginning.
func (v *ordersView) clear() {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.version++
	v.reset = v.version
	v.groups, v.newest, v.at, v.loaded = map[string]*group{}, time.Time{}, nil, false
}

// load says that all records that existed when reading began have been read.
func (v *ordersView) load() {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.loaded = true
}

// take reads a record of the view's topic. It returns the position the group is true for, zero for a removed group and
// for one that is only told again, as the processor does now and then.
func (v *ordersView) take(key, value []byte, now time.Time) (cdc.Position, error) {
	var k groupKey
	if err := json.Unmarshal(key, &k); err != nil {
		return cdc.Position{}, fmt.Errorf("key of a view's record: %w", err)
	}
	second, err := time.Parse(time.RFC3339Nano, k.Second)
	if err != nil {
		return cdc.Position{}, fmt.Errorf("key of a view's record: %w", err)
	}
	g := &group{status: k.Status, second: second, removed: value == nil}
	if value != nil {
		if err := json.Unmarshal(value, &g.groupValue); err != nil {
			return cdc.Position{}, fmt.Errorf("value of a view's record: %w", err)
		}
	}

	v.mu.Lock()
	defer v.mu.Unlock()
	v.changes++
	if value != nil && (v.at == nil || v.at.Epoch < g.Epoch || v.at.Epoch == g.Epoch && v.at.Position.Compare(g.Position) < 0) {
		v.at = &g.groupValue
	}
	if second.After(v.newest) && second.Before(now.Add(viewAhead)) {
		v.newest = second
	}
	if second.Before(v.newest.Add(-viewReach)) {
		delete(v.groups, string(key))
		return g.Position, nil
	}
	if old := v.groups[string(key)]; old != nil && old.removed == g.removed && old.Position == g.Position && old.Epoch == g.Epoch {
		return cdc.Position{}, nil
	}
	v.version++
	g.version = v.version
	v.groups[string(key)] = g
	if len(v.groups) > viewGroups {
		v.shrink(v.newest.Add(-viewReach))
	}
	return g.Position, nil
}

// trim drops what is out of reach.
func (v *ordersView) trim() {
	v.mu.Lock()
	defer v.mu.Unlock()
	oldest := v.newest.Add(-viewReach)
	for key, g := range v.groups {
		if g.second.Before(oldest) {
			delete(v.groups, key)
		}
	}
}

// shrink drops the oldest tenth of the groups, or at least what is out of reach.
func (v *ordersView) shrink(oldest time.Time) {
	seconds := make([]time.Time, 0, len(v.groups))
	for _, g := range v.groups {
		seconds = append(seconds, g.second)
	}
	slices.SortFunc(seconds, time.Time.Compare)
	if tenth := seconds[len(seconds)/10]; tenth.After(oldest) {
		oldest = tenth
	}
	for key, g := range v.groups {
		if !g.second.After(oldest) {
			delete(v.groups, key)
		}
	}
}

// groupJSON is a group as the stream carries it.
type groupJSON struct {
	Status  *string `json:"s"`
	Second  int64   `json:"t"` // seconds since 1970
	Orders  *int64  `json:"o"` // null: the group was removed
	Revenue *string `json:"r"`
}

// viewJSON is an event "view" of the stream.
type viewJSON struct {
	Reset    bool        `json:"reset,omitempty"` // forget all groups first
	Loaded   bool        `json:"loaded"`
	Position string      `json:"pos,omitempty"`
	Seq      uint64      `json:"seq,omitempty"`
	Groups   []groupJSON `json:"groups"`
}

// since returns what changed after a version, and the version reached. A page that has nothing begins at 0.
func (v *ordersView) since(version uint64) (viewJSON, uint64) {
	v.mu.Lock()
	defer v.mu.Unlock()
	j := viewJSON{Reset: version < v.reset || version == 0, Loaded: v.loaded, Groups: []groupJSON{}}
	if v.at != nil {
		j.Position, j.Seq = v.at.Position.String(), v.at.Seq
	}
	for _, g := range v.groups {
		if g.version <= version || g.removed && j.Reset {
			continue
		}
		one := groupJSON{Status: g.status, Second: g.second.Unix(), Revenue: g.Revenue}
		if !g.removed {
			one.Orders = &g.Orders
		}
		j.Groups = append(j.Groups, one)
	}
	return j, v.version
}

// groupRow is a group as /api/v1/view/orders shows it.
type groupRow struct {
	Status   *string      `json:"status"`
	Second   time.Time    `json:"second"`
	Orders   int64        `json:"orders"`
	Revenue  *string      `json:"revenue"`
	Position cdc.Position `json:"position"`
	Seq      uint64       `json:"seq"`
	Epoch    uint32       `json:"epoch"`
}

// rows returns the groups, the newest first.
func (v *ordersView) rows() []groupRow {
	v.mu.Lock()
	defer v.mu.Unlock()
	rows := make([]groupRow, 0, len(v.groups))
	for _, g := range v.groups {
		if !g.removed {
			rows = append(rows, groupRow{g.status, g.second, g.Orders, g.Revenue, g.Position, g.Seq, g.Epoch})
		}
	}
	slices.SortFunc(rows, func(a, b groupRow) int {
		return cmp.Or(b.Second.Compare(a.Second), cmp.Compare(label(a.Status), label(b.Status)))
	})
	return rows
}

func label(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}

// size returns the number of groups held and of records read.
func (v *ordersView) size() (groups int, changes uint64) {
	v.mu.Lock()
	defer v.mu.Unlock()
	return len(v.groups), v.changes
}
