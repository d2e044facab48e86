package ui_test

import (
	"testing"
	"time"

	"github.com/IBM/sarama"

	"github.com/livedb/livedb/cdc"
	"github.com/livedb/livedb/cdc/envelope"
)

// lose ends the stream's epoch and begins the next one.
func (s *stream) lose() {
	s.t.Helper()
	gap := &envelope.Gap{Version: 1, EpochFrom: s.epoch, EpochTo: s.epoch + 1, From: envelope.GapFrom{Epoch: s.epoch, Seq: s.seq, End: cdc.EndLSN(s.lsn)},
		To: &envelope.GapTo{LSN: cdc.EndLSN(s.lsn + 0x1000), Time: time.Now()}, Why: envelope.GapWhy{Name: "slot_wal_lost"}, SourceNow: &envelope.Origin{}}
	s.epoch, s.seq, s.lsn = s.epoch+1, 0, s.lsn+0x1000
	record := envelope.TransactionRecord{Version: 1, Epoch: s.epoch, Gap: gap}
	if err := s.producer.Begin(); err != nil {
		s.t.Fatal(err)
	}
	s.producer.Send(&sarama.ProducerMessage{Topic: s.topics.Transaction(), Value: sarama.ByteEncoder(record.Append(nil))})
	if err := s.producer.Commit(); err != nil {
		s.t.Fatal(err)
	}
}

func TestThePageShowsThatAnEpochBegan(t *testing.T) {
	s := newScene(t)
	b := newTab(t, 1280, 900)
	b.open(s.url)
	s.insert(1, 3)
	b.until("the events", rowsInSight+` === 3`)
	s.lose()
	s.insert(10, 2)
	b.until("the new epoch's events", rowsInSight+` === 5`)
	if got, want := eval[string](b, held), numbers(1, 3)+" epoch 0 "+numbers(1, 2); got != want {
		t.Errorf("the page holds %s, want %s", got, want)
	}
	b.until("the gap in words", `/^Epoch 2 begins here: changes from \S+ to \S+ are lost \(slot_wal_lost\)$/.test(document.querySelector('[data-testid=gap] span').textContent)`)
}
