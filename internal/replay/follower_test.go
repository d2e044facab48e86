package replay

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"hash/maphash"
	"strconv"
	"sync"
	"time"

	"github.com/IBM/sarama"

	"github.com/livedb/livedb/cdc"
	"github.com/livedb/livedb/cdc/envelope"
	"github.com/livedb/livedb/internal/kafka"
)

// sample is an event that was seen.
type sample struct {
	seq      uint64
	position cdc.Position
	time     time.Time // of its commit
	xid      uint32
}

const sampleEvery = 97

// follower reads the stream as it grows, as a plain read_committed consumer, and remembers a digest of every record.
type follower struct {
	r    *rig
	seed maphash.Seed

	mu      sync.Mutex
	digests [2][]uint64 // of events and of tombstones, by seq
	read    uint64      // events
	samples []sample
	waits   []arrival
	grown   chan struct{}
}

type arrival struct {
	at     time.Time
	millis float64 // since the commit
}

// follow follows the stream from its beginning until the test ends.
func (r *rig) follow() *follower {
	r.t.Helper()
	f := &follower{r: r, seed: maphash.MakeSeed(), grown: make(chan struct{}, 1)}
	consumer, err := sarama.NewConsumerFromClient(r.client)
	if err != nil {
		r.t.Fatal(err)
	}
	var reading sync.WaitGroup
	var open []sarama.PartitionConsumer
	for _, table := range []string{".public.a", ".public.b", ".public.bare"} {
		for p := range r.config.Partitions {
			partition, err := consumer.ConsumePartition(r.config.Prefix+table, p, sarama.OffsetOldest)
			if err != nil {
				r.t.Fatal(err)
			}
			open = append(open, partition)
			reading.Go(func() {
				for m := range partition.Messages() {
					f.take(fmt.Sprint(table, "/", p), m, time.Now())
				}
			})
			reading.Go(func() {
				for err := range partition.Errors() {
					r.t.Error(err)
				}
			})
		}
	}
	r.t.Cleanup(func() {
		for _, p := range open {
			p.AsyncClose()
		}
		reading.Wait()
		consumer.Close()
	})
	return f
}

// take notes a record of a partition.
func (f *follower) take(partition string, m *sarama.ConsumerMessage, now time.Time) {
	seq, digest := f.digest(partition, m.Key, m.Value, m.Headers, "")
	f.mu.Lock()
	defer f.mu.Unlock()
	f.put(m.Value == nil, seq, digest)
	if m.Value == nil {
		return
	}
	f.read++
	committed := commitOf(m.Value)
	f.waits = append(f.waits, arrival{now, float64(now.Sub(committed).Microseconds()) / 1000})
	if seq%sampleEvery == 0 {
		e, err := envelope.ParseEvent(m.Value)
		if err != nil {
			f.r.t.Error(err)
		}
		s := sample{seq: seq, time: committed, xid: e.Source.TxID}
		for _, h := range m.Headers {
			if string(h.Key) == envelope.HeaderPosition {
				if s.position, err = cdc.ParsePosition(string(h.Value)); err != nil {
					f.r.t.Error(err)
				}
			}
		}
		f.samples = append(f.samples, s)
	}
	select {
	case f.grown <- struct{}{}:
	default:
	}
}

// commitOf cuts the time of the commit out of an event.
func commitOf(value []byte) time.Time {
	_, rest, _ := bytes.Cut(value, []byte(`,"source":{`))
	_, rest, _ = bytes.Cut(rest, []byte(`,"ts_us":`))
	text, _, _ := bytes.Cut(rest, []byte(`,`))
	micros, _ := strconv.ParseInt(string(text), 10, 64) // 0 is a latency of half a century, which nobody overlooks
	return time.UnixMicro(micros)
}

// put remembers a digest; the caller holds mu.
func (f *follower) put(tombstone bool, seq, digest uint64) {
	all := &f.digests[0]
	if tombstone {
		all = &f.digests[1]
	}
	if n := int(seq) + 1 - len(*all); n > 0 {
		*all = append(*all, make([]uint64, n)...)
	}
	if (*all)[seq] != 0 {
		f.r.t.Errorf("seq %d came twice", seq)
	}
	(*all)[seq] = digest
}

// digest sums up all that a record is but for times of processing and the mark of a replay, which must be the last header.
func (f *follower) digest(partition string, key, value []byte, headers []*sarama.RecordHeader, mark string) (seq, digest uint64) {
	if mark != "" {
		last := headers[len(headers)-1]
		if string(last.Key) != envelope.HeaderReplay || string(last.Value) != mark {
			f.r.t.Errorf("the last header is %s=%s", last.Key, last.Value)
		}
		headers = headers[:len(headers)-1]
	}
	var h maphash.Hash
	h.SetSeed(f.seed)
	add := func(piece []byte) {
		var length [8]byte
		binary.LittleEndian.PutUint64(length[:], uint64(len(piece)))
		h.Write(length[:])
		h.Write(piece)
	}
	add([]byte(partition))
	add(key)
	if value != nil {
		add(untimed(value))
	}
	for _, header := range headers {
		add(header.Key)
		add(header.Value)
		if string(header.Key) == envelope.HeaderSeq {
			seq, _ = envelope.ParseSeq(header.Value) // 0 has no digest
		}
	}
	return seq, max(1, h.Sum64())
}

// seq returns up to which seq all events have been seen, as far as their number tells.
func (f *follower) seq() uint64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.read
}

// upto waits until so many events have been seen.
func (f *follower) upto(events uint64) {
	f.r.t.Helper()
	late := time.After(2 * time.Minute)
	for f.seq() < events {
		select {
		case <-f.grown:
		case <-late:
			f.r.t.Fatalf("%d events were seen, and %d are due", f.seq(), events)
		}
	}
}

// since takes the latencies of events that arrived in a stretch of time.
func (f *follower) since(from, to time.Time, into *[]float64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, a := range f.waits {
		if a.at.After(from) && a.at.Before(to) {
			*into = append(*into, a.millis)
		}
	}
	f.waits = f.waits[:0] // those of other stretches are not asked for
}

// between returns samples of a range of seqs.
func (f *follower) between(from, to uint64) (some []sample) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, s := range f.samples {
		if s.seq >= from && s.seq <= to {
			some = append(some, s)
		}
	}
	return some
}

// same holds the records of a replay against those that were seen of the stream, and counts them.
func (f *follower) same(id string, from, to uint64) (records uint64) {
	f.r.t.Helper()
	f.upto(to)
	met := map[[2]uint64]bool{}
	topics := envelope.Topics(f.r.config.Prefix).Replay(id)
	for _, table := range []string{".public.a", ".public.b", ".public.bare"} {
		found, err := kafka.Look(f.r.t.Context(), f.r.client, string(topics)+table)
		if err != nil {
			f.r.t.Fatal(err)
		}
		for p := range found[string(topics)+table].Partitions {
			f.partition(id, string(topics), table, p, met)
		}
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	for seq := from; seq <= to; seq++ {
		for kind, all := range f.digests {
			if int(seq) < len(all) && all[seq] != 0 && !met[[2]uint64{uint64(kind), seq}] {
				f.r.t.Fatalf("replay %s lacks seq %d", id, seq)
			}
		}
	}
	return uint64(len(met))
}

// partition holds one partition's records against the stream's.
func (f *follower) partition(id, topics, table string, p int32, met map[[2]uint64]bool) {
	f.r.t.Helper()
	scan, err := kafka.OpenScan(f.r.client, topics+table, p, sarama.OffsetOldest)
	if err != nil {
		f.r.t.Fatal(err)
	}
	for last := uint64(0); ; {
		record, more, err := scan.Next(f.r.t.Context())
		if err != nil {
			f.r.t.Fatal(err)
		}
		if !more {
			return
		}
		seq, digest := f.digest(fmt.Sprint(table, "/", p), record.Key, record.Value, record.Headers, id)
		kind := [2]uint64{0, seq}
		if record.Value == nil {
			kind[0] = 1
		}
		f.mu.Lock()
		all := f.digests[kind[0]]
		same := int(seq) < len(all) && all[seq] == digest
		f.mu.Unlock()
		if !same || seq < last || met[kind] {
			f.r.t.Fatalf("replay %s has another record of seq %d than the stream, or after %d, or twice: %s %s", id, seq, last, record.Key, record.Value)
		}
		met[kind], last = true, seq
	}
}
