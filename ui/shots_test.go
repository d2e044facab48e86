package ui_test

import (
	"context"
	"os"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
)

// TestScreenshots takes pictures of the page under load, in both themes and in three sizes:
//
//	LIVEDB_UI_SHOTS=/tmp/shots go test ./ui -run TestScreenshots -v
func TestScreenshots(t *testing.T) {
	if os.Getenv("LIVEDB_UI_SHOTS") == "" {
		t.Skip("set LIVEDB_UI_SHOTS to a folder to take pictures")
	}
	_, brokers := newKafka(t)
	d := startUI(t, brokers, "livedb")
	waiting := newTab(t, 1440, 900)
	waiting.open(d.url)
	time.Sleep(1500 * time.Millisecond)
	waiting.shot("waiting-dark")

	s := newStream(t, brokers, "livedb")
	s.create("public.orders", "public.order_items", "public.customers")
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	go newShop(s, 400).run(ctx)
	time.Sleep(30 * time.Second)

	for _, theme := range []string{"dark", "light"} {
		b := newTab(t, 1440, 900)
		b.media(&emulation.MediaFeature{Name: "prefers-color-scheme", Value: theme})
		b.open(d.url + "?range=60")
		b.until("rows", `document.querySelectorAll('[data-testid=row]').length > 5`)
		time.Sleep(2 * time.Second)
		b.shot("desktop-" + theme)
		b.click("pause")
		time.Sleep(time.Second)
		b.do(clickRow(`u`))
		b.click("node-cdc")
		time.Sleep(700 * time.Millisecond)
		b.shot("desktop-open-" + theme)
		b.key("?")
		b.shot("help-" + theme)

		m := newTab(t, 360, 740)
		m.media(&emulation.MediaFeature{Name: "prefers-color-scheme", Value: theme})
		m.open(d.url + "?range=60")
		m.until("rows", `document.querySelectorAll('[data-testid=row]').length > 5`)
		time.Sleep(1500 * time.Millisecond)
		m.shot("mobile-" + theme)
		eval[bool](m, `document.getElementById('throughput-title').scrollIntoView(), true`)
		time.Sleep(300 * time.Millisecond)
		m.shot("mobile-charts-" + theme)
		eval[bool](m, `document.getElementById('tail').scrollIntoView(), true`)
		time.Sleep(300 * time.Millisecond)
		m.shot("mobile-tail-" + theme)
		w := newTab(t, 1024, 900)
		w.media(&emulation.MediaFeature{Name: "prefers-color-scheme", Value: theme})
		w.open(d.url + "?range=60")
		w.until("rows", `document.querySelectorAll('[data-testid=row]').length > 5`)
		time.Sleep(time.Second)
		w.shot("middle-" + theme)
	}
}
