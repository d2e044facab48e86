package replay

import (
	"testing"

	"github.com/livedb/livedb/internal/devstack"
)

// A replay holds some batches, however large a transaction is: what it needs for one of half a million rows, some 400 MB of
// events, is about what it needs for one of few.
func TestLongAHugeTransactionIsNeverHeld(t *testing.T) {
	long(t)
	rows := setting(t, "LIVEDB_HUGE", 500_000)
	r := newRig(t, devstack.TestPostgres(t, map[string]string{"max_wal_size": "4GB"}), "CREATE TABLE a (id int PRIMARY KEY, note text)")
	r.start()
	insert := "INSERT INTO a SELECT i, repeat(md5(i::text), 5) FROM generate_series($1::int, $2) i"
	for _, ids := range [][2]int{{1, 1000}, {1001, rows}} {
		if _, err := r.conn.Exec(t.Context(), insert, ids[0], ids[1]); err != nil {
			t.Fatal(err)
		}
	}
	r.delivered()
	all := r.transactions()
	var peaks []uint64
	for i, id := range []string{"small", "huge"} {
		c := r.replay(id, position(all[i], 1), position(all[i], all[i].events()))
		result, err := r.child(c, nil)
		if err != nil || result.State != Finished || result.Written != all[i].events() {
			t.Fatalf("%+v: %v", result, err)
		}
		peaks = append(peaks, r.peak)
		t.Logf("%d events in %.1f s, with %d MiB at most", result.Written, result.Seconds, peaks[i])
	}
	if peaks[0] == 0 || peaks[1] > peaks[0]+100 {
		t.Errorf("a transaction of %d rows needs %d MiB and one of 1000 needs %d", rows-1000, peaks[1], peaks[0])
	}
}
