package kafka

import (
	"context"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/livedb/livedb/internal/devstack"
	"github.com/livedb/livedb/internal/dial"
)

// A night without a change: the brokers have closed our connections meanwhile. The next transaction notices nothing.
func TestAProducerOutlivesIdleConnections(t *testing.T) {
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
	defer client.Close()
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
		mu.Lock()
		for _, conn := range made {
			conn.Close()
		}
		mu.Unlock()
		p.last = time.Now().Add(-idleLimit - time.Second)
	}
}
