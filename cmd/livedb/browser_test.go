package main

import (
	"context"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"github.com/livedb/livedb/internal/browsertest"
)

// A person who starts the demo sees the first event in the browser within seconds, and numbers that move under load.
func TestDemoInABrowser(t *testing.T) {
	tab := browsertest.NewTab(t, 1440, 1800)
	began := time.Now()
	p := start(t, "demo", "--rate", "2000", "--listen", "127.0.0.1:0")
	_, address, _ := strings.Cut(p.await("dashboard  http://"), "dashboard  ")

	// The demo's own promise, 15 s, is for a machine that has nothing else to do; what it took is logged.
	ctx, cancel := context.WithDeadline(tab, began.Add(time.Minute))
	defer cancel()
	if err := chromedp.Do(ctx, chromedp.Navigate(address)); err != nil {
		t.Fatal(err)
	}
	if _, err := chromedp.Run(ctx, chromedp.Poll[bool](`document.querySelectorAll('[data-testid="row"]').length > 0`,
		chromedp.WithPollingTimeout(time.Minute))); err != nil {
		t.Fatalf("no event on the page a minute after the start: %v", err)
	}
	t.Logf("the first event is on the page after %s", time.Since(began).Round(10*time.Millisecond))

	moves(t, tab, "the tail", `document.querySelector('[data-testid="row"]')?.textContent`)
	moves(t, tab, "the rates", `document.querySelector('[data-testid="topology"]')?.textContent`)
	moves(t, tab, "the view", `document.querySelector('[data-testid="view"]')?.textContent`)
	if file := os.Getenv("LIVEDB_SCREENSHOT"); file != "" {
		picture, err := chromedp.Run(tab, chromedp.FullScreenshot(100))
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, picture, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := p.stop(syscall.SIGINT, 5*time.Second); err != nil {
		t.Errorf("the demo ended with %v", err)
	}
}

// moves holds that what an expression shows changes.
func moves(t *testing.T, tab context.Context, what, expression string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(tab, 40*time.Second)
	defer cancel()
	was := `window.was = window.was ?? {}; window.was[` + "`" + what + "`" + `] ??= ` + expression + `;`
	changed := `(() => { ` + was + ` const now = ` + expression + `; return now !== undefined && now !== window.was[` + "`" + what + "`" + `]; })()`
	if _, err := chromedp.Run(ctx, chromedp.Poll[bool](changed, chromedp.WithPollingTimeout(30*time.Second))); err != nil {
		t.Errorf("%s does not move: %v", what, err)
	}
}
