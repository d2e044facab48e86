package ui_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"

	"github.com/livedb/livedb/internal/status"
)

// scene is a dashboard on a stream of its own.
type scene struct {
	*stream
	*dashboard
}

func newScene(t *testing.T) *scene {
	t.Helper()
	_, brokers := newKafka(t)
	s := newStream(t, brokers, "livedb")
	s.create("public.orders", "public.customers")
	d := startUI(t, brokers, "livedb")
	d.reading(t)
	return &scene{s, d}
}

// insert commits n orders, each in a transaction of its own, from an id on.
func (s *scene) insert(first, n int) {
	transactions := make([][]change, n)
	for i := range transactions {
		transactions[i] = []change{{table: "public.orders", op: "c", key: fmt.Sprintf(`{"id":%d}`, first+i), after: fmt.Sprintf(`{"id":%d,"status":"new","total":"%d.50"}`, first+i, i)}}
	}
	s.commit(transactions...)
}

func role(name string, events float64) status.Status {
	return status.Status{Role: name, Instance: "host:1", Version: "v0", State: status.Healthy, Since: time.Now(),
		Numbers: map[string]float64{status.EventsTotal: events, status.RowsTotal: events, status.BytesTotal: events * 800, status.TransactionsTotal: events, status.Seq: events},
		Texts:   map[string]string{"slot": "livedb", "position": "16/B374D848:7"}}
}

const rowsInSight = `document.querySelectorAll('[data-testid=row]').length`

// held is an expression for the seqs that the page holds in its list, oldest first, with gaps as their reason.
const held = `import('/app/store.js').then(s => s.buffer.shown.map(i => i.gap ? i.gap.why + ' ' + i.gap.missed : String(i.seq)).join(' '))`

func numbers(first, last int) string {
	var words []string
	for i := first; i <= last; i++ {
		words = append(words, fmt.Sprint(i))
	}
	return strings.Join(words, " ")
}

func TestFirstEvent(t *testing.T) {
	_, brokers := newKafka(t)
	d := startUI(t, brokers, "shop")
	b := newTab(t, 1280, 900)
	b.open(d.url)

	// Before there is a stream, the page says what it waits for and the next step.
	b.until("the next step", `document.querySelector('[data-testid=banner]')?.textContent.includes('livedb cdc --prefix shop')`)
	b.until("the empty tail", `document.querySelector('[data-testid=tail-empty]')?.textContent.includes('shop.transaction')`)

	s := newStream(t, brokers, "shop")
	s.create("public.orders")
	d.reading(t)
	s.report(role("cdc", 0))
	s.report(role("process", 0))
	s.report(role("burst", 0))
	b.until("readiness", `document.querySelector('[data-testid=verdict]').dataset.state === 'idle'`)

	at := s.commit([]change{{table: "public.orders", op: "c", key: `{"id":4711}`, after: `{"id":4711,"status":"new"}`}})
	b.until("the first row", `document.querySelector('[data-testid=row]')?.textContent.includes('4711')`)
	b.until("the rate", `Number(document.querySelector('[data-testid=edge-tail]').dataset.rate) > 0`)
	s.group("new", time.Now().Add(-2*time.Second), 3, "12.50", at[0])
	b.until("the view's chart", `document.querySelector('[data-testid=view-chart] canvas')`)

	time.Sleep(1100 * time.Millisecond) // roles report once a second
	for _, name := range []string{"cdc", "process", "burst"} {
		s.report(role(name, 500))
	}
	b.until("a rate from the totals", `Number(document.querySelector('[data-testid=edge-produce]').dataset.rate) > 100`)
	points := eval[int](b, `Number(document.querySelector('[data-testid=throughput-chart]').dataset.points)`)
	b.until("the chart to move", fmt.Sprintf(`Number(document.querySelector('[data-testid=throughput-chart]').dataset.points) > %d`, points))
	b.until("the latency", `document.querySelector('[data-testid=latency-p50]').textContent.includes('ms')`)

	b.click("node-cdc")
	b.until("the stage's numbers", `document.querySelector('[data-testid=inspector]').textContent.includes('16/B374D848:7')`)
	broken := role("cdc", 500)
	broken.State, broken.Detail = status.Error, "the slot livedb was dropped"
	s.report(broken)
	b.until("the error", `document.querySelector('[data-testid=verdict]').dataset.state === 'error' && document.querySelector('[data-testid=banner]').textContent.includes('was dropped')`)
	b.until("the error at its node", `document.querySelector('[data-testid=node-cdc]').dataset.state === 'error' && document.querySelector('[data-testid=inspector-detail]').textContent.includes('was dropped')`)
	b.shot("stopped")
}

func TestPauseInABurstLosesNothing(t *testing.T) {
	s := newScene(t)
	b := newTab(t, 1280, 900)
	b.open(s.url)
	s.insert(1, 50)
	b.until("rows", rowsInSight+` > 5`)
	b.until("all of them", `import('/app/store.js').then(s => s.buffer.items.length === 50)`)

	b.click("pause")
	for i := range 6 {
		s.insert(51+200*i, 200)
	}
	b.until("the count of what waits", `document.querySelector('[data-testid=fresh-count]')?.textContent === '+1,200 new'`)
	if got, want := eval[string](b, held), numbers(1, 50); got != want {
		t.Errorf("while paused the list became %s", got)
	}
	b.shot("paused")
	b.click("pause")
	b.until("the rows that waited", `document.querySelector('[data-testid=row]').dataset.seq === '1250'`)
	if got, want := eval[string](b, held), numbers(1, 1250); got != want {
		t.Errorf("after the pause the list is %s", got)
	}

	// Away from the top the list holds still as well, and one step brings it back.
	eval[bool](b, `document.querySelector('[data-testid=list]').scrollTop = 2000, true`)
	b.until("to be held", `document.querySelector('[data-testid=tail]').dataset.held === 'true'`)
	s.insert(2000, 30)
	b.until("the count", `document.querySelector('[data-testid=jump-live]').dataset.fresh === '30'`)
	b.click("jump-live")
	b.until("the newest on top", `document.querySelector('[data-testid=row]').dataset.seq === '1280'`)
}

func TestThePageFilters(t *testing.T) {
	s := newScene(t)
	b := newTab(t, 1280, 900)
	b.open(s.url)
	s.insert(1, 20)
	s.commit([]change{
		{table: "public.customers", op: "u", key: `{"id":5}`, before: `{"id":5,"name":"Ada"}`, after: `{"id":5,"name":"Grace"}`},
		{table: "public.orders", op: "d", key: `{"id":3}`, before: `{"id":3,"status":"new"}`}})
	b.until("rows", `document.querySelector('[data-testid=row]')?.dataset.op === 'd'`)

	only := func(what, seqs string) {
		t.Helper()
		b.until(what, `import('/app/store.js').then(s => s.buffer.shown.map(i => i.seq).join(' ') === '`+seqs+`' && s.connection.value.phase === 'live')`)
	}
	// What is pressed stays where it was while tables become known and the button that clears appears: the next press is
	// on its way.
	where := `document.querySelector('[data-testid=filter-op-u]').getBoundingClientRect().x`
	before := eval[float64](b, where)
	b.click("filter-op-d")
	only("deletes only", "22")
	b.until("the tables and the button", `document.querySelectorAll('[data-testid=filter-table] option').length > 1 && document.querySelector('[data-testid=filter-clear]').checkVisibility({visibilityProperty: true})`)
	if now := eval[float64](b, where); now != before {
		t.Errorf("a button moved from %v to %v", before, now)
	}
	b.click("filter-op-u")
	only("updates too", "21 22")
	b.click("filter-clear")
	only("no filter", numbers(1, 22))
	b.click("filter-text")
	b.until("the focus", `document.activeElement?.dataset.testid === 'filter-text'`)
	b.do(chromedp.SendKeys(id("filter-text"), "grACE"))
	b.until("what was typed", `document.activeElement.value === 'grACE'`)
	only("a text", "21")
	b.until("the address", `location.search === '?q=grACE'`)
	b.do(chromedp.Reload())
	only("the same after a reload", "21")
	b.click("filter-clear")
	only("everything", numbers(1, 22))
	b.fill("filter-table", "public.customers")
	only("a table", "21")
	b.do(clickRow("u"))
	b.click("only-transaction")
	only("the transaction", "21 22")
	b.fill("filter-text", "xid:x")
	b.until("the complaint", `document.querySelector('[data-testid=filter-complaint]')`)
	b.fill("filter-text", "nothing like it")
	b.until("no match", `document.querySelector('[data-testid=tail-empty]')?.textContent.includes('No event matches')`)

	// The server filters too: what does not match is not sent.
	b.until("the new stream", `import('/app/store.js').then(s => s.buffer.items.length === 0)`)
	s.insert(100, 5)
	b.until("the server to have looked on", `import('/app/store.js').then(s => s.place?.seq === 27)`)
	if got := eval[int](b, `import('/app/store.js').then(s => s.buffer.items.length)`); got != 0 {
		t.Errorf("%d rows came that do not match", got)
	}
}

func TestDiff(t *testing.T) {
	s := newScene(t)
	b := newTab(t, 1280, 900)
	b.open(s.url)
	s.commit([]change{{table: "public.customers", op: "u", key: `{"id":9007199254740993}`,
		before: fmt.Sprintf(`{"id":9007199254740993,"name":"Ada","email":"","country":null,"body":%q,"score":1.50,"balance":"10.00"}`, unavailable),
		after:  fmt.Sprintf(`{"id":9007199254740993,"name":"Ada","email":null,"country":"","body":%q,"score":1.50,"balance":"35.00"}`, unavailable)}})
	b.until("the row", rowsInSight+` === 1`)
	b.do(clickRow("u"))

	columns := eval[string](b, `[...document.querySelectorAll('[data-testid=column]')].map(c => c.dataset.name + ':' + c.dataset.change).join(' ')`)
	if want := "email:changed country:changed balance:changed id:same name:same score:same body:unchanged"; columns != want {
		t.Errorf("the columns are %s, want %s", columns, want)
	}
	kind := func(column string) string {
		return eval[string](b, `[...document.querySelectorAll('[data-testid=column][data-name=`+column+`] .value')].map(v => v.dataset.kind).join(' ')`)
	}
	for column, want := range map[string]string{"email": "empty null", "country": "null empty", "body": "unchanged unchanged", "name": "value value"} {
		if got := kind(column); got != want {
			t.Errorf("%s shows %s, want %s", column, got, want)
		}
	}
	b.until("the placeholder's label", `document.querySelector('[data-name=body] .value').title.includes('TOAST')`)
	text := eval[string](b, `document.querySelector('[data-testid=diff]').textContent`)
	for _, want := range []string{"9007199254740993", "1.50"} {
		if !strings.Contains(text, want) {
			t.Errorf("the number %s lost digits: %s", want, text)
		}
	}
	if strings.Contains(text, unavailable) {
		t.Error("the placeholder is shown as if it were a value")
	}
	b.shot("diff")
	b.click("detail-form-raw")
	b.until("the raw event", `document.querySelector('[data-testid=raw]').textContent.includes('"id":9007199254740993')`)

	// The event's address shows it again; that of an event nobody holds says what to do.
	link := eval[string](b, `location.href`)
	b.open(link)
	b.until("the event by its address", `document.querySelector('[data-testid=detail]')?.dataset.seq === '1'`)
	b.open(s.url + "?event=1@16/FF:1")
	b.until("the word on a lost event", `document.querySelector('[data-testid=event-lost]')?.textContent.includes('16/FF')`)
}

func TestKeyboardOnly(t *testing.T) {
	s := newScene(t)
	b := newTab(t, 1280, 900)
	b.open(s.url)
	s.insert(1, 100)
	b.until("the last row", `!!document.querySelector('[data-testid=row][data-seq="100"]')`) // the rows may come in several parts
	focus := `document.activeElement?.dataset.testid`

	b.key("?")
	b.until("the help", `document.querySelector('[data-testid=help]').open`)
	b.key(kb.Escape)
	b.until("no help", `!document.querySelector('[data-testid=help]').open`)
	// A key that comes before the browser has taken the focus from what it closed acts all the same.
	b.key("?")
	b.until("the help again", `document.querySelector('[data-testid=help]').open`)
	if in := eval[string](b, `(dialog => {
		dialog.close();
		const focused = document.activeElement;
		focused.dispatchEvent(new KeyboardEvent('keydown', {key: ' ', bubbles: true, cancelable: true}));
		return focused.dataset.testid || '';
	})(document.querySelector('[data-testid=help]'))`); in != "help-close" {
		t.Errorf("the key went to %q, so this shows nothing of a control that is closed", in)
	}
	b.until("the pause", `document.querySelector('[data-testid=tail-state]').textContent === 'paused'`)
	b.key(" ")
	b.until("to go on", `document.querySelector('[data-testid=tail-state]').textContent === 'live'`)
	b.key(" ")
	b.until("the pause by key", `document.querySelector('[data-testid=tail-state]').textContent === 'paused'`)
	b.key("jjj")
	b.until("the third event", `document.querySelector('[data-testid=detail]')?.dataset.seq === '98'`)
	b.key("k")
	b.until("the second event", `document.querySelector('[data-testid=detail]')?.dataset.seq === '99'`)
	b.key(kb.Escape)
	b.until("no event", `!document.querySelector('[data-testid=detail]')`)
	b.key("l")
	b.until("live", `document.querySelector('[data-testid=tail-state]').textContent === 'live'`)
	b.key("/")
	b.until("the search", focus+` === 'filter-text'`)
	b.fill("filter-text", "") // the protocol types the slash, which a browser would not
	b.key(`"id":77`)
	b.until("what was searched for", rowsInSight+` === 1`)
	b.key(kb.Escape)
	b.until("all rows", rowsInSight+` > 10`)
	b.key(kb.Escape)
	b.until("to leave the search", focus+` !== 'filter-text'`)
	b.key("gt")
	b.until("the pipeline", focus+` === 'node-burst'`)
	b.key(kb.Enter)
	b.until("the stage", `document.querySelector('[data-testid=inspector]')`)

	// Every control can be reached, in order, and shows where the focus is.
	seen := map[string]bool{}
	for range 60 {
		b.key(kb.Tab)
		if name := eval[string](b, `document.activeElement?.dataset.testid || ''`); name != "" {
			seen[name] = true
		}
		if visible := eval[bool](b, `(e => !e || e === document.body || e.id === 'search' || e.tagName === 'SELECT' || getComputedStyle(e).outlineStyle !== 'none')(document.activeElement)`); !visible {
			t.Errorf("no focus ring on %s", eval[string](b, `document.activeElement.outerHTML.slice(0, 120)`))
		}
	}
	for _, name := range []string{"theme", "help-open", "node-kafka", "filter-text", "filter-table", "filter-op-c", "pause", "list", "range-60", "latency-table-toggle", "measure-revenue", "form-table"} {
		if !seen[name] {
			t.Errorf("%s cannot be reached with Tab: %v", name, seen)
		}
	}

	// Single keys can be switched off.
	eval[bool](b, `import('/app/store.js').then(s => (s.shortcuts.value = 'off', document.activeElement.blur(), true))`)
	b.key(" ")
	b.key("?")
	if eval[bool](b, `document.querySelector('[data-testid=help]').open`) {
		t.Error("keys act though they are switched off")
	}
}
