package capture_test

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/IBM/sarama"
	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/livedb/livedb/cdc"
	"github.com/livedb/livedb/cdc/envelope"
	apache "github.com/livedb/livedb/compose/kafka"
	"github.com/livedb/livedb/internal/capture"
	"github.com/livedb/livedb/internal/devstack"
	"github.com/livedb/livedb/internal/faults/network"
	"github.com/livedb/livedb/internal/metrics"
	"github.com/livedb/livedb/producer"
)

// forgetful is a Kafka whose data can be put back to what it was.
type forgetful struct {
	t     *testing.T
	data  string // its folder
	saved string // the copy of it
	stop  func()
	start func()
	addrs []string
}

// save copies the data; forget puts the copy back. Topics keep their ids by it.
func (k *forgetful) save()   { k.copy(k.data, k.saved) }
func (k *forgetful) forget() { k.copy(k.saved, k.data) }

func (k *forgetful) copy(from, to string) {
	k.t.Helper()
	k.stop()
	if err := os.RemoveAll(to); err != nil {
		k.t.Fatal(err)
	}
	if out, err := exec.Command("cp", "-a", from, to).CombinedOutput(); err != nil {
		k.t.Fatalf("%v: %s", err, out)
	}
	k.start()
}

// embedded is the embedded Kafka with a folder.
func embedded(t *testing.T) *forgetful {
	t.Helper()
	dir := t.TempDir()
	k := &forgetful{t: t, data: filepath.Join(dir, "data"), saved: filepath.Join(dir, "saved")}
	var running *devstack.Kafka
	config := devstack.KafkaConfig{Dir: k.data}
	k.stop = func() { running.Close() }
	k.start = func() {
		t.Helper()
		var err error
		if running, err = devstack.StartKafka(config); err != nil {
			t.Fatal(err)
		}
		k.addrs = running.Brokers()
		u, err := url.Parse("//" + k.addrs[0])
		if err != nil {
			t.Fatal(err)
		}
		if config.Port, err = strconv.Atoi(u.Port()); err != nil { // the next start has the same
			t.Fatal(err)
		}
	}
	k.start()
	t.Cleanup(func() { running.Close() })
	return k
}

// ofApache is an Apache Kafka of one node, which is killed for each copy.
func ofApache(t *testing.T) *forgetful {
	t.Helper()
	apache.Require(t)
	dir := t.TempDir()
	cluster := apache.TestCluster(t, apache.Config{Dir: dir})
	k := &forgetful{t: t, data: filepath.Join(dir, "node-1", "data"), saved: filepath.Join(dir, "saved"), addrs: cluster.Brokers()}
	k.stop = func() {
		if err := cluster.Kill(1); err != nil {
			t.Fatal(err)
		}
	}
	k.start = func() {
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
		defer cancel()
		if err := cluster.StartNode(ctx, 1); err != nil {
			t.Fatal(err)
		}
	}
	return k
}

// recover runs a recovery.
func (b *bench) recover(ctx context.Context, dryRun bool) (capture.Recovery, error) {
	c := b.config
	c.Metrics = metrics.NewCDC(prometheus.NewRegistry())
	return capture.Recover(ctx, c, dryRun, nil)
}

// history reads the whole stream, up to a seq.
func (b *bench) history(upto uint64) (lines []string) {
	b.t.Helper()
	r := b.reader()
	for uint64(len(lines)) < upto { // a line for each seq
		lines = append(lines, b.read(r)...)
	}
	return lines
}

// Kafka loses what it had committed, for real: its data is put back to an older copy. The stream refuses to go on by itself; a
// recovery, interrupted and run again, delivers the same events with the same seqs, and then the stream goes on.
func TestARecoveryDeliversAgainWhatKafkaLost(t *testing.T) {
	t.Parallel()
	t.Run("embedded", func(t *testing.T) { t.Parallel(); recovers(t, embedded(t)) })
	t.Run("Apache", func(t *testing.T) { t.Parallel(); recovers(t, ofApache(t)) })
}

func recovers(t *testing.T, k *forgetful) {
	b := newBench(t)
	b.config.Kafka.Brokers = k.addrs
	b.config.Limits = producer.Limits{Events: 100}
	b = begun(t, b) // seq 1 to 6
	k.save()

	stop := b.start()
	b.awaitSlot()
	b.exec("ALTER TABLE a REPLICA IDENTITY FULL", "INSERT INTO a SELECT i, 'split over Kafka transactions' FROM generate_series(100, 1099) i", "UPDATE a SET v = 'y' WHERE id < 3",
		"CREATE TABLE b (id int PRIMARY KEY)", "INSERT INTO b SELECT generate_series(1, 50)", "TRUNCATE b", "DELETE FROM a WHERE id = 1")
	for i := range 20 {
		b.exec(fmt.Sprintf("INSERT INTO b VALUES (%d)", i))
	}
	before := b.history(6 + 1000 + 3 + 50 + 1 + 1 + 20)
	b.awaitConfirmed()
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	b.awaitNoSlot()

	k.forget()
	b.refused("slot_ahead_of_checkpoint")
	records := b.written()
	would, err := b.recover(t.Context(), true)
	if err != nil {
		t.Fatal(err)
	}
	if !would.Needed || would.Done || would.Transactions != 25 || would.Changes != 1075 || would.Seq != 6 || would.Reach >= cdc.LSN(would.From) {
		t.Errorf("the dry run says %+v", would)
	}
	if diff := cmp.Diff(records, b.written()); diff != "" {
		t.Errorf("the dry run wrote (-before +after):\n%s", diff)
	}

	b.interrupted()
	b.refused("slot_ahead_of_checkpoint")
	did, err := b.recover(t.Context(), false)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%+v, and the rest %+v", would, did)
	if !did.Done || did.LastSeq != uint64(len(before)) || did.To != would.To || did.Transactions == 0 || did.Transactions > 25 {
		t.Errorf("the recovery says %+v", did)
	}
	if again, err := b.recover(t.Context(), false); err != nil || again.Needed || again.Done {
		t.Errorf("once more: %+v, %v", again, err)
	}
	if diff := cmp.Diff(before, b.history(did.LastSeq)); diff != "" {
		t.Errorf("the stream (-before +after the recovery):\n%s", diff)
	}

	stop = b.start()
	b.awaitSlot()
	b.exec("INSERT INTO b VALUES (1000)")
	if after := b.history(did.LastSeq + 1); len(after) != len(before)+1 {
		t.Errorf("%d events, before %d", len(after), len(before))
	}
	b.audited()
	b.auditedSource()
	if err := stop(); err != nil {
		t.Fatal(err)
	}
}

// A slot that someone moved is ahead of the checkpoint as well: the replay slot still has what that would have lost.
func TestARecoveryDeliversWhatAMovedSlotWouldLose(t *testing.T) {
	t.Parallel()
	b := ahead(t)
	did, err := b.recover(t.Context(), false)
	if err != nil || !did.Done || did.Seq != 6 || did.LastSeq != 8 || did.Transactions != 1 || did.Events != 2 {
		t.Fatalf("%+v, %v", did, err)
	}
	stop := b.start()
	b.awaitSlot()
	b.exec("INSERT INTO a VALUES (30, 'after')")
	if got := b.history(9); got[6] != `7 c public.a null -> {"id":20,"v":"moved"}` || got[8] != `9 c public.a null -> {"id":30,"v":"after"}` {
		t.Errorf("%q", got)
	}
	if err := stop(); err != nil {
		t.Fatal(err)
	}
}

// ahead is a bench whose slot someone has moved over a transaction of two changes.
func ahead(t *testing.T) *bench {
	t.Helper()
	b := begun(t, newBench(t))
	b.await("SELECT EXISTS (SELECT FROM pg_replication_slots WHERE slot_name = '" + b.config.Source.Slot + "_replay')")
	b.exec("INSERT INTO a VALUES (20, 'moved'), (21, 'moved')", "SELECT pg_replication_slot_advance('"+b.config.Source.Slot+"', pg_current_wal_lsn())")
	return b
}

// Where a recovery could not be right, it is refused by name, each time, and nothing is written.
func TestAnImpossibleRecoveryIsRefused(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name   string
		damage func(b *bench)
	}{
		{"recovery_impossible", func(b *bench) { b.exec("SELECT pg_drop_replication_slot('" + b.config.Source.Slot + "_replay')") }},
		{"recovery_impossible", func(b *bench) {
			b.exec("SELECT pg_replication_slot_advance('" + b.config.Source.Slot + "_replay', pg_current_wal_lsn())")
		}},
		{"slot_missing", func(b *bench) { b.exec("SELECT pg_drop_replication_slot('" + b.config.Source.Slot + "')") }},
		{"events_beyond_checkpoint", func(b *bench) { // Kafka kept an event and lost its checkpoint
			b.send(b.config.Prefix+".public.a", sarama.RecordHeader{Key: []byte(envelope.HeaderSeq), Value: []byte("7")})
		}},
		{"checkpoint_missing", func(b *bench) { b.deleted(b.config.Prefix + ".checkpoint") }},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			b := ahead(t)
			c.damage(b)
			records := b.written()
			for range 2 {
				_, err := b.recover(t.Context(), false)
				if refusal := (*cdc.Refusal)(nil); !errors.As(err, &refusal) || refusal.Name != c.name || !refusal.Unsafe {
					t.Fatalf("it ended with %v", err)
				}
			}
			if diff := cmp.Diff(records, b.written()); diff != "" {
				t.Errorf("it wrote (-before +after):\n%s", diff)
			}
		})
	}
}

// interrupted begins a recovery and breaks it off in the middle of the transaction that is split.
func (b *bench) interrupted() {
	b.t.Helper()
	source := network.NewPostgres(1)
	defer source.Close()
	dial := b.config.Source.Dial
	b.config.Source.Dial = source.Dial
	defer func() { b.config.Source.Dial = dial }()
	hold := source.Inject(network.Fault{Action: network.Hold, Skip: 550, Match: func(m network.Message) bool {
		return strings.HasPrefix(m.Slot, "livedb_recover_") && m.Type == network.Insert
	}})
	ctx, cancel := context.WithCancel(b.t.Context())
	defer cancel()
	ended := make(chan error, 1)
	go func() {
		_, err := b.recover(ctx, false)
		ended <- err
	}()
	select {
	case <-hold.Fired():
	case err := <-ended:
		b.t.Fatalf("the recovery ended before it was interrupted: %v", err)
	}
	b.awaitCheckpoint(func(c *producer.Checkpoint) bool { return c.Partial != nil && c.Seq >= 500 })
	cancel()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		b.t.Errorf("the interrupted recovery ended with %v", err)
	}
}
