package status

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"testing"

	"github.com/IBM/sarama"

	"github.com/livedb/livedb/internal/devstack"
	"github.com/livedb/livedb/internal/kafka"
)

func TestABoardIsReadyWhenAllRolesAreHealthy(t *testing.T) {
	b := NewBoard("v1")
	if b.Ready() {
		t.Error("a board without roles is ready")
	}
	one, other := b.Role("cdc"), b.Role("ui")
	one.Set(Healthy, "")
	if b.Ready() {
		t.Error("ready while ui initializes")
	}
	other.Set(Healthy, "")
	if !b.Ready() {
		t.Error("not ready though all roles are healthy")
	}
	<-other.Healthy()
	one.Set(Warning, "kafka does not answer")
	if b.Ready() {
		t.Error("ready while cdc warns")
	}
}

func TestPublishWritesEveryRolesReport(t *testing.T) {
	c := kafka.Config{Brokers: devstack.TestKafka(t), ClientID: "livedb/test"}
	b := NewBoard("v1")
	b.Role("cdc").Number(Seq, func() float64 { return 7 })
	b.Role("ui").Text("address", "here")
	published := make(chan struct{})
	t.Cleanup(func() { <-published }) // the test's context has ended by then
	ctx := t.Context()
	go func() {
		Publish(ctx, c, "s.status", b, slog.New(slog.DiscardHandler))
		close(published)
	}()

	client, err := kafka.Connect(ctx, c)
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	if err := kafka.EnsureTopics(ctx, client, kafka.Topic{Name: "s.status", Partitions: 1, Compacted: true}); err != nil {
		t.Fatal(err)
	}
	consumer, err := sarama.NewConsumerFromClient(client)
	if err != nil {
		t.Fatal(err)
	}
	reports, err := consumer.ConsumePartition("s.status", 0, sarama.OffsetOldest)
	if err != nil {
		t.Fatal(err)
	}
	defer reports.AsyncClose()
	seen := map[string]Status{}
	for len(seen) < 2 {
		m := <-reports.Messages()
		var s Status
		if err := json.Unmarshal(m.Value, &s); err != nil {
			t.Fatal(err)
		}
		if string(m.Key) != s.Key() {
			t.Errorf("the report of %s has the key %s", s.Key(), m.Key)
		}
		seen[s.Role] = s
	}
	if seen["cdc"].Numbers[Seq] != 7 || seen["ui"].Texts["address"] != "here" {
		t.Errorf("reports %+v", seen)
	}
}

// sarama panics, on a goroutine of its own, if a producer is closed while somebody writes to it.
func TestTheEndOfPublishingWaitsForWhatIsBeingSent(t *testing.T) {
	c := kafka.Config{Brokers: devstack.TestKafka(t), ClientID: "livedb/test"}
	b := NewBoard("v1")
	for i := range 500 {
		b.Role(fmt.Sprint("role-", i))
	}
	for range 20 {
		ctx, cancel := context.WithCancel(t.Context())
		b.Role("cdc").Number(Seq, func() float64 { cancel(); return 0 }) // it ends as its reports are gathered
		if err := publish(ctx, c, "ended.status", b); err != nil {
			t.Fatal(err)
		}
	}
}
