package kafka

import (
	"context"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/IBM/sarama"

	"github.com/livedb/livedb/internal/devstack"
	"github.com/livedb/livedb/internal/dial"
)

// closing connects to a Kafka and returns what closes every connection that was made, as the brokers do with idle ones.
func closing(t *testing.T) (sarama.Client, Config, func()) {
	t.Helper()
	var mu sync.Mutex
	var made []net.Conn
	c := Config{Brokers: devstack.TestKafka(t), Dial: func(ctx context.Context, network, address string) (net.Conn, error) {
		conn, err := dial.Context(ctx, network, address)
		mu.Lock()
		defer mu.Unlock()
		made = append(made, conn)
		return conn, err
	}}
	client, err := Connect(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { client.Close() })
	return client, c, func() {
		mu.Lock()
		defer mu.Unlock()
		for _, conn := range made {
			conn.Close()
		}
	}
}

// A night without a change: the brokers have closed our connections meanwhile. The next transaction notices nothing.
func TestAProducerOutlivesIdleConnections(t *testing.T) {
	client, c, closeAll := closing(t)
	topic := "idle" + time.Now().Format("-150405.000000")
	if err := EnsureTopics(t.Context(), client, Topic{Name: topic, Partitions: 1}); err != nil {
		t.Fatal(err)
	}
	p, err := OpenProducer(t.Context(), c, topic)
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	for range 2 {
		if err := p.Begin(); err != nil {
			t.Fatal(err)
		}
		p.To(topic, 0).Add(nil, []byte("v"))
		if err := p.Commit(); err != nil {
			t.Fatal(err)
		}
		closeAll()
		p.last = time.Now().Add(-idleLimit - time.Second)
	}
}

// Nor does a look, at the first event of a table after such a night.
func TestALookOutlivesIdleConnections(t *testing.T) {
	client, _, closeAll := closing(t)
	topic := "looked" + time.Now().Format("-150405.000000")
	if err := EnsureTopics(t.Context(), client, Topic{Name: topic, Partitions: 1}); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		found, err := Look(t.Context(), client, topic)
		if err != nil || found[topic].Partitions != 1 {
			t.Fatalf("found %v, %v", found, err)
		}
		closeAll()
	}
}
