package processor

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/shopspring/decimal"
	"pgregory.net/rapid"

	"github.com/livedb/livedb/cdc"
)

// Any history, folded, is what the SELECT says over the final table, within the retention; with restarts from the
// results in between the results are the same to the byte.
func TestFoldEqualsTheSelect(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		view := Orders("public")
		view.Retention = rapid.SampledFrom([]time.Duration{0, 3 * time.Second}).Draw(t, "retention")
		f, again := newFold(view), newFold(view)
		stored, storedAgain := map[string]string{}, map[string]string{}
		table, item := map[int]order{}, Item{Tx: Transaction{Epoch: 1}}
		for range rapid.IntRange(1, 60).Draw(t, "changes") {
			item.Seq++
			item.Position, item.Value = cdc.Position{Commit: 100, Index: item.Seq}, drawChange(t, table)
			for _, f := range []*fold{f, again} {
				step := f.apply
				if item.Value[len(`{"before":`)] == 'n' && strings.Contains(string(item.Value), `"op":"t"`) {
					step = f.truncate
				}
				if err := step(&item); err != nil {
					t.Fatal(err)
				}
			}
			if rapid.IntRange(0, 3).Draw(t, "restart") == 0 {
				store(again, storedAgain)
				again = reload(t, again, storedAgain)
			}
			if rapid.IntRange(0, 9).Draw(t, "write") == 0 {
				store(f, stored)
			}
		}
		store(f, stored)
		store(again, storedAgain)
		if diff := cmp.Diff(stored, storedAgain); diff != "" {
			t.Fatalf("with restarts (-without +with):\n%s", diff)
		}
		if diff := cmp.Diff(selectOrders(table, f), tellAll(t, stored)); diff != "" {
			t.Fatalf("(-select +view):\n%s", diff)
		}
		if f.live != len(stored) || f.late != again.late || f.dropped != again.dropped {
			t.Fatalf("%d groups of %d, late %d and %d, dropped %d and %d", f.live, len(stored), f.late, again.late, f.dropped, again.dropped)
		}
	})
}

// drawChange draws a change of a table and makes it.
func drawChange(t *rapid.T, table map[int]order) []byte {
	next := order{
		rapid.SampledFrom([]string{"open", "paid", ""}).Draw(t, "status"),
		rapid.SampledFrom([]string{"", fmt.Sprintf("10:00:%02d.%d", rapid.IntRange(0, 12).Draw(t, "second"), rapid.IntRange(0, 9).Draw(t, "fraction"))}).Draw(t, "created"),
		rapid.SampledFrom([]string{"", "1", "0.10", "12.5", "-3.001"}).Draw(t, "total"),
	}
	ids := slices.Sorted(maps.Keys(table))
	kind := rapid.IntRange(0, 20).Draw(t, "kind")
	if len(ids) == 0 || kind < 9 {
		table[slices.Max(append(ids, 0))+1] = next
		return change(rapid.SampledFrom([]string{"c", "r"}).Draw(t, "op"), nil, &next)
	}
	id := rapid.SampledFrom(ids).Draw(t, "row")
	old := table[id]
	switch {
	case kind == 20:
		clear(table)
		return change("t", nil, nil)
	case kind < 15:
		delete(table, id)
		return change("d", &old, nil)
	}
	table[id] = next
	return change("u", &old, &next)
}

func store(f *fold, stored map[string]string) {
	f.results(func(key string, value []byte) {
		stored[key] = string(value)
		if value == nil {
			delete(stored, key)
		}
	})
}

func reload(t *rapid.T, old *fold, stored map[string]string) *fold {
	f := newFold(old.view)
	f.newest, f.timed, f.late, f.dropped = old.newest, old.timed, old.late, old.dropped
	for key, value := range stored {
		if err := f.load(key, []byte(value)); err != nil {
			t.Fatal(err)
		}
	}
	return f
}

// selectOrders is the SELECT, over the rows whose windows retention keeps.
func selectOrders(table map[int]order, f *fold) map[string]string {
	type result struct {
		rows, values int
		total        decimal.Decimal
	}
	groups := map[string]result{}
	for _, o := range table {
		second := "-"
		if o.created != "" {
			at, _ := time.Parse("2006-01-02T15:04:05.9", "2026-11-22T"+o.created)
			if at.Truncate(time.Second).UnixMicro() < f.horizon() {
				continue
			}
			second = at.Format("15:04:05")
		}
		if o.status == "" {
			o.status = "-"
		}
		g := groups[o.status+" "+second]
		g.rows++
		if o.total != "" {
			g.values++
			g.total = g.total.Add(decimal.RequireFromString(o.total))
		}
		groups[o.status+" "+second] = g
	}
	told := map[string]string{}
	for key, g := range groups {
		total := "null"
		if g.values > 0 {
			total = g.total.String()
		}
		told[key] = fmt.Sprint(g.rows, " ", total)
	}
	return told
}

func tellAll(t fataler, stored map[string]string) map[string]string {
	told := map[string]string{}
	for key, value := range stored {
		name, result, _ := strings.Cut(short(t, key, []byte(value)), " = ")
		words := strings.Fields(result)
		if words[1] != "null" {
			words[1] = decimal.RequireFromString(words[1]).String()
		}
		told[name] = words[0] + " " + words[1]
	}
	return told
}
