package processor

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/IBM/sarama"
	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/livedb/livedb/internal/kafka"
	"github.com/livedb/livedb/internal/metrics"
	"github.com/livedb/livedb/internal/status"
)

// shop is a table of orders whose history is written to a stream.
type shop struct {
	*stream
	rng    *rand.Rand
	orders map[int]order
	next   int
	second int
}

func newShop(t *testing.T, options ...kfake.Opt) *shop {
	s := newStream(t, options...)
	s.create(4, "public.orders", "public.items")
	s.create(1, "truncate")
	return &shop{stream: s, rng: newRand(t), orders: map[int]order{}}
}

// trade writes n Kafka transactions of one to four Postgres transactions each.
func (s *shop) trade(n int) {
	for range n {
		var parts []part
		for range 1 + s.rng.IntN(4) {
			var events []written
			for range 1 + s.rng.IntN(6) {
				events = append(events, s.event())
			}
			parts = append(parts, part{events: events, time: time.Now()})
		}
		s.write(parts...)
	}
}

// event changes a random order. The event time goes on slowly, so that retention drops groups.
func (s *shop) event() written {
	if s.rng.IntN(8) == 0 {
		s.second++
	}
	next := order{[]string{"open", "paid", "sent"}[s.rng.IntN(3)],
		fmt.Sprintf("10:%02d:%02d.%d", s.second/60, s.second%60, s.rng.IntN(10)), fmt.Sprintf("%d.%02d", s.rng.IntN(100), s.rng.IntN(100))}
	ids := slices.Sorted(maps.Keys(s.orders))
	kind := s.rng.IntN(100)
	switch {
	case kind == 99 && s.rng.IntN(4) == 0:
		clear(s.orders)
		return written{topic: "truncate", value: string(change("t", nil, nil))}
	case kind > 90:
		return written{topic: "public.items", partition: s.rng.Int32N(4)}
	case len(ids) < 5 || kind < 50:
		s.next++
		s.orders[s.next] = next
		return orderEvent(s.next, "c", nil, &next)
	}
	id := ids[len(ids)-1-s.rng.IntN(min(20, len(ids)))]
	old := s.orders[id]
	if kind < 65 {
		delete(s.orders, id)
		return orderEvent(id, "d", &old, nil)
	}
	s.orders[id] = next
	return orderEvent(id, "u", &old, &next)
}

func orderEvent(id int, op string, before, after *order) written {
	return written{topic: "public.orders", partition: int32(id % 4), key: fmt.Sprintf(`{"id":%d}`, id), value: string(change(op, before, after)), tombstone: op == "d"}
}

func (s *shop) processor() Config {
	view := Orders("public")
	view.Retention = 20 * time.Second
	return Config{Kafka: s.config, Prefix: "p", View: view, Interval: time.Millisecond}
}

// want is what the view must be in the end, by one fold in one go.
func (s *shop) want() (results map[string]string, f *fold) {
	s.t.Helper()
	f, results = newFold(s.processor().View), map[string]string{}
	r := s.open(FromBeginning())
	for item := (Item{}); item.Kind != End || item.Seq < s.seq; {
		var err error
		item, err = r.Next(s.t.Context())
		switch {
		case err != nil:
		case item.Topic == "p.public.orders":
			err = f.apply(&item)
		case item.Topic == "p.truncate":
			err = f.truncate(&item)
		}
		if err != nil {
			s.t.Fatal(err)
		}
	}
	store(f, results)
	return results, f
}

// await waits until the state topic holds a seq.
func (s *shop) await(seq uint64) (st state) {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.t.Context(), time.Minute)
	defer cancel()
	client := s.connect()
	consumer, err := sarama.NewConsumerFromClient(client)
	if err != nil {
		s.t.Fatal(err)
	}
	if _, err := awaitTopic(ctx, client, "p.state-orders"); err != nil {
		s.t.Fatal(err)
	}
	for {
		partition, err := consumer.ConsumePartition("p.state-orders", 0, sarama.OffsetOldest)
		if err != nil {
			s.t.Fatal(err)
		}
		go func() {
			for range partition.Errors() { // a cut connection: sarama goes on; or trimmed while it was read
			}
		}()
		stop := context.AfterFunc(ctx, partition.AsyncClose)
		for m := range partition.Messages() {
			if string(m.Key) != stateKey {
				continue
			}
			if err := json.Unmarshal(m.Value, &st); err != nil {
				s.t.Fatal(err)
			}
			if st.Seq == seq {
				partition.AsyncClose()
				return st
			}
		}
		stop()
		if ctx.Err() != nil {
			s.t.Fatalf("the state stays at seq %d, before %d", st.Seq, seq)
		}
	}
}

// verify compares the view's topic with the truth.
func (s *shop) verify() {
	s.t.Helper()
	st := s.await(s.seq)
	p, err := kafka.OpenProducer(s.t.Context(), s.config, "verify")
	if err != nil {
		s.t.Fatal(err)
	}
	defer p.Close()
	read, err := kafka.ReadCompacted(s.t.Context(), s.client, p, "p.view-orders")
	for errors.Is(err, sarama.ErrOffsetOutOfRange) { // trimmed while it was read
		read, err = kafka.ReadCompacted(s.t.Context(), s.client, p, "p.view-orders")
	}
	if err != nil {
		s.t.Fatal(err)
	}
	got := map[string]string{}
	for key, value := range read {
		got[key] = string(value)
	}
	want, f := s.want()
	if diff := cmp.Diff(want, got); diff != "" {
		s.t.Fatalf("results (-want +got):\n%s", diff)
	}
	if st.Groups != f.live || st.Late != f.late || st.Dropped != f.dropped || *st.EventTime != f.newest {
		s.t.Fatalf("state %+v; want %d groups, %d late, %d dropped", st, f.live, f.late, f.dropped)
	}
	if diff := cmp.Diff(selectOrders(s.orders, f), tellAll(s.t, want)); diff != "" {
		s.t.Fatalf("(-select +view):\n%s", diff)
	}
}

// process starts the role.
func (s *shop) process(c Config) (stop func() error, ended <-chan error) {
	ctx, cancel := context.WithCancel(s.t.Context())
	end := make(chan error, 1)
	go func() { end <- Run(ctx, c) }()
	return func() error {
		cancel()
		return <-end
	}, end
}

// takeovers are tested but under the race detector.
var takeovers = true

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
				s.trade(120)
			}()
			stop, _ := s.process(c)
			for range 4 {
				time.Sleep(time.Duration(100+rng.IntN(400)) * time.Millisecond) // anywhere, the start included
				old, takeover := stop, takeovers && rng.IntN(2) == 0
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
	t.Parallel()
	if !takeovers {
		t.Skip("no takeovers")
	}
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

// A commit whose answer is lost may have happened or not. The role must find out, and neither lose nor double.
func TestRunOutlivesLostAnswers(t *testing.T) {
	t.Parallel()
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

func (s *shop) insert(status string) written {
	s.next++
	s.orders[s.next] = order{status, "10:00:00", "1"}
	o := s.orders[s.next]
	return orderEvent(s.next, "c", nil, &o)
}

func (s *shop) drop(topic string) {
	if err := s.cluster.DeleteTopic(topic); err != nil {
		s.t.Fatal(err)
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
