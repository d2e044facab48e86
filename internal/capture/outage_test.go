package capture_test

import (
	"context"
	"os"
	"runtime"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/livedb/livedb/internal/devstack"
	. "github.com/livedb/livedb/internal/faults/network"
	"github.com/livedb/livedb/producer"
)

const (
	stopLimit   = 20 * time.Second // for a fast shutdown of Postgres, whatever Kafka does
	bulk        = 30_000           // rows of some 2 KB, written at once during the outage
	memoryLimit = 32 << 20         // for what may be kept of them: half
)

// outage is how long Kafka is away: some seconds, or what LIVEDB_TEST_OUTAGE says.
func outage(t *testing.T) time.Duration {
	given := os.Getenv("LIVEDB_TEST_OUTAGE")
	if given == "" {
		return 4 * time.Second
	}
	d, err := time.ParseDuration(given)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// Kafka goes away under load, with a transaction of 60 MB behind it. The source can be shut down all the same, memory does
// not grow, and afterwards the stream has everything once.
//
// It counts the memory of the process, so nothing else may run in it.
func TestAKafkaOutageUnderLoad(t *testing.T) {
	for name, away := range map[string]func(*Dialer){"refusing": (*Dialer).Refuse, "silent": (*Dialer).Isolate} {
		t.Run(name, func(t *testing.T) {
			server := devstack.TestPostgres(t, map[string]string{"max_slot_wal_keep_size": "-1"})
			r := newRig(t, server, func(r *rig) {
				r.exec("CREATE TABLE bulk (id int PRIMARY KEY, v text)")
				r.config.Limits = producer.Limits{Stall: time.Second}
				if os.Getenv("LIVEDB_TEST_OUTAGE") != "" {
					r.config.Limits = producer.Limits{}
				}
			})
			end := time.After(outage(t))
			before := live()
			away(r.kafka)
			r.exec("INSERT INTO bulk SELECT i, repeat(md5(i::text), 60) FROM generate_series(1, 30000) i")

			r.conn.Close(t.Context())
			began := time.Now()
			ctx, cancel := context.WithTimeout(t.Context(), 2*stopLimit)
			defer cancel()
			if err := server.Restart(ctx, devstack.StopFast); err != nil {
				t.Fatal(err)
			}
			took := time.Since(began)
			var err error
			if r.conn, err = pgx.Connect(t.Context(), r.config.Source.URL); err != nil {
				t.Fatal(err)
			}
			if took > stopLimit {
				t.Errorf("the source took %s to stop and start", took)
			}

			most := before
			for away := true; away; {
				select {
				case <-end:
					away = false
				case <-time.After(200 * time.Millisecond):
					most = max(most, live())
				}
			}
			if most > before+memoryLimit {
				t.Errorf("memory grew from %d MB to %d MB", before>>20, most>>20)
			}
			t.Logf("the source stopped and started within %s; memory was %d MB, and %d MB at most", took.Round(time.Millisecond), before>>20, most>>20)
			r.kafka.Heal()
			r.progress()
			r.finish()
			if r.seen.others != bulk {
				t.Errorf("%d rows of the large transaction, want %d", r.seen.others, bulk)
			}
		})
	}
}

// live gives the bytes of memory in use.
func live() uint64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// What the source knows of the stream's progress may be as old as the slot: the checkpoint alone says where to go on.
func TestNoStatusEverArrives(t *testing.T) {
	t.Parallel()
	r := newRig(t, devstack.SharedPostgres(t), func(r *rig) {
		r.config.Source.SenderTimeout = 0 // a walsender that hears nothing ends the connection; not within this test
		r.postgres.Inject(Fault{Match: Type(Status), Action: Drop, Times: Always})
	})
	confirmed := r.slot("confirmed_flush_lsn")
	for range 3 {
		before := r.committed()[1]
		r.await(counted(before + 50))
		r.progress()
		if err := r.stop(); err != nil {
			t.Fatal(err)
		}
		if now := r.slot("confirmed_flush_lsn"); now != confirmed {
			t.Fatalf("the slot moved from %s to %s: a status arrived", confirmed, now)
		}
		r.start()
		r.progress()
	}
	r.finish()
}

// A commit that takes longer than wal_sender_timeout does not end the connection to the source, for statuses go on; unless
// it takes longer than Limits.Stall, when the connection is closed on purpose.
func TestACommitSlowerThanTheSendersTimeout(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name         string
		stall, takes time.Duration
		survives     bool
	}{{"patient", time.Minute, 2 * senderTimeout, true}, {"impatient", time.Second, 3 * time.Second, false}} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, devstack.SharedPostgres(t), func(r *rig) { r.config.Limits.Stall = c.stall })
			walsender := r.slot("active_pid")
			slow, cancel := context.WithTimeout(t.Context(), c.takes)
			defer cancel()
			commit := r.kafka.Inject(Fault{Match: Response(EndTxn), Action: Hold, Until: slow.Done()})
			r.happen("the slow commit", commit.Fired())
			<-slow.Done()
			r.progress()
			r.awaitSlot()
			if survived := r.slot("active_pid") == walsender; survived != c.survives {
				t.Errorf("the connection survived: %v, want %v", survived, c.survives)
			}
			r.finish()
		})
	}
}
