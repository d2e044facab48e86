package processor

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/IBM/sarama"
	"github.com/twmb/franz-go/pkg/kfake"

	"github.com/livedb/livedb/cdc"
	"github.com/livedb/livedb/cdc/envelope"
	"github.com/livedb/livedb/internal/kafka"
)

// stream writes what cdc would write, to a Kafka of its own, and remembers what a reader must deliver.
type stream struct {
	t        testing.TB
	cluster  *kfake.Cluster
	wires    *wires
	config   kafka.Config
	client   sarama.Client
	topics   envelope.Topics
	producer *kafka.Producer

	epoch  uint32
	seq    uint64
	xid    uint32
	commit cdc.CommitLSN
	index  uint64

	mu   sync.Mutex
	log  []string
	home map[uint64]string // the topic of each seq, without the prefix
}

// written is an event to be written.
type written struct {
	topic     string // without the prefix
	partition int32
	key       string
	value     string // empty: a value that names the seq
	tombstone bool   // follows the event

	lose, double bool // damage: the record is missing, or there twice
}

// part is a Postgres transaction, or with split or rest a part of one.
type part struct {
	events      []written
	rest, split bool
	time        time.Time
}

func newStream(t testing.TB, options ...kfake.Opt) *stream {
	t.Helper()
	wires := &wires{}
	cluster, err := kfake.NewCluster(append([]kfake.Opt{kfake.NumBrokers(1), kfake.ListenFn(wires.listen)}, options...)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cluster.Close)
	s := streamAt(t, cluster.ListenAddrs())
	s.cluster, s.wires = cluster, wires
	return s
}

// streamAt is a stream in a Kafka that is there.
func streamAt(t testing.TB, brokers []string) *stream {
	t.Helper()
	s := &stream{t: t, home: map[uint64]string{}, topics: "p", epoch: 1, config: kafka.Config{Brokers: brokers, ClientID: "test"}}
	s.client = s.connect()
	s.fence()
	t.Cleanup(func() { s.producer.Close() })
	return s
}

func (s *stream) connect() sarama.Client {
	s.t.Helper()
	client, err := kafka.Connect(s.t.Context(), s.config)
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { client.Close() })
	return client
}

// fence opens a new producer, which aborts the older one's open transaction.
func (s *stream) fence() {
	s.t.Helper()
	if s.producer != nil {
		s.producer.Close()
	}
	p, err := kafka.OpenProducer(s.t.Context(), s.config, "p.cdc")
	var code sarama.KError
	for began := time.Now(); errors.As(err, &code) && time.Since(began) < time.Minute; { // a Kafka that has just started looks for its coordinator
		p, err = kafka.OpenProducer(s.t.Context(), s.config, "p.cdc")
	}
	if err != nil {
		s.t.Fatal(err)
	}
	s.producer = p
}

// create makes topics, with the stream's own.
func (s *stream) create(partitions int32, tables ...string) {
	s.t.Helper()
	topics := []kafka.Topic{{Name: s.topics.Transaction(), Partitions: 1}, {Name: s.topics.Checkpoint(), Partitions: 1, Compacted: true}}
	for _, name := range tables {
		topics = append(topics, kafka.Topic{Name: "p." + name, Partitions: partitions})
	}
	if err := kafka.EnsureTopics(s.t.Context(), s.client, topics...); err != nil {
		s.t.Fatal(err)
	}
}

// write writes one Kafka transaction. It may be called from one goroutine at a time.
func (s *stream) write(parts ...part) {
	s.t.Helper()
	if err := s.producer.Begin(); err != nil {
		s.t.Fatal(err)
	}
	r, log := s.send(parts)
	value, err := json.Marshal(r)
	if err != nil {
		s.t.Fatal(err)
	}
	s.producer.Send(&sarama.ProducerMessage{Topic: s.topics.Transaction(), Value: sarama.ByteEncoder(value)})
	s.producer.Send(&sarama.ProducerMessage{Topic: s.topics.Checkpoint(), Key: sarama.StringEncoder("position"), Value: sarama.StringEncoder("{}")})

	s.mu.Lock()
	s.log = append(s.log, log...) // before a reader can see it
	s.mu.Unlock()
	if err := s.producer.Commit(); err != nil {
		s.t.Fatal(err)
	}
}

// lose ends the epoch and begins the next one, with lower LSNs. A transaction that was split and not ended is cut in two.
func (s *stream) lose(cut bool) {
	s.t.Helper()
	gap := &envelope.Gap{Version: 1, Stream: "p", EpochFrom: s.epoch, EpochTo: s.epoch + 1, Why: envelope.GapWhy{Name: "slot_missing"}, SourceNow: &envelope.Origin{},
		From: envelope.GapFrom{Epoch: s.epoch, Seq: s.seq, Partial: cut}, To: &envelope.GapTo{LSN: 0x100, Time: time.Now()}}
	r := envelope.TransactionRecord{Version: 1, Epoch: s.epoch + 1, Gap: gap}
	if err := s.producer.Begin(); err != nil {
		s.t.Fatal(err)
	}
	s.producer.Send(&sarama.ProducerMessage{Topic: s.topics.Transaction(), Value: sarama.ByteEncoder(r.Append(nil))})
	s.epoch, s.seq, s.commit, s.index = s.epoch+1, 0, 0x100, 0
	s.mu.Lock()
	s.log = append(s.log, fmt.Sprint("epoch ", s.epoch))
	s.mu.Unlock()
	if err := s.producer.Commit(); err != nil {
		s.t.Fatal(err)
	}
}

// abort writes the events of a Kafka transaction that is never committed.
func (s *stream) abort(parts ...part) {
	s.t.Helper()
	seq, xid, commit, index := s.seq, s.xid, s.commit, s.index
	if err := s.producer.Begin(); err != nil {
		s.t.Fatal(err)
	}
	s.send(parts)
	s.seq, s.xid, s.commit, s.index = seq, xid, commit, index
	s.fence()
}

func (s *stream) send(parts []part) (r envelope.TransactionRecord, log []string) {
	r = envelope.TransactionRecord{Version: 1, Epoch: s.epoch}
	for _, p := range parts {
		if !p.rest {
			s.xid++
			s.commit += 100
			s.index = 0
			log = append(log, fmt.Sprint("begin ", s.xid))
		}
		e := envelope.TransactionEntry{XID: s.xid, Commit: s.commit, TimeUS: p.time.UnixMicro(), First: s.seq + 1, Starts: !p.rest, Ends: !p.split}
		for _, w := range p.events {
			s.seq++
			s.index++
			s.mu.Lock()
			s.home[s.seq] = w.topic
			s.mu.Unlock()
			name := "p." + w.topic
			if !slices.Contains(r.Topics, name) {
				r.Topics = append(r.Topics, name)
			}
			topic := slices.Index(r.Topics, name)
			at := slices.IndexFunc(e.Counts, func(c envelope.TopicCount) bool { return c.Topic == topic })
			if at < 0 {
				at = len(e.Counts)
				e.Counts = append(e.Counts, envelope.TopicCount{Topic: topic})
			}
			e.Counts[at].Events++
			log = append(log, fmt.Sprintf("%d %s", s.seq, s.sendEvent(name, w)))
		}
		e.Last = s.seq
		if !p.split {
			e.End = cdc.EndLSN(s.commit + 50)
			log = append(log, fmt.Sprint("end ", s.xid))
		}
		r.Entries = append(r.Entries, e)
	}
	return r, log
}

func (s *stream) sendEvent(topic string, w written) (value string) {
	value = w.value
	if value == "" {
		value = fmt.Sprintf(`{"seq":%d}`, s.seq)
	}
	m := sarama.ProducerMessage{Topic: topic, Partition: w.partition, Key: sarama.StringEncoder(w.key), Value: sarama.StringEncoder(value),
		Headers: []sarama.RecordHeader{
			{Key: []byte(envelope.HeaderSeq), Value: strconv.AppendUint(nil, s.seq, 10)},
			{Key: []byte(envelope.HeaderPosition), Value: []byte(cdc.Position{Commit: s.commit, Index: s.index}.String())},
		}}
	if s.epoch > 1 {
		m.Headers = append(m.Headers, sarama.RecordHeader{Key: []byte(envelope.HeaderEpoch), Value: strconv.AppendUint(nil, uint64(s.epoch), 10)})
	}
	times := 1
	switch {
	case w.lose:
		times = 0
	case w.double:
		times = 2
	}
	for range times {
		again := m
		s.producer.Send(&again)
	}
	if w.tombstone {
		again := m
		again.Value = nil
		s.producer.Send(&again)
	}
	return value
}

// logged returns what was written so far.
func (s *stream) logged() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.log)
}

// loggedOf returns what a reader of some topics must deliver of what was written so far.
func (s *stream) loggedOf(topics ...string) (log []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	begun := 0
	for _, line := range s.log {
		word, _, _ := strings.Cut(line, " ")
		switch {
		case word == "begin":
			begun = len(log)
			log = append(log, line)
		case word == "end" && len(log) == begun+1:
			log = log[:begun] // it holds nothing of them
		case word == "end" || slices.Contains(topics, s.home[number(word)]):
			log = append(log, line)
		}
	}
	return log
}

// open opens a reader that is closed at the test's end.
func (s *stream) open(start Start, adjust ...func(*ReaderConfig)) *Reader {
	s.t.Helper()
	c := ReaderConfig{Client: s.client, Prefix: "p", Start: start}
	for _, f := range adjust {
		f(&c)
	}
	ctx, cancel := context.WithTimeout(s.t.Context(), 20*time.Second)
	defer cancel()
	r, err := OpenReader(ctx, c)
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { r.Close() })
	return r
}

// read returns the next n items, or those before an error.
func (s *stream) read(r *Reader, n int) (got []string, err error) {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.t.Context(), 20*time.Second)
	defer cancel()
	for len(got) < n {
		item, err := r.Next(ctx)
		if err != nil {
			return got, err
		}
		got = append(got, itemText(item))
	}
	return got, nil
}

// wires are the connections of a Kafka. Cut closes all of them instead of sending the next response: whatever it says,
// its request was carried out.
type wires struct {
	mu    sync.Mutex
	open  map[net.Conn]bool
	armed bool
}

func (w *wires) listen(network, address string) (net.Listener, error) {
	l, err := net.Listen(network, address)
	return listener{l, w}, err
}

func (w *wires) cut() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.armed = true
}

type listener struct {
	net.Listener
	wires *wires
}

func (l listener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	l.wires.mu.Lock()
	defer l.wires.mu.Unlock()
	if l.wires.open == nil {
		l.wires.open = map[net.Conn]bool{}
	}
	l.wires.open[c] = true
	return wire{c, l.wires}, nil
}

type wire struct {
	net.Conn
	wires *wires
}

func (c wire) Write(b []byte) (int, error) {
	c.wires.mu.Lock()
	if c.wires.armed {
		for open := range c.wires.open {
			open.Close()
		}
		clear(c.wires.open)
		c.wires.armed = false
	}
	c.wires.mu.Unlock()
	return c.Conn.Write(b)
}
