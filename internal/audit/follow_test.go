package audit_test

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/IBM/sarama"
	"github.com/jackc/pgx/v5"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/livedb/livedb/internal/audit"
	"github.com/livedb/livedb/internal/kafka"
	"github.com/livedb/livedb/internal/metrics"
	"github.com/livedb/livedb/internal/status"
)

// following is an audit that follows a stream.
type following struct {
	s       *stream
	role    *status.Reporter
	metrics *metrics.Audit
	stop    func() *audit.StreamReport
}

func (s *stream) follow(prefix string) *following {
	s.t.Helper()
	f := &following{s: s, role: status.NewBoard("test").Role("audit"), metrics: metrics.NewAudit(prometheus.NewRegistry())}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan *audit.StreamReport, 1)
	go func() {
		r, err := audit.Follow(ctx, audit.FollowConfig{Stream: audit.StreamConfig{Client: s.client, Prefix: prefix}, Metrics: f.metrics, Status: f.role,
			Log: slog.New(slog.NewTextHandler(s.t.Output(), nil))})
		if err != nil {
			s.t.Error(err)
		}
		ended <- r
	}()
	f.stop = func() *audit.StreamReport { cancel(); return <-ended }
	return f
}

// until waits for a seq to be judged.
func (f *following) until(seq float64) status.Status {
	f.s.t.Helper()
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); {
		if uint64(f.role.Status().Numbers[status.Seq]) >= uint64(seq) {
			return f.role.Status() // the seq is told last
		}
		f.s.await("SELECT true") // paces the poll
	}
	f.s.t.Fatalf("seq %v is not judged: %+v", seq, f.role.Status())
	return status.Status{}
}

// The audit follows a stream that begins after it, and each of its events is judged once.
func TestAnAuditFollowsAStream(t *testing.T) {
	s := newStream(t, "CREATE TABLE a (id int PRIMARY KEY)", "ALTER TABLE a REPLICA IDENTITY FULL")
	f := s.follow(s.config.Prefix)
	s.start()
	s.exec("INSERT INTO a SELECT generate_series(1, 100)")
	<-f.role.Healthy()
	f.until(100)
	s.exec("DELETE FROM a WHERE id <= 50", "CREATE TABLE b (id int)", "INSERT INTO b VALUES (1)") // a topic that it does not know yet
	report := f.until(151)
	if report.State != status.Healthy || report.Numbers[status.ViolationsTotal] != 0 || report.Texts["verified_lsn"] == "" {
		t.Errorf("the role reports %+v", report)
	}
	r := f.stop()
	for _, finding := range r.Findings {
		t.Error(finding)
	}
	if n := testutil.ToFloat64(f.metrics.Checked); n != 151 || r.Tombstones != 50 {
		t.Errorf("%v events were judged and %d tombstones", n, r.Tombstones)
	}
}

// A fault is counted once, named on the dashboard, and stops what is called verified.
func TestAnAuditThatFollowsTellsOfAFault(t *testing.T) {
	s := newStream(t, "CREATE TABLE a (id int PRIMARY KEY)")
	s.start()
	s.exec("INSERT INTO a VALUES (1)", "INSERT INTO a VALUES (2)", "INSERT INTO a VALUES (3)")
	s.delivered()
	broken := records(s.contents())
	at, i := broken.find(t, `"seq":2,`, `"txId"`)
	broken.remove(at, i, i+1)
	prefix := fmt.Sprint("f", time.Now().UnixNano())
	s.plant(prefix, contents(broken))

	f := s.follow(prefix)
	report := f.until(3)
	f.stop()
	if report.State != status.Warning || report.Numbers[status.ViolationsTotal] != 1 || !strings.Contains(report.Texts[status.FirstViolation], "seq 2") {
		t.Errorf("the role reports %+v", report)
	}
	if n := testutil.ToFloat64(f.metrics.Violations.WithLabelValues("missing")); n != 1 {
		t.Errorf("%v events are counted as missing", n)
	}
	if n := testutil.ToFloat64(f.metrics.Verified); n != 0 {
		t.Errorf("%v is called verified", n)
	}
}

// A transaction that somebody left open hides what comes after it from every reader.
func TestATransactionThatStaysOpenIsFound(t *testing.T) {
	s := newStream(t, "CREATE TABLE a (id int PRIMARY KEY)")
	s.config.Partitions = 1
	s.start()
	s.exec("INSERT INTO a VALUES (1)")
	s.delivered()
	topic := s.config.Prefix + ".public.a"
	p, err := kafka.OpenProducer(t.Context(), s.config.Kafka, topic)
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	if err := p.Begin(); err != nil {
		t.Fatal(err)
	}
	p.Send(&sarama.ProducerMessage{Topic: topic, Partition: 0, Value: sarama.StringEncoder("never committed")})
	if err := p.Flush(); err != nil {
		t.Fatal(err)
	}
	for {
		scan, err := kafka.OpenScan(s.client, topic, 0, sarama.OffsetOldest)
		if err != nil {
			t.Fatal(err)
		}
		if scan.HighWater() > scan.End() {
			break
		}
	}
	r, err := audit.Stream(t.Context(), audit.StreamConfig{Client: s.client, Prefix: s.config.Prefix, OpenLimit: 200 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	if r.Faults() != 1 || r.Counts[audit.Hanging] != 1 || r.Findings[0].Topic != topic || r.To != 1 {
		t.Errorf("judged up to seq %d, found %v", r.To, r.Findings)
	}
}

// The log holds more than the last checkpoint tells of: no reader may build on the rest.
func TestEventsAboveTheLastCheckpointAreFound(t *testing.T) {
	s := newStream(t, "CREATE TABLE a (id int PRIMARY KEY)")
	s.start()
	s.exec("INSERT INTO a VALUES (1)")
	s.delivered()
	s.exec("INSERT INTO a VALUES (2)")
	s.delivered()
	broken := records(s.contents())
	at, _ := broken.find(t, `"seq":2,`, "acked_upto")
	for i := len(broken[at]) - 1; i >= 0; i-- {
		if strings.Contains(string(broken[at][i].Value), `"seq":2,`) {
			broken.remove(at, i, i+1)
		}
	}
	prefix := fmt.Sprint("c", time.Now().UnixNano())
	s.plant(prefix, contents(broken))
	r, err := audit.Stream(t.Context(), audit.StreamConfig{Client: s.client, Prefix: prefix})
	if err != nil {
		t.Fatal(err)
	}
	if r.Faults() != 1 || r.Counts[audit.Misplaced] != 1 || r.Findings[0].Seq != 2 || r.To != 1 {
		t.Errorf("judged up to seq %d, found %v", r.To, r.Findings)
	}
}

// allowance is how many transactions may be written during an audit, which reads the whole stream: it must not outgrow the
// audits.
type allowance chan struct{}

func (a allowance) refill() {
	for range cap(a) - len(a) {
		a <- struct{}{}
	}
}

// wait takes one; it reports false if the context ended.
func (a allowance) wait(ctx context.Context) bool {
	select {
	case <-a:
		return ctx.Err() == nil
	case <-ctx.Done():
		return false
	}
}

// Commit markers reach the partitions one after the other: an audit of a stream that runs must not take the rest for lost.
func TestARunningStreamIsAudited(t *testing.T) {
	s := newStream(t, "CREATE TABLE a (id int PRIMARY KEY, v int)", "CREATE TABLE b (id int PRIMARY KEY)", "ALTER TABLE a REPLICA IDENTITY FULL")
	s.config.Limits.Events = 20
	s.start()
	conn, err := pgx.Connect(t.Context(), s.config.Source.URL)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.Background())
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan int, 1)
	allowed := make(allowance, 10)
	go func() {
		n := 0
		for ; allowed.wait(ctx); n++ {
			sql := fmt.Sprintf("INSERT INTO a SELECT i, 0 FROM generate_series(%d, %d) i; INSERT INTO b VALUES (%d); DELETE FROM a WHERE id %% 7 = 0", 50*n, 50*n+n%50, n)
			if _, err := conn.Exec(context.Background(), sql); err != nil {
				t.Error(err)
				break
			}
		}
		ended <- n
	}()
	judged := uint64(0)
	for audits := 0; (audits < 20 || judged < 500) && audits < 10_000; audits++ {
		allowed.refill()
		r, err := audit.Stream(t.Context(), audit.StreamConfig{Client: s.client, Prefix: s.config.Prefix})
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range r.Findings {
			t.Error(f)
		}
		if r.To < judged || r.Events != r.To {
			t.Errorf("%d events up to seq %d, after seq %d", r.Events, r.To, judged)
		}
		judged = r.To
	}
	cancel()
	if n := <-ended; n == 0 || judged == 0 {
		t.Errorf("%d transactions were written and %d events judged", n, judged)
	}
	t.Logf("judged up to seq %d", judged)
}
