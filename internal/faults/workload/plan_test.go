package workload

import (
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func plans(cfg Config, writer, n int) []*plan {
	p := newPlanner(cfg, writer, nil)
	made := []*plan{p.fixed()}
	for range n {
		made = append(made, p.next())
	}
	return made
}

// A failure that a seed brought about comes again with the seed: the plans depend on nothing else.
func TestSameSeedSamePlans(t *testing.T) {
	cfg := Config{Seed: rand.Uint64()}.withDefaults()
	t.Logf("seed %d", cfg.Seed)
	same := cmp.AllowUnexported(plan{}, step{})
	first := plans(cfg, 3, 2000)
	if d := cmp.Diff(first, plans(cfg, 3, 2000), same); d != "" {
		t.Errorf("the same seed made other plans:\n%s", d)
	}
	if cmp.Equal(first, plans(cfg, 4, 2000), same) {
		t.Error("two writers have the same plans")
	}
	cfg.Seed++
	if cmp.Equal(first, plans(cfg, 3, 2000), same) {
		t.Error("two seeds make the same plans")
	}
}

// Every kind comes once the deck is dealt, Big from the first writer only, and never what the server cannot do.
func TestEveryKindIsDealt(t *testing.T) {
	cfg := Config{Seed: rand.Uint64()}.withDefaults()
	t.Logf("seed %d", cfg.Seed)
	for writer := range 2 {
		p := newPlanner(cfg, writer, map[Kind]string{Prepare: "no", Resolve: "no"})
		seen := map[Kind]bool{Fixed: true}
		for range len(p.mix) {
			seen[p.next().kind] = true
		}
		for _, k := range Kinds() {
			want := k != Prepare && k != Resolve && (k != Big || writer == 0)
			if seen[k] != want {
				t.Errorf("writer %d: kind %s seen is %t, want %t", writer, k, seen[k], want)
			}
		}
	}
}

// A table takes some 1,600 columns in its life. A long run must not use them up: then it changes types instead.
func TestDroppedColumnsAreBounded(t *testing.T) {
	cfg := Config{Seed: rand.Uint64()}.withDefaults()
	t.Logf("seed %d", cfg.Seed)
	p := newPlanner(cfg, 0, nil)
	drops := 0
	for range 2 * changing * columnsPerTable {
		for _, s := range p.plan(DropColumn).steps {
			if strings.Contains(s.sql, "DROP COLUMN") {
				drops++
			}
		}
	}
	if limit := changing * columnsPerTable / cfg.Writers; drops != limit {
		t.Errorf("one of %d writers dropped %d columns, want %d", cfg.Writers, drops, limit)
	}
}

// Every gid is new, or PREPARE would fail.
func TestPreparedNamesDiffer(t *testing.T) {
	cfg := Config{Seed: rand.Uint64()}.withDefaults()
	t.Logf("seed %d", cfg.Seed)
	var gids []string
	for writer := range 2 {
		for _, made := range plans(cfg, writer, 1000) {
			if made.end == prepare {
				gids = append(gids, made.gid)
			}
		}
	}
	n := len(gids)
	slices.Sort(gids)
	if n == 0 || len(slices.Compact(gids)) != n {
		t.Errorf("%d names of prepared transactions, %d of them different", n, len(slices.Compact(gids)))
	}
}

func TestQuote(t *testing.T) {
	for text, want := range map[string]string{"": "''", "it's": "'it''s'", `a\b'`: ` E'a\\b'''`} {
		if got := quote(text); got != want {
			t.Errorf("quote(%q) is %s, want %s", text, got, want)
		}
	}
}
