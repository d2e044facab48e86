package processor

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/IBM/sarama"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/livedb/livedb/internal/kafka"
	"github.com/livedb/livedb/internal/metrics"
	"github.com/livedb/livedb/internal/status"
)

func TestRunKeepsTheViewThroughStopsAndTakeovers(t *testing.T) {
	t.Parallel()
	for retention, trimming := range map[int64]string{0: "3600000", 64 << 10: "20"} { // how often, in milliseconds
		t.Run(fmt.Sprint("retention ", retention), func(t *testing.T) {
			t.Parallel()
			s := newShop(t, kfake.BrokerConfigs(map[string]string{"log.cleaner.backoff.ms": trimming}))
			c := s.processor()
			c.RetentionBytes, c.Interval = retention, time.Nanosecond // a write per transaction
			rng, traded := newRand(t), make(chan bool)
			go func() {
				defer close(traded)
				for range 2 {
					s.trade(40)
					s.lose()
				}
				s.trade(40)
			}()
			stop, _ := s.process(c)
			for range 4 {
				time.Sleep(time.Duration(100+rng.IntN(400)) * time.Millisecond) // anywhere, the start included
				old, takeover := stop, rng.IntN(2) == 0
				if takeover {
					stop, _ = s.process(c) // fences the old one, which is in the midst of its work
					time.Sleep(300 * time.Millisecond)
				}
				if err := old(); err != nil && !errors.Is(err, ErrFenced) {
					t.Fatal(err)
				}
				if !takeover {
					stop, _ = s.process(c)
				}
			}
			<-traded
			if err := stop(); err != nil && !errors.Is(err, ErrFenced) { // an old one may have started last
				t.Fatal(err)
			}
			stop, _ = s.process(c)
			s.verify()
			if err := stop(); err != nil {
				t.Fatal(err)
			}
			oldest, err := s.client.GetOffset("p.view-orders", 0, sarama.OffsetOldest)
			if trimmed := oldest > 0; trimmed != (retention > 0) || err != nil {
				t.Fatalf("the log begins at %d, %v", oldest, err)
			}
		})
	}
}

func TestRunStopsWhenAnotherTakesOver(t *testing.T) {
	s := newShop(t)
	c := s.processor()
	s.trade(5)
	_, ended := s.process(c)
	s.await(s.seq)
	board := status.NewBoard("test")
	c.Status = board.Role("process")
	stop, _ := s.process(c)
	for board.Reports()[0].State != status.Healthy {
		time.Sleep(10 * time.Millisecond)
	}
	s.trade(5)
	if err := <-ended; !errors.Is(err, ErrFenced) || !strings.Contains(err.Error(), "another instance") {
		t.Fatal(err)
	}
	s.verify()
	if err := stop(); err != nil {
		t.Fatal(err)
	}
}

// A commit whose answer is lost may have happened or not. The role must find out, and neither lose nor double. It runs alone:
// a repeated EndTxn wears out every producer of its id in this process, and all tests use the same.
func TestRunOutlivesLostAnswers(t *testing.T) {
	s := newShop(t)
	s.trade(200)
	c, rng := s.processor(), newRand(t)
	c.Interval = time.Nanosecond // a write per transaction
	var lost atomic.Int32
	s.cluster.ControlKey(int16(kmsg.EndTxn), func(r kmsg.Request) (kmsg.Response, error, bool) {
		s.cluster.KeepControl()
		if id := r.(*kmsg.EndTxnRequest).TransactionalID; strings.Contains(id, "process") && lost.Load() < 4 && rng.IntN(30) == 0 {
			lost.Add(1)
			if rng.IntN(2) == 0 {
				return nil, errors.New("cut"), true // the request is lost
			}
			s.wires.cut() // the answer is lost
		}
		return nil, nil, false
	})
	stop, _ := s.process(c)
	s.verify()
	if err := stop(); err != nil || lost.Load() == 0 {
		t.Fatal(err, lost.Load())
	}
}

func TestRunReports(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	s.trade(20)
	c := s.processor()
	board, registry := status.NewBoard("test"), prometheus.NewRegistry()
	c.Status, c.Metrics, c.Log = board.Role("process"), metrics.NewProcessor(registry), slog.New(slog.NewTextHandler(t.Output(), nil))
	stop, _ := s.process(c)
	st := s.await(s.seq)
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	report := board.Reports()[0]
	for name, want := range map[string]float64{status.Seq: float64(s.seq), status.EventsTotal: float64(s.seq), status.TransactionsTotal: float64(s.xid),
		status.Groups: float64(st.Groups), status.LateTotal: float64(st.Late)} {
		if got := report.Numbers[name]; got != want {
			t.Errorf("%s is %v, want %v", name, got, want)
		}
	}
	if report.State != status.Healthy || report.Texts["position"] != st.Position.String() || report.Numbers[status.LagSeconds] <= 0 {
		t.Errorf("%+v", report)
	}
	if n, err := testutil.GatherAndCount(registry, "livedb_end_to_end_latency_seconds"); n != 1 || err != nil {
		t.Errorf("%d latencies, %v", n, err)
	}
	if got := testutil.ToFloat64(c.Metrics.Windows); got != float64(st.Groups) {
		t.Errorf("%v windows", got)
	}
}

func TestRunStopsByName(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name  string
		spoil func(*shop, *Config)
		want  error
	}{
		{"gap", func(s *shop, c *Config) { s.seq++; s.trade(1) }, ErrGap},
		{"no earlier row", func(s *shop, c *Config) {
			s.write(part{events: []written{orderEvent(1, "d", nil, nil)}})
		}, ErrIdentity},
		{"another view under the name", func(s *shop, c *Config) { c.View.Retention++ }, ErrView},
		{"results without state", func(s *shop, c *Config) { s.drop("p.state-orders") }, ErrView},
		{"state without results", func(s *shop, c *Config) { s.drop("p.view-orders") }, ErrView},
		{"retention overtook it", func(s *shop, c *Config) {
			s.trade(20)
			s.remove("p.transaction", -1)
			s.trade(1)
		}, ErrRetention},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			s := newShop(t)
			for range 3 {
				s.write(part{events: []written{s.insert("open"), s.insert("paid")}})
			}
			c := s.processor()
			stop, _ := s.process(c)
			s.await(s.seq)
			if err := stop(); err != nil {
				t.Fatal(err)
			}
			test.spoil(s, &c)
			board := status.NewBoard("test")
			c.Status = board.Role("process")
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
			defer cancel()
			for range 2 { // and a restart stops again
				if err := Run(ctx, c); !errors.Is(err, test.want) {
					t.Fatal(err)
				}
			}
			if report := board.Reports()[0]; report.State != status.Error || report.Detail == "" {
				t.Errorf("%+v", report)
			}
		})
	}
}

func TestRunWaitsForKafkaAndStopsAtOnce(t *testing.T) {
	t.Parallel()
	board := status.NewBoard("test")
	c := Config{Kafka: kafka.Config{Brokers: []string{"127.0.0.1:1"}}, Prefix: "p", View: Orders("public"), Status: board.Role("process")}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error)
	go func() { ended <- Run(ctx, c) }()
	for board.Reports()[0].State != status.Warning {
		time.Sleep(10 * time.Millisecond)
	}
	cancel()
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
}
