// Package browsertest gives tests a page in a real browser. The tests of a test binary share one browser, for starting one
// takes longer than most of them.
package browsertest

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"sync"
	"testing"

	"github.com/chromedp/chromedp"
)

var shared struct {
	once    sync.Once
	context context.Context
	stop    func()
	err     error
}

// Stop ends the browser, if one was started. A package that calls NewTab calls it in its TestMain.
func Stop() {
	if shared.stop != nil {
		shared.stop()
	}
}

// NewTab opens an empty page of a size, in a browser context of its own, for chromedp. Without a browser the test is
// skipped; it fails instead in CI, or where LIVEDB_REQUIRE_BROWSER is 1.
func NewTab(t testing.TB, width, height int64) context.Context {
	t.Helper()
	shared.once.Do(start)
	if shared.err != nil {
		if os.Getenv("LIVEDB_REQUIRE_BROWSER") == "1" || os.Getenv("CI") == "true" {
			t.Fatal(shared.err)
		}
		t.Skipf("skipped: %v; install chromium, or set LIVEDB_REQUIRE_BROWSER=1 to make this a failure", shared.err)
	}
	ctx, cancel := chromedp.NewContext(shared.context, chromedp.WithNewBrowserContext())
	t.Cleanup(cancel)
	if err := chromedp.Do(ctx, chromedp.Navigate("about:blank"), chromedp.EmulateViewport(width, height)); err != nil {
		t.Fatalf("open a page: %v", err)
	}
	return ctx
}

func start() {
	path := find()
	if path == "" {
		shared.err = fmt.Errorf("no Chromium or Chrome is on the PATH")
		return
	}
	options := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath(path), chromedp.NoSandbox, chromedp.DisableGPU,
		chromedp.Flag("disable-quic", true), chromedp.Flag("disable-component-update", true), chromedp.WindowSize(1440, 900))
	allocator, stopAllocator := chromedp.NewExecAllocator(context.Background(), options...)
	ctx, cancel := chromedp.NewContext(allocator)
	if err := chromedp.Do(ctx, chromedp.Navigate("about:blank")); err != nil {
		shared.err = fmt.Errorf("start %s: %w", path, err)
	}
	shared.context, shared.stop = ctx, func() { cancel(); stopAllocator() }
}

func find() string {
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome"} {
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	for _, path := range []string{"/Applications/Google Chrome.app/Contents/MacOS/Google Chrome", "/Applications/Chromium.app/Contents/MacOS/Chromium"} {
		if _, err := os.Stat(path); err == nil {
			return path
		}
	}
	return ""
}
