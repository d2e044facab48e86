package ui_test

import (
	"context"
	"os"
	"strconv"
	"testing"

	"github.com/livedb/livedb/internal/kafka"
	"github.com/livedb/livedb/ui"
)

// TestDemo serves the page on a simulated stream until it is interrupted, for work on the page itself:
//
//	LIVEDB_UI_DEMO=2000 go test ./ui -run TestDemo -timeout 0
//
// The number is the rate in rows a second. The page's files come from static/, so that a reload shows an edit.
func TestDemo(t *testing.T) {
	rate, err := strconv.ParseFloat(os.Getenv("LIVEDB_UI_DEMO"), 64)
	if err != nil {
		t.Skip("set LIVEDB_UI_DEMO to a rate to serve the page on a simulated stream")
	}
	_, brokers := newKafka(t)
	s := newStream(t, brokers, "livedb")
	s.create("public.orders", "public.order_items", "public.customers")
	go newShop(s, rate).run(context.Background())
	if err := ui.Run(context.Background(), ui.Config{Kafka: kafka.Config{Brokers: brokers}, Prefix: "livedb", Dir: "static"}); err != nil {
		t.Fatal(err)
	}
}
