package processor

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/livedb/livedb/cdc/envelope"
)

// choice is the topics of events that a reader reads; nil means all.
type choice map[string]bool

func (c choice) has(topic string) bool { return c == nil || c[topic] }

// choose gives the topics of tables, and always that of their truncates.
func choose(topics envelope.Topics, tables []string) (choice, error) {
	if len(tables) == 0 {
		return nil, nil
	}
	chosen := choice{topics.Truncate(): true}
	for _, table := range tables {
		schema, name, found := strings.Cut(table, ".")
		if !found || schema == "" || name == "" {
			return nil, fmt.Errorf("the table %q to read is not written as schema.table: write its schema too, such as public.%s", table, table)
		}
		topic, err := topics.Table(schema, name)
		if err != nil {
			return nil, err
		}
		chosen[topic] = true
	}
	return chosen, nil
}

// ErrTables: a place was saved by a reader of other tables.
var ErrTables = errors.New("other tables")

// sameTables refuses to go on with other tables than those of the place: what was passed over of them is gone for good,
// and what was read would not fit.
func sameTables(saved, now []string) error {
	if slices.Equal(saved, now) {
		return nil
	}
	return fmt.Errorf("%w: the place was saved by a reader of %s, and this one reads %s: read the same tables, or begin anew and keep another place",
		ErrTables, tablesText(saved), tablesText(now))
}

func tablesText(tables []string) string {
	if len(tables) == 0 {
		return "all tables"
	}
	return strings.Join(tables, ", ")
}
