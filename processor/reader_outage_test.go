package processor

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"
)

func TestReaderTellsOfAnOutageAndGoesOn(t *testing.T) {
	t.Parallel()
	s := newStream(t)
	s.create(1, "public.orders")
	s.write(part{events: []written{{topic: "public.orders"}}})
	r := s.open(FromBeginning())
	if _, err := s.read(r, 3); err != nil {
		t.Fatal(err)
	}
	cut := make(chan bool)
	s.cluster.ControlKey(int16(kmsg.Fetch), func(kmsg.Request) (kmsg.Response, error, bool) {
		close(cut)
		return nil, errors.New("cut"), true
	})
	<-cut
	if _, err := r.Next(t.Context()); !errors.Is(err, ErrUnavailable) || Broken(err) {
		t.Fatal(err)
	}
	s.write(part{events: []written{{topic: "public.orders"}}})
	for got := 0; got < 3; {
		_, err := r.Next(t.Context())
		switch {
		case err == nil:
			got++
		case !errors.Is(err, ErrUnavailable):
			t.Fatal(err)
		}
	}
}

// patiently reads the next n items and passes over outages.
func (s *stream) patiently(r *Reader, n int) (got []string, err error) {
	for len(got) < n {
		more, err := s.read(r, n-len(got))
		got = append(got, more...)
		if err != nil && !errors.Is(err, ErrUnavailable) {
			return got, err
		}
	}
	return got, nil
}

// Leaders move from broker to broker while a reader reads.
func TestReaderFollowsTheLeaders(t *testing.T) {
	t.Parallel()
	const brokers = 3
	s, rng := newStream(t, kfake.NumBrokers(brokers)), newRand(t)
	s.create(3, "public.orders", "public.items")
	r := s.open(FromBeginning())
	for range 10 {
		s.mix(rng, 5, 3, "public.orders", "public.items")
		for p := range int32(3) {
			for _, topic := range []string{"p.public.orders", "p.public.items"} {
				if err := s.cluster.MoveTopicPartition(topic, p, rng.Int32N(brokers)); err != nil {
					t.Fatal(err)
				}
			}
		}
		if err := s.cluster.MoveTopicPartition("p.transaction", 0, rng.Int32N(brokers)); err != nil {
			t.Fatal(err)
		}
	}
	got, err := s.patiently(r, len(s.log))
	if diff := cmp.Diff(s.log, got); diff != "" || err != nil {
		t.Fatalf("%v (-want +got):\n%s", err, diff)
	}
}

// refuse has the brokers refuse the next questions about a topic's partitions, or all of them if n is negative.
func (s *stream) refuse(n int, topic string, code *kerr.Error) {
	s.cluster.ControlKey(int16(kmsg.Metadata), func(r kmsg.Request) (kmsg.Response, error, bool) {
		s.cluster.KeepControl()
		request := r.(*kmsg.MetadataRequest)
		if len(request.Topics) != 1 || request.Topics[0].Topic == nil || *request.Topics[0].Topic != topic || n == 0 {
			return nil, nil, false
		}
		n--
		response := request.ResponseKind().(*kmsg.MetadataResponse)
		refused := kmsg.NewMetadataResponseTopic()
		refused.Topic, refused.ErrorCode = &topic, code.Code
		response.Topics = append(response.Topics, refused)
		for i, address := range s.cluster.ListenAddrs() {
			b := kmsg.NewMetadataResponseBroker()
			host, port, _ := strings.Cut(address, ":")
			b.NodeID, b.Host, b.Port = int32(i), host, int32(number(port))
			response.Brokers = append(response.Brokers, b)
		}
		return response, nil, true
	})
}

// A new topic is not known to all brokers at once, and its leader may be a while in coming.
func TestReaderWaitsForATopicToBeKnown(t *testing.T) {
	t.Parallel()
	for _, code := range []*kerr.Error{kerr.UnknownTopicOrPartition, kerr.LeaderNotAvailable} {
		t.Run(code.Message, func(t *testing.T) {
			t.Parallel()
			s := newStream(t)
			s.create(2, "public.orders")
			s.write(part{events: []written{{topic: "public.orders"}}})
			s.refuse(6, "p.public.orders", code)
			r := s.open(FromBeginning())
			if got, err := s.patiently(r, 3); err != nil || !slices.Equal(got, s.log) {
				t.Fatalf("%q, %v", got, err)
			}
		})
	}
}

func TestReaderNamesAMissingTopic(t *testing.T) {
	t.Parallel()
	s := newStream(t)
	s.create(2, "public.orders")
	s.write(part{events: []written{{topic: "public.orders"}}})
	s.refuse(-1, "p.public.orders", kerr.UnknownTopicOrPartition)
	r := s.open(FromBeginning(), func(c *ReaderConfig) { c.StallTimeout = time.Second })
	_, err := s.read(r, 3)
	if !errors.Is(err, ErrMissing) || !Broken(err) || !strings.HasPrefix(err.Error(), "topic missing in topic p.public.orders") {
		t.Fatal(err)
	}
}

// Retention that overtakes a slow reader is a loss, and not an outage.
func TestReaderNamesRetentionThatOvertakesIt(t *testing.T) {
	t.Parallel()
	s := newStream(t)
	s.create(1, "public.orders")
	value := strings.Repeat("x", 10_000)
	write := func() { s.write(part{events: []written{{topic: "public.orders", value: value}}}) }
	for range 200 {
		write()
	}
	r := s.open(FromBeginning(), func(c *ReaderConfig) { c.QueueBytes = 64 << 10 })
	if _, err := s.read(r, 2); err != nil { // the others wait, and what does not fit is not fetched
		t.Fatal(err)
	}
	s.remove("p.public.orders", -1)
	write()
	got, err := s.read(r, 1000)
	if !errors.Is(err, ErrRetention) || !Broken(err) || !slices.Equal(got, s.log[2:2+len(got)]) {
		t.Fatalf("after %d items: %v", len(got), err)
	}
}
