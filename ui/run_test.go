package ui_test

import (
	"context"
	"net"
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

// clickRow clicks the first row with an operation.
func clickRow(op string) chromedp.Action[chromedp.Void] {
	return chromedp.Click(chromedp.CSS(`[data-testid="row"][data-op="` + op + `"]`))
}
