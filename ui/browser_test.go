package ui_test

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"
)

// The browser of all tests of the package: starting one takes longer than most of them.
var browser struct {
	once    sync.Once
	context context.Context
	stop    func()
	err     error
}

func TestMain(m *testing.M) {
	code := m.Run()
	if browser.stop != nil {
		browser.stop()
	}
	os.Exit(code)
}

// browserRequired says that a missing browser fails the tests instead of skipping them.
func browserRequired() bool {
	return os.Getenv("LIVEDB_REQUIRE_BROWSER") == "1" || os.Getenv("CI") == "true"
}

func chromium() string {
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

func startBrowser() {
	path := chromium()
	if path == "" {
		browser.err = fmt.Errorf("no Chromium or Chrome is on the PATH")
		return
	}
	options := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath(path), chromedp.NoSandbox, chromedp.DisableGPU,
		chromedp.Flag("disable-quic", true), chromedp.Flag("disable-component-update", true), chromedp.WindowSize(1440, 900))
	allocator, stopAllocator := chromedp.NewExecAllocator(context.Background(), options...)
	ctx, cancel := chromedp.NewContext(allocator)
	if err := chromedp.Do(ctx, chromedp.Navigate("about:blank")); err != nil {
		browser.err = fmt.Errorf("start %s: %w", path, err)
	}
	browser.context, browser.stop = ctx, func() { cancel(); stopAllocator() }
}

// tab is one page in the browser. Every step has a deadline, and a failure ends the test with a picture if asked for.
type tab struct {
	t      *testing.T
	ctx    context.Context
	forget atomic.Bool // what the browser complains of is expected
}

// patience is how long a tab waits for anything.
const patience = 20 * time.Second

// newTab opens a page of a size.
func newTab(t *testing.T, width, height int64) *tab {
	t.Helper()
	needBrowser(t)
	ctx, cancel := chromedp.NewContext(browser.context, chromedp.WithNewBrowserContext())
	b := &tab{t: t, ctx: ctx}
	// A tab lives as long as the context of its first step, so that one has no deadline of its own.
	if err := chromedp.Do(ctx, chromedp.EmulateViewport(width, height)); err != nil {
		t.Fatalf("open a tab: %v", err)
	}
	b.media()
	b.listen()
	t.Cleanup(cancel)
	return b
}

// needBrowser skips the test without a browser, or fails it where one is required.
func needBrowser(t *testing.T) {
	t.Helper()
	browser.once.Do(startBrowser)
	if browser.err == nil {
		return
	}
	if browserRequired() {
		t.Fatal(browser.err)
	}
	t.Skipf("skipped: %v; install chromium, or set LIVEDB_REQUIRE_BROWSER=1 to make this a failure", browser.err)
}

// listen fails the test for whatever the browser complains of: an exception, a breach of the policy, a missing file.
func (b *tab) listen() {
	messages := chromedp.Console(b.ctx)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for m, err := range messages {
			if err != nil {
				return
			}
			if !b.forget.Load() && (m.Type == chromedp.ConsoleError || m.Type == chromedp.ConsoleWarning || m.Type == chromedp.ConsoleException) {
				b.t.Errorf("the browser says: %s (%s)", m.Text, m.URL)
			}
		}
	}()
	b.t.Cleanup(func() { <-ended }) // before it, cancel ends the tab: cleanups run last to first
}

func (b *tab) do(steps ...chromedp.Action[chromedp.Void]) {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, 2*patience)
	defer cancel()
	if err := chromedp.Do(ctx, steps...); err != nil {
		b.shot("failed")
		b.t.Fatalf("browser: %v", err)
	}
}

// open goes to an address.
func (b *tab) open(url string) { b.t.Helper(); b.do(chromedp.Navigate(url)) }

// id selects by data-testid.
func id(name string) chromedp.CSS { return chromedp.CSS(`[data-testid="` + name + `"]`) }

// click clicks the element with the test id.
func (b *tab) click(name string) { b.t.Helper(); b.do(chromedp.Click(id(name))) }

// key presses keys where the focus is.
func (b *tab) key(keys string) { b.t.Helper(); b.do(chromedp.KeyEvent(keys)) }

// fill sets a field's value as typing would.
func (b *tab) fill(name, value string) {
	b.t.Helper()
	eval[bool](b, fmt.Sprintf(`(e => (e.value = %q, e.dispatchEvent(new Event('input', {bubbles: true})), e.dispatchEvent(new Event('change', {bubbles: true}))))(document.querySelector('[data-testid=%s]'))`, value, name))
}

// until waits until an expression is true.
func (b *tab) until(what, expression string) {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, 2*patience)
	defer cancel()
	if _, err := chromedp.Run(ctx, chromedp.Poll[bool](`Promise.resolve(`+expression+`).then(Boolean)`, chromedp.WithPollingTimeout(patience), chromedp.WithPollingInterval(20*time.Millisecond))); err != nil {
		b.shot("failed")
		b.t.Fatalf("waiting for %s: %v\n%s", what, err, expression)
	}
}

// eval evaluates an expression, awaiting a promise.
func eval[T any](b *tab, expression string) T {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, 2*patience)
	defer cancel()
	v, err := chromedp.Run(ctx, chromedp.Evaluate[T](expression, chromedp.EvalAwaitPromise))
	if err != nil {
		b.t.Fatalf("evaluate %s: %v", expression, err)
	}
	return v
}

// media sets media features, such as prefers-color-scheme. Motion is reduced unless they say otherwise: what moves for
// the eye costs a browser without a graphics card a core.
func (b *tab) media(features ...*emulation.MediaFeature) {
	b.t.Helper()
	features = append([]*emulation.MediaFeature{{Name: "prefers-reduced-motion", Value: "reduce"}}, features...)
	b.do(chromedp.Func(func(ctx context.Context, t *chromedp.Target) error {
		_, err := cdp.Call(ctx, t, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Features: features})
		return err
	}))
}

// shot saves a picture in the folder LIVEDB_UI_SHOTS, if it is set.
func (b *tab) shot(name string) {
	b.t.Helper()
	dir := os.Getenv("LIVEDB_UI_SHOTS")
	if dir == "" {
		return
	}
	ctx, cancel := context.WithTimeout(b.ctx, 2*patience)
	defer cancel()
	picture, err := chromedp.Run(ctx, chromedp.CaptureScreenshot())
	if err != nil {
		b.t.Logf("no picture of %s: %v", name, err)
		return
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		b.t.Fatal(err)
	}
	if err := os.WriteFile(fmt.Sprintf("%s/%s.png", dir, name), picture, 0o644); err != nil {
		b.t.Fatal(err)
	}
}
