package ui_test

import (
	"context"
	"fmt"
	"os"
	"sync/atomic"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"

	"github.com/livedb/livedb/internal/browsertest"
)

func TestMain(m *testing.M) {
	code := m.Run()
	browsertest.Stop()
	os.Exit(code)
}

// tab is one page in the browser. Every step has a deadline, and a failure ends the test with a picture if asked for.
type tab struct {
	t      *testing.T
	ctx    context.Context
	forget atomic.Bool // what the browser complains of is expected
}

// patience is how long a tab waits for anything.
const patience = 30 * time.Second

// newTab opens a page of a size.
func newTab(t *testing.T, width, height int64) *tab {
	t.Helper()
	b := &tab{t: t, ctx: browsertest.NewTab(t, width, height)}
	b.media()
	b.listen()
	return b
}

// listen fails the test for whatever the browser complains of: an exception, a breach of the policy, a missing file.
func (b *tab) listen() {
	ctx, cancel := context.WithCancel(b.ctx)
	messages := chromedp.Console(ctx)
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
	b.t.Cleanup(func() {
		cancel()
		<-ended
	})
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

// click clicks the element with the test id, once it is there and does not move.
func (b *tab) click(name string) {
	b.t.Helper()
	eval[bool](b, fmt.Sprintf(`new Promise(resolve => {
		let last;
		const look = () => {
			const place = document.querySelector('[data-testid=%s]')?.getBoundingClientRect();
			const at = place && JSON.stringify(place);
			if (at && at === last) return resolve(true);
			last = at;
			requestAnimationFrame(look);
		};
		look();
	})`, name))
	b.do(chromedp.Click(id(name)))
}

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
