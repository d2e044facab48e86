package main

import (
	"encoding/json"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/IBM/sarama"

	"github.com/livedb/livedb/cdc/envelope"
	"github.com/livedb/livedb/internal/devstack"
	"github.com/livedb/livedb/internal/kafka"
	"github.com/livedb/livedb/producer"
)

// folderKafka is the embedded Kafka with its data in a folder, of which a copy can be put back.
type folderKafka struct {
	*devstack.Kafka
	t    *testing.T
	dir  string
	port int
}

func (k *folderKafka) start() {
	k.t.Helper()
	var err error
	if k.Kafka, err = devstack.StartKafka(devstack.KafkaConfig{Dir: filepath.Join(k.dir, "data"), Port: k.port}); err != nil {
		k.t.Fatal(err)
	}
	_, port, _ := net.SplitHostPort(k.Brokers()[0])
	if k.port, err = strconv.Atoi(port); err != nil {
		k.t.Fatal(err)
	}
}

func (k *folderKafka) copy(from, to string) {
	k.t.Helper()
	k.Close()
	if err := os.RemoveAll(filepath.Join(k.dir, to)); err != nil {
		k.t.Fatal(err)
	}
	if out, err := exec.Command("cp", "-a", filepath.Join(k.dir, from), filepath.Join(k.dir, to)).CombinedOutput(); err != nil {
		k.t.Fatalf("%v: %s", err, out)
	}
	k.start()
}

// Kafka's data is put back to an older copy under a stream. cdc refuses and names recover; recover is killed with kill -9 in the
// middle, goes on when it is run again, proves what it did, and cdc goes on.
func TestLongRecoverSurvivesItsKill(t *testing.T) {
	if os.Getenv("LIVEDB_REQUIRE_LONG") == "" {
		t.Skip("takes half a minute: set LIVEDB_REQUIRE_LONG=1")
	}
	p := newPlace(t)
	k := &folderKafka{t: t, dir: t.TempDir()}
	k.start()
	t.Cleanup(func() { k.Close() })
	p.broker = k.Brokers()[0]
	p.kafka = []string{"--kafka", p.broker, "--prefix", p.prefix}
	p.both = append(append([]string{"--slot", strings.ReplaceAll(p.prefix, "-", "_")}, p.source...), p.kafka...)

	written := func(seed, length string) {
		t.Helper()
		cdc := start(t, append([]string{"cdc"}, p.both...)...)
		cdc.await("streaming")
		p.succeeds(t, "burst", append([]string{"--rate", "0", "--for", length, "--seed", seed}, p.source...))
		p.succeeds(t, "audit", append([]string{"--only", "state"}, p.both...)) // which waits for the stream to have it all
		if err := cdc.stop(syscall.SIGTERM, 10*time.Second); err != nil {
			t.Fatal(err)
		}
	}
	written("1", "200ms")
	k.copy("data", "saved")
	written("2", "1s")
	k.copy("saved", "data")

	code, _, stderr := livedb(t, t.Context(), append([]string{"cdc"}, p.both...)...)
	if code != exitUnsafe || !strings.Contains(stderr, "livedb recover") || !strings.Contains(stderr, "[slot_ahead_of_checkpoint]") {
		t.Fatalf("cdc exits with %d: %s", code, stderr)
	}
	var would, did recoverResult
	unmarshal(t, p.succeeds(t, "recover", append([]string{"--dry-run", "--json"}, p.both...)), &would)
	if !would.Needed || would.Done || would.Transactions == 0 || would.Changes < 300 || would.To == "" {
		t.Fatalf("the dry run says %+v", would)
	}

	killed := start(t, append([]string{"recover", "--batch-events", "1"}, p.both...)...)
	p.delivered(t, would.Seq+100)
	killed.stop(syscall.SIGKILL, 10*time.Second) // its error is the kill
	unmarshal(t, p.succeeds(t, "recover", append([]string{"--json"}, p.both...)), &did)
	if !did.Done || did.Seq < would.Seq+100 || did.To != would.To || did.Transactions == 0 || did.Transactions >= would.Transactions || did.Audit == nil || !did.Audit.Proven {
		t.Errorf("the recovery says %+v", did)
	}
	t.Logf("%d transactions were lost; the kill came after seq %d of %d", would.Transactions, did.Seq, did.LastSeq)
	if said := p.succeeds(t, "recover", p.both); !strings.HasPrefix(said, "nothing to recover: ") {
		t.Errorf("once more: %s", said)
	}
	written("3", "200ms")
}

// A Kafka that is not whole is no ground to go on from, where no check of a start sees it either: here a partition ends with the
// right event, twice.
func TestRecoverAuditsBeforeItWrites(t *testing.T) {
	p := newPlace(t)
	cdc := start(t, append([]string{"cdc"}, p.both...)...)
	cdc.await("streaming")
	sql(t, p.url, "INSERT INTO "+demoName+".customers (name, email) SELECT n, n FROM generate_series(1, 100) AS n")
	p.succeeds(t, "audit", append([]string{"--only", "state"}, p.both...))
	if err := cdc.stop(syscall.SIGTERM, 10*time.Second); err != nil {
		t.Fatal(err)
	}
	tailTwice(t, p)
	sql(t, p.url, "SELECT pg_switch_wal()", "SELECT pg_replication_slot_advance('"+p.both[1]+"', pg_current_wal_lsn())")
	code, stdout, stderr := livedb(t, t.Context(), append([]string{"recover", "--json"}, p.both...)...)
	var result recoverResult
	unmarshal(t, stdout, &result)
	if code != exitFindings || !result.Needed || result.Done || result.Audit == nil || result.Audit.Proven || result.LastSeq != 0 {
		t.Errorf("recover exits with %d: %s%s", code, stdout, stderr)
	}
}

// tailTwice writes the last event of a partition once more.
func tailTwice(t *testing.T, p place) {
	t.Helper()
	c := kafka.Config{Brokers: []string{p.broker}, ClientID: "livedb/test"}
	client, err := kafka.Connect(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	topic := p.prefix + "." + demoName + ".customers"
	var r kafka.Record
	var at int32
	for found := false; !found; at++ {
		if r, found, err = kafka.Tail(t.Context(), client, topic, at); err != nil { // also where there is no further partition
			t.Fatalf("topic %s holds nothing: %v", topic, err)
		}
	}
	m := &sarama.ProducerMessage{Topic: topic, Partition: at - 1, Key: sarama.ByteEncoder(r.Key), Value: sarama.ByteEncoder(r.Value)}
	for _, h := range r.Headers {
		m.Headers = append(m.Headers, *h)
	}
	writer, err := kafka.OpenProducer(t.Context(), c, topic)
	if err != nil {
		t.Fatal(err)
	}
	defer writer.Close()
	if err := writer.Begin(); err != nil {
		t.Fatal(err)
	}
	writer.Send(m)
	if err := writer.Commit(); err != nil {
		t.Fatal(err)
	}
}

// succeeds runs a command that must exit with 0, and returns what it prints.
func (p place) succeeds(t *testing.T, command string, args []string) string {
	t.Helper()
	code, stdout, stderr := livedb(t, t.Context(), append([]string{command}, args...)...)
	if code != exitDone {
		t.Fatalf("%s exits with %d: %s%s", command, code, stdout, stderr)
	}
	return stdout
}

// delivered waits until the checkpoint has come to a seq.
func (p place) delivered(t *testing.T, seq uint64) {
	t.Helper()
	client, err := kafka.Connect(t.Context(), kafka.Config{Brokers: []string{p.broker}})
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); { // Kafka paces the poll
		saved, err := producer.PeekSaved(t.Context(), client, envelope.Topics(p.prefix))
		if err != nil {
			t.Fatal(err)
		}
		if saved.Position.Seq >= seq {
			return
		}
	}
	t.Fatalf("the stream does not come to seq %d", seq)
}

func unmarshal(t *testing.T, text string, into any) {
	t.Helper()
	if err := json.Unmarshal([]byte(text), into); err != nil {
		t.Fatalf("%v: %s", err, text)
	}
}
