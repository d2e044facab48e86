package replay

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/livedb/livedb/cdc/envelope"
	"github.com/livedb/livedb/internal/audit"
	"github.com/livedb/livedb/internal/capture"
	"github.com/livedb/livedb/internal/devstack"
	"github.com/livedb/livedb/internal/kafka"
)

// The long test's load.
const (
	longChanges = 5000 // a second
	longRows    = 10   // a transaction
	longWriters = 4
	longQuiet   = longChanges // events in a stretch without a replay
	longWindow  = 96 << 20    // bytes of WAL, some two minutes: a window that went on growing would have each range longer than the last
)

// setting is a number from the environment.
func setting(t *testing.T, name string, otherwise int) int {
	t.Helper()
	text := os.Getenv(name)
	if text == "" {
		return otherwise
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 {
		t.Fatalf("%s is %q, not a number", name, text)
	}
	return n
}

// long skips a test that takes longer than those of every day may.
func long(t *testing.T) {
	t.Helper()
	if os.Getenv("LIVEDB_REQUIRE_LONG") == "" {
		t.Skip("set LIVEDB_REQUIRE_LONG=1 for the tests that take long; LIVEDB_REPLAYS is how many replays run under load, LIVEDB_HUGE the rows of a huge transaction")
	}
}

// Replays of random ranges under load: their records are the stream's own, the stream's latency while one runs is at most
// twice what it is otherwise, and the stream proves right afterwards.
func TestLongReplaysUnderLoad(t *testing.T) {
	long(t)
	replays := setting(t, "LIVEDB_REPLAYS", 4)
	seed := uint64(setting(t, "LIVEDB_SEED", int(time.Now().UnixNano())))
	t.Logf("seed %d", seed)
	dice := rand.New(rand.NewPCG(seed, 1))

	// A checkpoint has every page written whole to the WAL: the window's bytes would hold some seconds alone.
	server := devstack.TestPostgres(t, map[string]string{"max_wal_size": "4GB", "checkpoint_timeout": "1d", "full_page_writes": "off"})
	r := newRig(t, server, "CREATE TABLE a (id bigint PRIMARY KEY, n int, note text)", "ALTER TABLE a REPLICA IDENTITY FULL",
		"CREATE TABLE b (id bigint PRIMARY KEY, n int, note text)", "CREATE TABLE bare (note text)", "ALTER TABLE bare REPLICA IDENTITY FULL")
	r.config.Partitions = 4
	r.config.Window = capture.Window{Time: time.Hour, Bytes: longWindow}
	r.start()
	stopLoad := r.steady(longChanges)
	live := r.follow()
	live.upto(40 * longChanges / 4)

	measure := func(into *[]float64, do func()) {
		from := time.Now()
		do()
		live.since(from, time.Now(), into)
	}
	quiet, busy := []float64{}, []float64{}
	var events, records uint64
	var seconds float64
	for i := range replays {
		measure(&quiet, func() { live.upto(live.seq() + longQuiet) }) // between the replays, so that what drifts favours none
		var c Config
		var result *Result
		var want [2]uint64
		for result == nil {
			var first uint64
			c, first, want = r.choose(live, dice, fmt.Sprint("r", i))
			measure(&busy, func() { result = r.inChild(c, first) })
		}
		if want[0] != 0 && result.From.Seq != want[0] || want[1] != 0 && result.To.Seq != want[1] {
			t.Fatalf("%s to %s: seq %d to %d, want %d to %d", c.From, c.To, result.From.Seq, result.To.Seq, want[0], want[1])
		}
		n := live.same(c.ID, result.From.Seq, result.To.Seq)
		if n != result.Records || result.Events != result.To.Seq-result.From.Seq+1 {
			t.Fatalf("%s to %s: %d records are there, and %+v", c.From, c.To, n, result)
		}
		if i%10 == 9 {
			t.Logf("%d replays, %d events of the stream", i+1, live.seq())
		}
		events, records, seconds = events+result.Events, records+n, seconds+result.Seconds
		if err := kafka.DeleteTopics(r.client, string(envelope.Topics(r.config.Prefix).Replay(c.ID))); err != nil {
			t.Fatal(err)
		}
	}
	stopLoad()
	r.delivered()

	before, during := quantile(quiet, 0.99), quantile(busy, 0.99)
	t.Logf("%d replays of %d events, %d records, in %.1f s of decoding and writing; the stream had %d events", replays, events, records, seconds, live.seq())
	t.Logf("latency from commit to reader, without replays: p50 %.1f ms, p99 %.1f ms (%d events); while replaying: p50 %.1f ms, p99 %.1f ms (%d events); p99 is %.2f times as long",
		quantile(quiet, 0.5), before, len(quiet), quantile(busy, 0.5), during, len(busy), during/before)
	if during > 2*before {
		t.Errorf("the stream's p99 while replaying is %.1f ms, more than twice the %.1f ms without", during, before)
	}
	r.proven()
}

// proven audits the stream.
func (r *rig) proven() {
	r.t.Helper()
	client, err := kafka.Connect(r.t.Context(), r.config.Kafka) // on the rig's each fetch would wait behind those of the follower, which wait for news
	if err != nil {
		r.t.Fatal(err)
	}
	defer client.Close()
	stream, err := audit.Stream(r.t.Context(), audit.StreamConfig{Client: client, Prefix: r.config.Prefix})
	if err != nil {
		r.t.Fatal(err)
	}
	source, err := audit.Source(r.t.Context(), audit.SourceConfig{Client: client, Prefix: r.config.Prefix, Source: r.config.Source})
	if err != nil {
		r.t.Fatal(err)
	}
	state, err := audit.State(r.t.Context(), audit.StateConfig{Client: client, Prefix: r.config.Prefix, Source: r.config.Source})
	if err != nil {
		r.t.Fatal(err)
	}
	for _, v := range []*audit.Verdict{&stream.Verdict, &source.Verdict, &state.Verdict} {
		for _, f := range v.Findings {
			r.t.Error(f)
		}
	}
	r.t.Logf("audits: seq %d to %d; %s; %d tables", stream.From, stream.To, source.Range(), state.Judged())
}

// quantile sorts.
func quantile(all []float64, q float64) float64 {
	if len(all) == 0 {
		return 0
	}
	slices.Sort(all)
	return all[int(q*float64(len(all)-1))]
}

// steady writes so many changes a second, until the returned function is called.
func (r *rig) steady(rate int) (stop func()) {
	r.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	var writing sync.WaitGroup
	every := time.Second * longRows * longWriters / time.Duration(rate)
	for w := range longWriters {
		conn, err := pgx.Connect(ctx, r.config.Source.URL)
		if err != nil {
			r.t.Fatal(err)
		}
		writing.Go(func() {
			defer conn.Close(context.Background())
			if err := write(ctx, conn, w, every); err != nil {
				r.t.Error(err)
			}
		})
	}
	once := sync.OnceFunc(func() { cancel(); writing.Wait() })
	r.t.Cleanup(once)
	return once
}

// write is one writer: transactions of longRows changes, each by its time.
func write(ctx context.Context, conn *pgx.Conn, writer int, every time.Duration) error {
	next := time.Now()
	for i := 0; ; i++ {
		id := writer<<40 | i/4*longRows
		table := [...]string{"a", "b"}[i/4%2]
		statement := [...]string{
			"INSERT INTO %s SELECT i, %d, repeat(md5(i::text), 4) FROM generate_series(%d, %d) i",
			"UPDATE %s SET n = n + 1 + 0 * %d WHERE id BETWEEN %d AND %d",
			"INSERT INTO bare SELECT md5(i::text) || '%[1]s%[2]d' FROM generate_series(%[3]d::bigint, %[4]d) i",
			"DELETE FROM %s WHERE n >= 0 * %d AND id BETWEEN %d AND %d"}[i%4]
		if _, err := conn.Exec(ctx, fmt.Sprintf(statement, table, i, id, id+longRows-1)); err != nil {
			if ctx.Err() != nil {
				return nil
			}
			return err
		}
		next = next.Add(every)
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(time.Until(next)):
		}
	}
}

// choose draws a range inside the window, with a seq of its first transaction, and the seqs that it must begin and end with
// where these are known.
func (r *rig) choose(live *follower, dice *rand.Rand, id string) (c Config, first uint64, want [2]uint64) {
	r.t.Helper()
	c = r.replay(id, "", "")
	c.DryRun = true
	w := r.run(c).Window
	samples := live.between(w.From.Seq+(w.To.Seq-w.From.Seq)/4, w.To.Seq) // the lower end moves meanwhile
	if len(samples) < 2 {
		r.t.Fatalf("the window has seq %d to %d alone", w.From.Seq, w.To.Seq)
	}
	from, to := samples[dice.IntN(len(samples))], samples[dice.IntN(len(samples))]
	if from.seq > to.seq {
		from, to = to, from
	}
	c.DryRun, c.Rate = false, setting(r.t.(*testing.T), "LIVEDB_REPLAY_RATE", 20_000)
	switch dice.IntN(4) {
	case 0:
		c.From, c.To = from.position.Commit.String(), to.position.Commit.String()
	case 1:
		c.From, c.To = text(from.time), text(to.time)
	case 2:
		c.From, c.To = fmt.Sprint("xid:", from.xid), fmt.Sprint("xid:", to.xid)
	case 3:
		c.From, c.To = from.position.String(), to.position.String()
		want = [2]uint64{from.seq, to.seq}
	}
	return c, from.seq, want
}

// inChild replays in a process of its own, as the command does; nil if the window went past the range meanwhile.
func (r *rig) inChild(c Config, first uint64) *Result {
	r.t.Helper()
	result, err := r.child(c, nil)
	if err != nil && result.Window != nil && first < result.Window.From.Seq {
		return nil
	}
	if err != nil || result.State != Finished {
		r.t.Fatalf("replay of %s to %s: %+v, %v", c.From, c.To, result, errors.Join(err))
	}
	return result
}
