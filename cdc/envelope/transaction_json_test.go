package envelope

import (
	"encoding/json"
	"fmt"
	"math"
	"reflect"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/livedb/livedb/cdc"
)

// reflected is the record read by encoding/json alone, unchecked.
func reflected(value []byte) (*TransactionRecord, error) {
	r := &TransactionRecord{}
	return r, json.Unmarshal(value, r)
}

// agree holds the reader against encoding/json: what it takes means the same, and what it writes is read by it.
func agree(t fataler, value []byte) {
	r, ok := readRecord(value)
	if !ok {
		return
	}
	want, err := reflected(value)
	if err != nil || !reflect.DeepEqual(r, want) {
		t.Fatalf("%s\n got %+v\nwant %+v, %v", value, r, want, err)
	}
	if again := r.Append(nil); string(again) != string(value) {
		t.Fatalf("%s is written as %s", value, again)
	}
}

type fataler interface {
	Fatal(...any)
	Fatalf(string, ...any)
}

func drawRecord(t *rapid.T) *TransactionRecord {
	number := rapid.OneOf(rapid.Uint64(), rapid.Uint64Range(0, 20), rapid.SampledFrom([]uint64{math.MaxUint64, math.MaxUint32, math.MaxUint32 + 1, 1 << 32}))
	topic := rapid.OneOf(rapid.StringMatching(`[a-zA-Z0-9._-]{1,20}`), rapid.StringMatching(`[ -~]{0,6}`), rapid.String(),
		rapid.SampledFrom([]string{"\x7f", "\u2028", "\xff", "<&>", `"`, `]`, `,"entries":[`}))
	count := rapid.Custom(func(t *rapid.T) TopicCount {
		return TopicCount{int(rapid.OneOf(rapid.Uint32Range(0, 3), rapid.Uint32Range(0, math.MaxInt32)).Draw(t, "topic")), number.Draw(t, "events")}
	})
	entry := rapid.Custom(func(t *rapid.T) TransactionEntry {
		e := TransactionEntry{XID: rapid.Uint32().Draw(t, "xid"), Commit: cdc.CommitLSN(number.Draw(t, "commit")), End: cdc.EndLSN(number.Draw(t, "end")),
			TimeUS: rapid.Int64().Draw(t, "time"), First: number.Draw(t, "first"), Last: number.Draw(t, "last"),
			Starts: rapid.Bool().Draw(t, "starts"), Ends: rapid.Bool().Draw(t, "ends")}
		if rapid.IntRange(0, 9).Draw(t, "nil") > 0 {
			e.Counts = rapid.SliceOfN(count, 0, 3).Draw(t, "counts")
		}
		return e
	})
	r := &TransactionRecord{Version: rapid.IntRange(-1, 3).Draw(t, "version"), Epoch: rapid.Uint32().Draw(t, "epoch")}
	if rapid.IntRange(0, 9).Draw(t, "nil") > 0 {
		r.Topics, r.Entries = rapid.SliceOfN(topic, 0, 12).Draw(t, "topics"), rapid.SliceOfN(entry, 0, 4).Draw(t, "entries")
	}
	return r
}

// Append writes what json.Marshal writes, to the byte, and what is read by hand is what encoding/json reads.
func TestTransactionAgreesWithEncodingJSON(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r := drawRecord(t)
		want, err := json.Marshal(r)
		if err != nil {
			t.Fatal(err)
		}
		got := r.Append([]byte("before"))
		if string(got) != "before"+string(want) {
			t.Fatalf("\n got %s\nwant before%s", got, want)
		}
		agree(t, want)

		at := rapid.IntRange(0, len(want)-1).Draw(t, "damage")
		want[at] = rapid.SampledFrom([]byte("0123456789ABCDEFabcdef\"[]{},:/. -+\\\x00\x80")).Draw(t, "byte")
		agree(t, want)
	})
}

// What LiveDB writes is read by hand: a record that is not costs thirty times as much.
func TestTransactionIsReadByHand(t *testing.T) {
	for _, r := range []*TransactionRecord{sampleRecord(), loaded(1, 1), loaded(1000, 2), {Version: 1, Topics: []string{}, Entries: []TransactionEntry{}}} {
		value := r.Append(nil)
		if got, ok := readRecord(value); !ok || !reflect.DeepEqual(got, r) {
			t.Errorf("%s is read as %+v, %v", value, got, ok)
		}
	}
}

// Other forms of the same mean the same.
func TestParseTransactionTakesOtherForms(t *testing.T) {
	value := string(sampleRecord().Append(nil))
	for name, form := range map[string]string{
		"spaces":            strings.ReplaceAll(value, ",", " ,\n "),
		"a field more":      strings.Replace(value, `"xid"`, `"later":[{"a":1}],"xid"`, 1),
		"another order":     strings.Replace(value, `"version":1,"epoch":3`, `"epoch":3,"version":1`, 1),
		"an escaped letter": strings.Replace(value, `livedb.public.orders`, `livedb.public\u002eorders`, 1),
	} {
		if form == value {
			t.Fatalf("%s: nothing replaced", name)
		}
		if got, err := ParseTransaction([]byte(form)); err != nil || !reflect.DeepEqual(got, sampleRecord()) {
			t.Errorf("%s: got %+v, %v", name, got, err)
		}
	}
}

func TestParseTransactionRefusesTopicsNamedTwice(t *testing.T) {
	for _, n := range []int{2, 100} {
		r := sampleRecord()
		for len(r.Topics) < n {
			r.Topics = append(r.Topics, fmt.Sprint("livedb.public.t", len(r.Topics)))
		}
		if _, err := ParseTransaction(r.Append(nil)); err != nil {
			t.Errorf("%d topics: %v", n, err)
		}
		r.Topics[n-1] = r.Topics[0]
		if _, err := ParseTransaction(r.Append(nil)); err == nil || !strings.Contains(err.Error(), "livedb.public.orders is named twice") {
			t.Errorf("%d topics: %v", n, err)
		}
	}
}

func FuzzParseTransaction(f *testing.F) {
	value := string(sampleRecord().Append(nil))
	f.Add([]byte(value))
	for _, change := range [][2]string{{`"xid":555`, `"xid":4294967296`}, {`"xid":555`, `"xid":00`}, {`16/`, `016/`}, {`"ts_us":1`, `"ts_us":-1`}, {`]]}]}`, `]]}]} `},
		{`[[0,1],[1,2]]`, `[]`}, {`[[0,1],[1,2]]`, `null`}, {`"starts":true`, `"starts":1`}, {`"last":13`, `"last":18446744073709551616`}, {`[0,5]`, `[2147483648,5]`}} {
		f.Add([]byte(strings.Replace(value, change[0], change[1], 1)))
	}
	f.Fuzz(func(t *testing.T, value []byte) {
		agree(t, value)
		got, err := ParseTransaction(value)
		want, wantErr := reflected(value)
		if err == nil && (wantErr != nil || !reflect.DeepEqual(got, want)) {
			t.Fatalf("%s\n got %+v\nwant %+v, %v", value, got, want, wantErr)
		}
	})
}

// loaded is the record of a Kafka transaction with many Postgres transactions.
func loaded(entries, topics int) *TransactionRecord {
	r := &TransactionRecord{Version: 1, Epoch: 1, Topics: []string{}}
	for i := range topics {
		r.Topics = append(r.Topics, fmt.Sprintf("livedb.public.table_%d", i))
	}
	seq, commit := uint64(1e9), uint64(0x16B374D848)
	for i := range entries {
		e := TransactionEntry{XID: uint32(800000 + i), Commit: cdc.CommitLSN(commit), End: cdc.EndLSN(commit + 56),
			TimeUS: 1789000000123456 + int64(i), First: seq, Last: seq - 1, Starts: true, Ends: true}
		for topic := range topics {
			e.Counts = append(e.Counts, TopicCount{topic, 1})
			e.Last++
		}
		seq, commit = e.Last+1, commit+400
		r.Entries = append(r.Entries, e)
	}
	return r
}

func TestTransactionAllocations(t *testing.T) {
	const topics = 3
	for _, entries := range []int{1, 10, 1000} {
		r := loaded(entries, topics)
		value := r.Append(nil)
		if n := testing.AllocsPerRun(10, func() {
			if _, err := ParseTransaction(value); err != nil {
				t.Fatal(err)
			}
		}); n > 4+topics {
			t.Errorf("%d entries are read with %v allocations, want %d a record", entries, n, 4+topics)
		}
		if n := testing.AllocsPerRun(10, func() { value = r.Append(value[:0]) }); n > 0 {
			t.Errorf("%d entries are written with %v allocations", entries, n)
		}
	}
}

// BenchmarkParseTransaction reads a record of 1,000 one-row transactions, as LiveDB writes it and by encoding/json.
func BenchmarkParseTransaction(b *testing.B) {
	value := loaded(1000, 1).Append(nil)
	run := func(name string, parse func([]byte) (*TransactionRecord, error)) {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := parse(value); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/1000, "ns/entry")
		})
	}
	run("by hand", ParseTransaction)
	run("encoding-json", reflected)
}

func BenchmarkAppendTransaction(b *testing.B) {
	r := loaded(1000, 1)
	b.Run("by hand", func(b *testing.B) {
		var value []byte
		b.ReportAllocs()
		for b.Loop() {
			value = r.Append(value[:0])
		}
		b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/1000, "ns/entry")
	})
	b.Run("encoding-json", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := json.Marshal(r); err != nil {
				b.Fatal(err)
			}
		}
		b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/1000, "ns/entry")
	})
}
