package ui_test

import (
	"net"
	"strconv"
	"testing"

	"github.com/twmb/franz-go/pkg/kfake"
)

func TestReconnectAfterTheServerRestarts(t *testing.T) {
	s := newScene(t)
	b := newTab(t, 1280, 900)
	b.open(s.url)
	s.insert(1, 5)
	b.until("rows", rowsInSight+` === 5`)

	b.forget.Store(true) // the browser reports each refused connection
	s.stop()
	b.until("the loss", `document.querySelector('[data-testid=connection]').dataset.phase === 'lost' && document.querySelector('[data-testid=banner]')`)
	b.until("the verdict", `document.querySelector('[data-testid=verdict]').dataset.state === 'stale'`)
	if n := eval[int](b, rowsInSight); n != 5 {
		t.Errorf("%d rows are left of what was seen", n)
	}
	b.shot("lost")
	s.insert(6, 7) // nobody reads them

	again := startUI(t, s.brokers, "livedb", s.address)
	again.reading(t)
	b.until("the connection", `document.querySelector('[data-testid=connection]').dataset.phase === 'live'`)
	s.insert(13, 3)
	b.until("new rows", `document.querySelector('[data-testid=row]').dataset.seq === '15'`)
	if got, want := eval[string](b, held), numbers(1, 5)+" reconnect 7 "+numbers(13, 15); got != want {
		t.Errorf("the list is %q, want %q", got, want)
	}
	b.until("the gap in words", `document.querySelector('[data-testid=gap]').textContent.startsWith('7 events not shown')`)
	b.shot("gap")
}

func TestAShortBreakIsFilledFromTheRing(t *testing.T) {
	s := newScene(t)
	b := newTab(t, 1280, 900)
	b.open(s.url)
	s.insert(1, 5)
	b.until("rows", rowsInSight+` === 5`)
	s.insert(6, 300)
	eval[bool](b, `import('/app/feed.js').then(f => (f.connect(), true))`)
	b.until("all rows", `document.querySelector('[data-testid=row]').dataset.seq === '305'`)
	if got, want := eval[string](b, held), numbers(1, 305); got != want {
		t.Errorf("the list is %q", got)
	}
}

func TestKafkaGoesAndComesBack(t *testing.T) {
	cluster, brokers := newKafka(t)
	s := &scene{stream: newStream(t, brokers, "livedb")}
	s.create("public.orders")
	s.dashboard = startUI(t, brokers, "livedb")
	s.reading(t)
	b := newTab(t, 1280, 900)
	b.open(s.url)
	s.insert(1, 5)
	b.until("rows", rowsInSight+` === 5`)

	cluster.Close()
	b.until("the verdict", `document.querySelector('[data-testid=verdict]').dataset.state === 'error' && document.querySelector('[data-testid=banner]').textContent.includes('Kafka')`)
	b.until("the node", `document.querySelector('[data-testid=node-kafka]').dataset.state === 'error'`)
	b.shot("kafka-away")

	_, port, _ := net.SplitHostPort(brokers[0])
	number, err := strconv.Atoi(port)
	if err != nil {
		t.Fatal(err)
	}
	fresh, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.Ports(number))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(fresh.Close)
	n := &scene{stream: newStream(t, brokers, "livedb"), dashboard: s.dashboard}
	n.create("public.orders")
	n.reading(t)
	n.insert(1, 3) // a Kafka without memory: the stream begins again
	b.until("new rows", `document.querySelector('[data-testid=row]')?.dataset.seq === '3'`)
	if got, want := eval[string](b, held), numbers(1, 5)+" restart 0 "+numbers(1, 3); got != want {
		t.Errorf("the list is %q, want %q", got, want)
	}
}
