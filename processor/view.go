package processor

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/livedb/livedb/cdc/envelope"
)

// View is a SELECT … GROUP BY over one table, as plain data. It means what the SELECT means on the source: an insert
// adds, a delete takes its row back, an update does both, a truncate clears. A time window is a group like any other.
//
//	SELECT status, date_trunc('second', created_at) AS second, count(*) AS orders, sum(total) AS revenue
//	FROM orders GROUP BY 1, 2
//
// Groups compare columns as Kafka carries them, by their text: do not group by a numeric whose scale varies.
type View struct {
	Name       string      `json:"name"`
	Schema     string      `json:"schema"`
	Table      string      `json:"table"`
	GroupBy    []Group     `json:"group_by"`   // in the order of the result's key; at least one
	Aggregates []Aggregate `json:"aggregates"` // at least a Count: it tells when a group is empty

	// Retention drops the groups whose window begins earlier than that before the greatest event time seen, the tumbled
	// column's: it depends on the data alone, never on the clock. A later change of such a group is late: counted and
	// passed over. 0 keeps everything.
	Retention time.Duration `json:"retention"`
}

// Group is a column to group by, or with Tumble, windows of a time column.
type Group struct {
	Column string        `json:"column"`
	As     string        `json:"as"` // its name in the result's key
	Tumble time.Duration `json:"tumble,omitempty"`
}

// Func is an aggregate function.
type Func string

// The aggregate functions. Count counts rows; Sum adds a numeric column exactly, and is null if there is no value.
const (
	Count Func = "count"
	Sum   Func = "sum"
)

// Aggregate is one aggregate of a View.
type Aggregate struct {
	Func   Func   `json:"func"`
	Column string `json:"column,omitempty"` // of a Sum
	As     string `json:"as"`               // its name in the result
}

// Orders is the demo's view: orders and revenue by status and second, for ten minutes.
func Orders(schema string) View {
	return View{
		Name: "orders", Schema: schema, Table: "orders",
		GroupBy:    []Group{{Column: "status", As: "status"}, {Column: "created_at", As: "second", Tumble: time.Second}},
		Aggregates: []Aggregate{{Func: Count, As: "orders"}, {Func: Sum, Column: "total", As: "revenue"}},
		Retention:  10 * time.Minute,
	}
}

// ErrView: a view's definition is not one that can be computed, or not the one its results were computed by.
var ErrView = errors.New("unusable view")

// Check refuses a definition that cannot be computed.
func (v *View) Check() error {
	refuse := func(format string, args ...any) error {
		return fmt.Errorf("%w: view %q %s", ErrView, v.Name, fmt.Sprintf(format, args...))
	}
	tumbles, counts := 0, 0
	names := []string{"position", "seq", "epoch"}
	add := func(name string) error {
		if name == "" || slices.Contains(names, name) {
			return refuse("names two things %q: give each group and aggregate its own name, other than position, seq and epoch", name)
		}
		names = append(names, name)
		return nil
	}
	var err error
	for _, g := range v.GroupBy {
		if g.Tumble != 0 {
			tumbles++
		}
		if g.Column == "" || g.Tumble < 0 || g.Tumble%time.Microsecond != 0 {
			err = errors.Join(err, refuse("groups by %q in windows of %s: name a column and whole microseconds", g.Column, g.Tumble))
		}
		err = errors.Join(err, add(g.As))
	}
	for _, a := range v.Aggregates {
		switch {
		case a.Func == Count:
			counts++
		case a.Func != Sum || a.Column == "":
			err = errors.Join(err, refuse("has the aggregate %q of %q: use count, or sum of a column", a.Func, a.Column))
		}
		err = errors.Join(err, add(a.As))
		if a.Func == Sum {
			err = errors.Join(err, add(nullsName(a)))
		}
	}
	if _, nameErr := envelope.Topics("p").Table(v.Schema, v.Table); v.Table == "" || nameErr != nil || envelope.CheckPrefix(v.Name) != nil {
		err = errors.Join(err, refuse("of table %q.%q cannot name its topics: use letters, digits, dots, dashes and underscores", v.Schema, v.Table))
	}
	switch {
	case err != nil:
	case len(v.GroupBy) == 0 || tumbles > 1:
		err = refuse("has %d groups and %d windows: group by at least one column and at most one window", len(v.GroupBy), tumbles)
	case counts == 0:
		err = refuse("counts nothing: add a count, without which an empty group cannot be told")
	case v.Retention < 0 || v.Retention > 0 && tumbles == 0:
		err = refuse("has a retention of %s and %d windows: group by a window, or keep everything", v.Retention, tumbles)
	}
	return err
}

// nullsName names the field that counts a sum's nulls; it is written only where there are any.
func nullsName(a Aggregate) string { return a.As + "_nulls" }

// definition is the view as text, to compare with the one that results were computed by.
func (v *View) definition() string {
	text, err := json.Marshal(v)
	if err != nil {
		panic(err) // plain data
	}
	return string(text)
}
