package postgres_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/livedb/livedb/cdc"
	"github.com/livedb/livedb/cdc/postgres"
)

func TestAHistoryTellsWhereEachTimelineWasLeft(t *testing.T) {
	for _, c := range []struct {
		name, content string
		want          []postgres.Fork
	}{
		{"the first timeline has none", "", nil},
		{"one promotion", "1\t0/3000158\tno recovery target specified\n", []postgres.Fork{{Timeline: 1, At: 0x3000158}}},
		{"a recovery to a point between two promotions", "1\t0/3000158\tno recovery target specified\n\n2\t0/5000000\tbefore 2026-01-02 03:04:05.6+00\n\n4\t1A/0\tno recovery target specified",
			[]postgres.Fork{{Timeline: 1, At: 0x3000158}, {Timeline: 2, At: 0x5000000}, {Timeline: 4, At: 0x1A_00000000}}},
		{"written by hand", "# a comment\n  7   FF/FFFFFFFF\r\n", []postgres.Fork{{Timeline: 7, At: 0xFF_FFFFFFFF}}},
		{"with leading zeros, as Postgres 19 writes them", "1\t0/03000158\tno recovery target specified\n", []postgres.Fork{{Timeline: 1, At: 0x3000158}}},
	} {
		got, err := postgres.ParseHistory(c.content)
		if diff := cmp.Diff(c.want, got); err != nil || diff != "" {
			t.Errorf("%s: %v (-want +got):\n%s", c.name, err, diff)
		}
	}
	for _, damaged := range []string{"1\n", "one\t0/1\tx\n", "0\t0/1\n", "-1\t0/1\n", "5000000000\t0/1\n", "1\tnowhere\n", "1\t0/\n", "1\t0/1x\n", "1\t1/100000000\n", "2\t0/2\n1\t0/3\n", "2\t0/2\n2\t0/3\n"} {
		if forks, err := postgres.ParseHistory(damaged); err == nil {
			t.Errorf("%q was read as %v", damaged, forks)
		}
	}
}

func TestAHistoryKnowsItsOwnAncestorsOnly(t *testing.T) {
	history := []postgres.Fork{{Timeline: 1, At: 100}, {Timeline: 3, At: 200}}
	for timeline, want := range map[int32]cdc.LSN{1: 100, 3: 200} {
		if at, ok := postgres.LeftAt(history, timeline); !ok || at != want {
			t.Errorf("timeline %d was left at %s, %v", timeline, at, ok)
		}
	}
	// 2 was promoted from 1 too, and then given up; 4 is the one whose history this is.
	for _, timeline := range []int32{2, 4} {
		if at, ok := postgres.LeftAt(history, timeline); ok {
			t.Errorf("the history comes from timeline %d, left at %s", timeline, at)
		}
	}
}
