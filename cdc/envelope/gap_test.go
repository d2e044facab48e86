package envelope

import (
	"encoding/json"
	"reflect"
	"testing"
	"time"

	"github.com/livedb/livedb/cdc"
)

func sampleGap() *Gap {
	source := Origin{SystemID: "7711102432257712511", Timeline: 1, Database: "shop", Slot: "livedb", Publication: "livedb"}
	return &Gap{Version: 1, Stream: "livedb", EpochFrom: 1, EpochTo: 2, SourceWas: source, SourceNow: &source, Why: GapWhy{Name: "slot_missing", Text: "the slot livedb is gone"},
		From: GapFrom{Epoch: 1, Seq: 6, Position: cdc.Position{Commit: 0x3622E28, Index: 1}, End: 0x3622E58, CommitTime: time.Date(2026, 11, 22, 20, 55, 52, 834092000, time.UTC)},
		To:   &GapTo{LSN: 0x3E6E7C8, Time: time.Date(2026, 11, 22, 20, 55, 55, 363903458, time.UTC)}}
}

// The form of the certificate is for other programs to read.
func TestTheRecordThatBeginsAnEpoch(t *testing.T) {
	r := &TransactionRecord{Version: 1, Epoch: 2, Topics: []string{}, Entries: []TransactionEntry{}, Gap: sampleGap()}
	const want = `{"version":1,"epoch":2,"topics":[],"entries":[],"gap":{"version":1,"stream":"livedb","epoch_from":1,"epoch_to":2,` +
		`"from":{"epoch":1,"seq":6,"position":"0/3622E28:1","partial":false,"end_lsn":"0/3622E58","commit_time":"2026-11-22T20:55:52.834092Z"},` +
		`"to":{"lsn":"0/3E6E7C8","time":"2026-11-22T20:55:55.363903458Z"},"why":{"name":"slot_missing","text":"the slot livedb is gone"},` +
		`"source_was":{"system_id":"7711102432257712511","timeline":1,"database":"shop","slot":"livedb","publication":"livedb"},` +
		`"source_now":{"system_id":"7711102432257712511","timeline":1,"database":"shop","slot":"livedb","publication":"livedb"}}}`
	text := r.Append(nil)
	if string(text) != want {
		t.Errorf("\n got %s\nwant %s", text, want)
	}
	if marshalled, err := json.Marshal(r); err != nil || string(marshalled) != want {
		t.Errorf("json.Marshal gives %s, %v", marshalled, err)
	}
	if got, err := ParseTransaction(text); err != nil || !reflect.DeepEqual(got, r) {
		t.Errorf("got %+v, %v", got, err)
	}
}

func TestARecordThatCannotBeginAnEpochIsRefused(t *testing.T) {
	for name, spoil := range map[string]func(r *TransactionRecord){
		"another version":       func(r *TransactionRecord) { r.Gap.Version = 2 },
		"another epoch":         func(r *TransactionRecord) { r.Epoch = 3 },
		"an epoch left out":     func(r *TransactionRecord) { r.Gap.EpochFrom = 0 },
		"from another epoch":    func(r *TransactionRecord) { r.Gap.From.Epoch = 2 },
		"no beginning":          func(r *TransactionRecord) { r.Gap.To = nil },
		"no source":             func(r *TransactionRecord) { r.Gap.SourceNow = nil },
		"entries of its own":    func(r *TransactionRecord) { r.Topics, r.Entries = sampleRecord().Topics, sampleRecord().Entries[:1] },
		"the first of a stream": func(r *TransactionRecord) { r.Epoch, r.Gap.EpochTo = 1, 1 },
	} {
		r := &TransactionRecord{Version: 1, Epoch: 2, Gap: sampleGap()}
		spoil(r)
		if got, err := ParseTransaction(r.Append(nil)); err == nil {
			t.Errorf("%s: got %+v", name, got)
		}
	}
}

func TestParseEpoch(t *testing.T) {
	if epoch, err := ParseEpoch([]byte("4294967295")); err != nil || epoch != 1<<32-1 {
		t.Errorf("%d, %v", epoch, err)
	}
	for _, header := range []string{"", "0", "1", "-2", "x", "4294967296"} {
		if epoch, err := ParseEpoch([]byte(header)); err == nil {
			t.Errorf("%q is the epoch %d", header, epoch)
		}
	}
}
