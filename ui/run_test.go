package ui_test

import (
	"context"
	"encoding/json"
	"net"
	"net/http"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"github.com/livedb/livedb/internal/kafka"
	"github.com/livedb/livedb/ui"
)

// dashboard is a running role.
type dashboard struct {
	url     string
	address string
	stop    func() // ends it and waits
}

// startUI runs the role against brokers, on a port of its own or on a given address.
func startUI(t testing.TB, brokers []string, prefix string, address ...string) *dashboard {
	t.Helper()
	listen := "127.0.0.1:0"
	if len(address) > 0 {
		listen = address[0]
	}
	var l net.Listener
	var err error
	for range 50 { // the port of a server that has just stopped
		if l, err = ui.Listen(listen); err == nil {
			break
		}
		time.Sleep(20 * time.Millisecond)
	}
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() {
		ended <- ui.Run(ctx, ui.Config{Kafka: kafka.Config{Brokers: brokers}, Prefix: prefix, Listener: l})
	}()
	stopped := false
	stop := func() {
		if stopped {
			return
		}
		stopped = true
		cancel()
		select {
		case err := <-ended:
			if err != nil {
				t.Errorf("the dashboard ended with %v", err)
			}
		case <-time.After(15 * time.Second):
			t.Error("the dashboard did not end within 15 s")
		}
	}
	t.Cleanup(stop)
	return &dashboard{"http://" + l.Addr().String() + "/", l.Addr().String(), stop}
}

// reading waits until the dashboard reads events: what is committed after that it shows.
func (d *dashboard) reading(t testing.TB) {
	t.Helper()
	for deadline := time.Now().Add(patience); ; time.Sleep(10 * time.Millisecond) {
		var s struct {
			Flow struct {
				Events struct{ State, Detail string }
			}
		}
		answer, err := http.Get(d.url + "api/v1/status")
		if err == nil {
			err = json.NewDecoder(answer.Body).Decode(&s)
			answer.Body.Close()
		}
		if err == nil && s.Flow.Events.State == "reading" {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("the dashboard does not read events: %+v, %v", s.Flow.Events, err)
		}
	}
}

// clickRow clicks the first row with an operation.
func clickRow(op string) chromedp.Action[chromedp.Void] {
	return chromedp.Click(chromedp.CSS(`[data-testid="row"][data-op="` + op + `"]`))
}
