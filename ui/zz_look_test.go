package ui_test

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"
)

// LOOK="dark 1440 900 /?range=60; js ...; shot name; wait 500"
func TestLook(t *testing.T) {
	script := os.Getenv("LOOK")
	if script == "" {
		t.Skip()
	}
	var b *tab
	for _, line := range strings.Split(script, "\n") {
		line = strings.TrimSpace(line)
		cmd, rest, _ := strings.Cut(line, " ")
		switch cmd {
		case "open":
			var theme, path string
			var w, h int64
			fmt.Sscan(rest, &theme, &w, &h, &path)
			b = newTab(t, w, h)
			b.media(&emulation.MediaFeature{Name: "prefers-color-scheme", Value: strings.TrimSuffix(theme, "-motion")}, &emulation.MediaFeature{Name: "prefers-reduced-motion", Value: map[bool]string{true: "no-preference", false: "reduce"}[strings.HasSuffix(theme, "-motion")]})
			b.open("http://127.0.0.1:8080" + path)
		case "js":
			t.Log(eval[any](b, rest))
		case "shot":
			b.shot(rest)
		case "wait":
			d, _ := time.ParseDuration(rest)
			time.Sleep(d)
		case "click":
			b.do(chromedp.Click(chromedp.CSS(rest)))
		case "key":
			b.key(rest)
		}
	}
}
