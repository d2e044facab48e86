package ui_test

import (
	"context"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/chromedp/cdproto/emulation"
)

func scheme(theme string) *emulation.MediaFeature {
	return &emulation.MediaFeature{Name: "prefers-color-scheme", Value: theme}
}

// busy returns a scene in which every panel has something to show.
func busy(t *testing.T) *scene {
	t.Helper()
	s := newScene(t)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		newShop(s.stream, 100).run(ctx)
	}()
	t.Cleanup(func() { cancel(); <-ended })
	return s
}

const everything = rowsInSight + ` > 3 && document.querySelector('[data-testid=view-chart] canvas') && Number(document.querySelector('[data-testid=edge-produce]').dataset.rate) > 0`

// pauseOn pauses while an event with the operation is in sight.
func (b *tab) pauseOn(op string) {
	b.t.Helper()
	b.until("a row to pause on", fmt.Sprintf(`document.querySelector('[data-testid=row][data-op=%s]') && (document.querySelector('[data-testid=pause]').click(), true)`, op))
	b.until("the pause", `document.querySelector('[data-testid=tail-state]').textContent === 'paused'`)
}

func TestNarrow(t *testing.T) {
	s := busy(t)
	b := newTab(t, 360, 740)
	b.open(s.url)
	b.until("everything", everything)
	check := func(what string) {
		t.Helper()
		if width := eval[int](b, `document.documentElement.scrollWidth`); width > 360 {
			t.Errorf("%s: the page is %d pixels wide: %s", what, width, eval[string](b,
				`[...document.querySelectorAll('body *')].filter(e => e.getBoundingClientRect().right > 361).slice(0, 5).map(e => e.className || e.tagName).join(', ')`))
		}
	}
	check("live")
	b.pauseOn("c")
	b.do(clickRow("c"))
	check("an event is open")
	b.click("node-cdc")
	check("a stage is open")
	b.click("form-table")
	b.click("latency-table-toggle")
	check("tables are shown")
	b.click("help-open")
	b.until("the help", `document.querySelector('[data-testid=help]').open`)
	check("the help is open")
}

func TestThemes(t *testing.T) {
	s := newScene(t)
	b := newTab(t, 1280, 900)
	ground := func(theme string) string {
		return fmt.Sprintf(`document.documentElement.dataset.theme === %q && (c => c.reduce((a, v) => a + v) %s 384)(getComputedStyle(document.body).backgroundColor.match(/\d+/g).map(Number))`,
			theme, map[string]string{"dark": "<", "light": ">"}[theme])
	}
	for _, theme := range []string{"dark", "light"} {
		b.media(scheme(theme))
		b.open(s.url)
		b.until("the system's theme", ground(theme))
	}
	b.media(scheme("dark"))
	b.until("to follow the system", ground("dark"))
	b.click("theme")
	b.until("the chosen theme", ground("light"))
	b.open(s.url)
	b.until("the chosen theme after a reload", ground("light"))
	b.click("theme")
	b.until("dark", ground("dark"))
	b.click("theme")
	b.until("auto again", `document.querySelector('[data-testid=theme]').dataset.theme === 'auto'`)
}

// TestAxe holds the page to axe-core's rules, in both themes and in every state. axe is not part of the repository:
//
//	cd /tmp && npm pack axe-core@4.14.1 && tar xzf axe-core-4.14.1.tgz
//	LIVEDB_AXE=/tmp/package/axe.min.js go test ./ui -run TestAxe
func TestAxe(t *testing.T) {
	path := os.Getenv("LIVEDB_AXE")
	if path == "" {
		t.Skip("skipped: set LIVEDB_AXE to axe.min.js of axe-core 4.14.1")
	}
	axe, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	s := busy(t)
	for _, theme := range []string{"dark", "light"} {
		for _, width := range []int64{1280, 360} {
			b := newTab(t, width, 900)
			b.media(scheme(theme))
			b.open(s.url)
			b.until("everything", everything)
			eval[bool](b, string(axe)+"\ntrue")
			check := func(state string) {
				t.Helper()
				found := eval[string](b, `axe.run(document, {resultTypes: ['violations']}).then(r => r.violations.map(v => v.id + ': ' + v.help + ' in ' + v.nodes.slice(0, 3).map(n => n.target.join(' ') + ' ' + n.any.map(a => a.message).join('; ')).join(' | ')).join('\n'))`)
				if found != "" {
					t.Errorf("%s, %d pixels, %s:\n%s", theme, width, state, strings.TrimSpace(found))
				}
			}
			b.pauseOn("u")
			check("paused")
			b.do(clickRow("u"))
			b.click("node-cdc")
			b.click("filter-op-c")
			b.click("filter-op-u")
			check("event and stage open")
			b.click("detail-form-raw")
			b.click("node-kafka")
			b.click("form-table")
			b.click("throughput-table-toggle")
			b.click("latency-table-toggle")
			check("tables")
			b.click("help-open")
			b.until("the help", `document.querySelector('[data-testid=help]').open`)
			check("help")
		}
	}

	empty := startUI(t, s.brokers, "other")
	b := newTab(t, 1280, 900)
	b.open(empty.url)
	b.until("the empty page", `document.querySelector('[data-testid=tail-empty]')`)
	eval[bool](b, string(axe)+"\ntrue")
	if found := eval[string](b, `axe.run(document).then(r => r.violations.map(v => v.id + ': ' + v.nodes.map(n => n.html).join(' | ')).join('\n'))`); found != "" {
		t.Errorf("the empty page:\n%s", found)
	}
}

// TestPureModules runs the page's pure parts in the browser.
func TestPureModules(t *testing.T) {
	s := newScene(t)
	b := newTab(t, 1280, 900)
	b.open(s.url)
	check := func(what, expression, want string) {
		t.Helper()
		if got := eval[string](b, expression); got != want {
			t.Errorf("%s: got %s, want %s", what, got, want)
		}
	}
	check("formats", `import('/app/format.js').then(f => [f.count(12345), f.rate(.42), f.rate(0), f.rate(4987.3), f.short(12345), f.short(4.1e6), f.bytes(820), f.bytes(1.64e6), f.ms(.8), f.ms(42.4), f.ms(1234), f.ms(200000), f.age(7400), f.rate(null), f.plural(1, 'row'), f.instant(1795348800000123, true), f.clock(1795348800007, true), String(f.lsn('16/B374D848'))].join(', '))`,
		"12,345, 0.4, 0, 4,987, 12.3k, 4.1M, 820 B, 1.6 MB, 0.80 ms, 42 ms, 1.2 s, 3 min, 7 s, –, 1 row, 2026-11-22 12:00:00.000123Z, 12:00:00.007, 97500059720")
	check("placeholders", `import('/app/row.js').then(r => [r.isUnchanged('__debezium_unavailable_value'), r.isUnchanged('X19kZWJleml1bV91bmF2YWlsYWJsZV92YWx1ZQ=='), r.isUnchanged(['__debezium_unavailable_value']), r.isUnchanged([..."__debezium_unavailable_value"].map(c => c.charCodeAt(0))), r.isUnchanged('{"__debezium_unavailable_value":"__debezium_unavailable_value"}'), r.isUnchanged('x'), r.isUnchanged([1]), r.isUnchanged(null)].join(' '))`,
		"true true true true true false false false")
	check("the difference within a text", `import('/app/row.js').then(r => JSON.stringify([r.middle('abcXdef', 'abcYYdef'), r.middle('aaa', 'aa'), r.middle('', 'x')]))`,
		`[["abc","X","YY","def"],["aa","a","",""],["","","x",""]]`)
	check("a copied event", `import('/app/row.js').then(r => JSON.stringify(JSON.parse(r.toJSON({op: 'c', seq: 1, key: '{"id":1}', before: null, after: '{"id":1,"n":9007199254740993}'}))))`,
		`{"op":"c","seq":1,"key":{"id":1},"before":null,"after":{"id":1,"n":9007199254740992}}`)
	check("the buffer while held", `import('/app/tailbuffer.js').then(({TailBuffer, CAPACITY}) => {
		const t = new TailBuffer(), rows = (from, n) => Array.from({length: n}, (_, i) => ({seq: from + i, op: i % 2 ? 'u' : 'c'}));
		t.push({rows: rows(1, 10)});
		t.hold();
		for (let i = 0; i < 30; i++) t.push({rows: rows(11 + i * 100, 100), skipped: i === 0 ? 5 : 0});
		const fresh = t.fresh, shown = t.shown.length;
		t.filter(r => r.op === 'u');
		const half = t.shown.length;
		t.filter(null);
		t.release();
		const seqs = t.items.filter(i => i.seq), gaps = t.items.filter(i => i.gap);
		const dense = seqs.every((r, i) => i === 0 || r.seq === seqs[i - 1].seq + 1);
		return [fresh, shown, half, t.items.length, seqs[seqs.length - 1].seq, dense, gaps.length].join(' ');
	})`, "3005 10 5 2000 3010 true 0")
	check("gaps that meet become one", `import('/app/tailbuffer.js').then(({TailBuffer}) => {
		const t = new TailBuffer();
		t.push({rows: [{seq: 1}]});
		t.push({rows: [], skipped: 3});
		t.push({rows: [{gap: {missed: 4, why: 'rate'}}, {seq: 9}]});
		t.push({rows: [{seq: 10, x: 1}, {gap: {missed: 2, why: 'reader'}}]});
		return t.items.map(i => i.gap ? i.gap.why + i.gap.missed : i.seq).join(' ');
	})`, "1 rate7 9 10 reader2")
	check("the filter's words", `import('/app/filter.js').then(f => {
		const row = {table: 'public.orders', op: 'u', key: '{"id":7}', before: null, after: '{"name":"Ada"}', pos: '0/1007:1', xid: 107};
		const yes = (table, op, q) => { const p = f.predicate({table, op, q}); return p ? p(row) : 'all'; };
		return [yes('', '', ''), yes('public.orders', '', ''), yes('', 'cd', ''), yes('', '', 'ADA'), yes('', '', 'xid:107'), yes('', '', 'xid:7'), yes('', '', '0/1007'), yes('', '', 'xid:x')].join(' ');
	})`, "all true false true true false true all")
}
