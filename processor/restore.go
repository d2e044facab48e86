package processor

import (
	"context"
	"crypto/rand"
	"fmt"
	"slices"

	"github.com/IBM/sarama"

	"github.com/livedb/livedb/internal/kafka"
)

// headerBarrier marks the result that restore writes again.
const headerBarrier = "livedb.barrier"

// restore reads the view's state and results and says where the stream goes on.
func (s *session) restore(ctx context.Context) (Start, error) {
	states, err := kafka.ReadCompacted(ctx, s.client, s.producer, s.place)
	if err != nil {
		return Start{}, err
	}
	s.totals.settled = true
	text, found := states[stateKey]
	if !found {
		return FromBeginning(), s.begin()
	}
	st, err := s.parseState(text)
	if err != nil {
		return Start{}, err
	}
	results := map[string][]byte{}
	if st.Sample != nil {
		if results, err = s.readResults(ctx, st.Sample); err != nil {
			return Start{}, err
		}
	}
	return s.load(st, results)
}

// begin writes the state of a view that holds nothing yet. It stands there before any result, so results without a
// state mean that the state was lost.
func (s *session) begin() error {
	end, err := s.client.GetOffset(s.view, 0, sarama.OffsetNewest)
	if err != nil {
		return fmt.Errorf("read the end of topic %s: %w", s.view, err)
	}
	if end > 0 {
		return fmt.Errorf("%w: there are results and no state that says what they hold: %s", ErrView, s.anew())
	}
	if err := s.producer.Begin(); err != nil {
		return err
	}
	s.producer.Send(&sarama.ProducerMessage{Topic: s.place, Key: sarama.StringEncoder(stateKey), Value: sarama.ByteEncoder(s.state())})
	return s.producer.Commit()
}

// readResults reads the results up to a barrier: offsets cannot tell where the committed records end. The topic is for
// others to read, so the barrier is nothing strange: one result once more, as it is, with a mark in its headers.
func (s *session) readResults(ctx context.Context, sample *result) (map[string][]byte, error) {
	mark := rand.Text()
	if err := s.producer.Begin(); err != nil {
		return nil, err
	}
	s.producer.Send(&sarama.ProducerMessage{Topic: s.view, Key: sarama.StringEncoder(sample.Key), Value: sarama.ByteEncoder(sample.Value),
		Headers: []sarama.RecordHeader{{Key: []byte(headerBarrier), Value: []byte(mark)}}})
	if err := s.producer.Commit(); err != nil {
		return nil, err
	}

	return kafka.ReadUntil(ctx, s.client, s.view, func(r kafka.Record) bool {
		return slices.ContainsFunc(r.Headers, func(h *sarama.RecordHeader) bool { return string(h.Key) == headerBarrier && string(h.Value) == mark })
	})
}
