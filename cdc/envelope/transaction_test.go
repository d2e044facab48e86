package envelope

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"
	"time"
)

// sampleRecord is a Kafka transaction that holds the end of one split transaction, a whole one and the beginning of a
// third.
func sampleRecord() *TransactionRecord {
	return &TransactionRecord{
		Version: 1, Epoch: 3, Topics: []string{"livedb.public.orders", "livedb.public.items"},
		Entries: []TransactionEntry{
			{XID: 555, Commit: 0x16B374D848, End: 0x16B374D880, TimeUS: 1559033904863123, First: 11, Last: 13, Ends: true, Counts: []TopicCount{{0, 1}, {1, 2}}},
			{XID: 557, Commit: 0x16B374E000, End: 0x16B374E038, TimeUS: 1559033904900000, First: 14, Last: 14, Starts: true, Ends: true, Counts: []TopicCount{{1, 1}}},
			{XID: 556, Commit: 0x16B374F000, TimeUS: 1559033904900001, First: 15, Last: 19, Starts: true, Counts: []TopicCount{{0, 5}}},
		},
	}
}

func TestTransactionRecordRoundTrip(t *testing.T) {
	want := sampleRecord()
	value, err := json.Marshal(want)
	if err != nil {
		t.Fatal(err)
	}
	const first = `{"version":1,"epoch":3,"topics":["livedb.public.orders","livedb.public.items"],"entries":[` +
		`{"xid":555,"commit_lsn":"16/B374D848","end_lsn":"16/B374D880","ts_us":1559033904863123,"first":11,"last":13,"starts":false,"ends":true,"counts":[[0,1],[1,2]]},`
	if !strings.HasPrefix(string(value), first) {
		t.Errorf("\n got %s\nwant %s...", value, first)
	}
	got, err := ParseTransaction(value)
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, %v", got, err)
	}
	if at := got.Entries[0].Time(); at != time.Date(2019, 5, 28, 8, 58, 24, 863123000, time.UTC) {
		t.Errorf("time %v", at)
	}
}

func TestParseTransactionRefuses(t *testing.T) {
	for name, spoil := range map[string]func(r *TransactionRecord){
		"another version":       func(r *TransactionRecord) { r.Version = 2 },
		"a topic out of range":  func(r *TransactionRecord) { r.Entries[0].Counts[0].Topic = 2 },
		"a count of nothing":    func(r *TransactionRecord) { r.Entries[0].Counts[0].Events = 0 },
		"a count too small":     func(r *TransactionRecord) { r.Entries[0].Counts[1].Events = 1 },
		"a count too large":     func(r *TransactionRecord) { r.Entries[0].Counts[1].Events = 3 },
		"counts that overflow":  func(r *TransactionRecord) { r.Entries[0].Counts = []TopicCount{{0, 1<<64 - 1}, {1, 4}} },
		"no counts":             func(r *TransactionRecord) { r.Entries[0].Counts = nil },
		"a seq of zero":         func(r *TransactionRecord) { r.Entries[0].First = 0 },
		"a range that ends":     func(r *TransactionRecord) { r.Entries[0].Last = 10 },
		"a gap":                 func(r *TransactionRecord) { r.Entries = append(r.Entries[:1], r.Entries[2]) },
		"a seq counted twice":   func(r *TransactionRecord) { r.Entries[1] = r.Entries[0] },
		"entries out of order":  func(r *TransactionRecord) { r.Entries[0], r.Entries[1] = r.Entries[1], r.Entries[0] },
		"fewer topics than due": func(r *TransactionRecord) { r.Topics = r.Topics[:1] },
	} {
		r := sampleRecord()
		spoil(r)
		value, err := json.Marshal(r)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := ParseTransaction(value); err == nil {
			t.Errorf("%s: got %+v", name, got)
		}
	}

	value, _ := json.Marshal(sampleRecord())
	for name, change := range map[string][2]string{
		"cut":                   {`]]}]}`, `]]}`},
		"three numbers":         {`[0,1]`, `[0,1,0]`},
		"one number":            {`[0,5]`, `[0]`},
		"a null":                {`[0,5]`, `null`},
		"a negative topic":      {`[0,5]`, `[-1,5]`},
		"an enormous topic":     {`[0,5]`, `[18446744073709551615,5]`},
		"an object":             {`[0,5]`, `{"topic":0}`},
		"an LSN that is none":   {`"16/B374D848"`, `"somewhere"`},
		"a decimal LSN":         {`"16/B374D848"`, `24023128`},
		"an epoch that is none": {`"epoch":3`, `"epoch":-3`},
	} {
		spoiled := strings.Replace(string(value), change[0], change[1], 1)
		if spoiled == string(value) {
			t.Fatalf("%s: nothing replaced in %s", name, value)
		}
		if got, err := ParseTransaction([]byte(spoiled)); err == nil {
			t.Errorf("%s: got %+v", name, got)
		}
	}
}
