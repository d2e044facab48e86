package ui

import (
	"context"
	"encoding/json"
	"sync"
	"sync/atomic"
	"time"

	"github.com/livedb/livedb/cdc"
	"github.com/livedb/livedb/cdc/envelope"
	"github.com/livedb/livedb/internal/status"
	"github.com/livedb/livedb/processor"
)

// ticksPerSecond is how often the model sums up what it shows.
const ticksPerSecond = 4

// model is all that the dashboard knows. Each part has its own lock, held for a short time only, so that reading Kafka
// never waits for a page.
type model struct {
	prefix   string
	brokers  []string
	started  time.Time
	reporter *status.Reporter

	ring    *ring
	counter *counter
	reports *reports
	view    *ordersView
	history *history
	commits commits

	eventLatency window // from commit to the reader of events here
	viewLatency  window // from commit to the reader of the view here

	mu            sync.Mutex
	events        link
	topics        link
	last          *entry    // the newest event
	lastEvent     time.Time // when it came
	epoch         uint32    // and seq: of the last event before the reader was opened anew
	seq           uint64
	lost          *lost // what the stream lost last; nil: nothing that was seen here
	verdict       verdict
	lastChanges   uint64 // of the view, at the last tick
	updatesPerSec float64

	clients atomic.Int64
	dropped atomic.Uint64
	frames  atomic.Pointer[frames]
}

// frames is what every page gets alike, encoded once per tick.
type frames struct {
	number  uint64
	flow    []byte
	latency []byte
	active  bool // something moved: worth sending at the full pace
}

func newModel(prefix string, brokers []string) *model {
	m := &model{prefix: prefix, brokers: brokers, started: time.Now(), ring: newRing(), counter: newCounter(), reports: newReports(),
		view: newOrdersView(), history: newHistory(), events: link{State: linkConnecting}, topics: link{State: linkConnecting}}
	m.tick(m.started, 1)
	return m
}

// report has the role's numbers reported.
func (m *model) report(r *status.Reporter, address string) {
	m.reporter = r
	r.Text("address", address)
	r.Number(status.EventsTotal, func() float64 { return float64(m.totals().events) })
	r.Number(status.TransactionsTotal, func() float64 { return float64(m.totals().transactions) })
	r.Number(status.BytesTotal, func() float64 { return float64(m.totals().bytes) })
	r.Number(status.Groups, func() float64 { groups, _ := m.view.size(); return float64(groups) })
	r.Number("clients", func() float64 { return float64(m.clients.Load()) })
	r.Number("dropped_events_total", func() float64 { return float64(m.dropped.Load()) })
	r.Number(status.Seq, func() float64 {
		m.mu.Lock()
		defer m.mu.Unlock()
		return float64(m.seq)
	})
}

func (m *model) totals() counts {
	m.counter.mu.Lock()
	defer m.counter.mu.Unlock()
	return m.counter.total
}

// setEvents and setTopics say how the dashboard reads Kafka.
func (m *model) setEvents(state, detail string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.events = link{state, detail}
	switch state {
	case linkReading:
		m.reporter.Set(status.Healthy, "")
	case linkFailed:
		m.reporter.Set(status.Warning, detail)
	default:
		m.reporter.Set(status.Initializing, detail)
	}
}

func (m *model) setTopics(state, detail string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.topics = link{state, detail}
}

// event takes an event into the ring. The first one after the reader was opened anew tells what was missed.
func (m *model) event(i *processor.Item, reopened bool, now time.Time) {
	e := newEntry(m.prefix, i)
	m.mu.Lock()
	if reopened && m.seq != 0 {
		if g := (&mark{epoch: m.epoch, seq: m.seq}).gapTo(e); g != nil {
			if g.Why == whyReconnect {
				g.Why = whyReader
			}
			m.ring.append(&entry{gap: g})
		}
	}
	m.epoch, m.seq, m.last, m.lastEvent = e.epoch, e.seq, e, now
	m.mu.Unlock()
	m.ring.append(e)
	m.counter.event(e.topic, e.table, len(i.Key)+len(i.Value))
}

// renew takes note that the stream has lost changes and begins a new epoch.
func (m *model) renew(g *envelope.Gap) {
	told := &lost{g.EpochTo, g.From.End.String(), g.To.LSN.String(), g.To.Time.UnixMicro(), g.Why.Name}
	m.ring.append(&entry{gap: &gap{Why: whyEpoch, Lost: told}})
	m.mu.Lock()
	defer m.mu.Unlock()
	m.epoch, m.seq, m.lost = g.EpochTo, 0, told
}

// transaction takes note that a transaction has been read whole, and how long that took since its commit. It returns
// the latency, and false for one that has none: a snapshot's rows committed at any time before.
func (m *model) transaction(tx *processor.Transaction, snapshot bool, now time.Time) (time.Duration, bool) {
	m.counter.transaction()
	if snapshot || tx.Time.IsZero() {
		return 0, false
	}
	m.commits.add(uint64(tx.Commit), tx.Time)
	latency := now.Sub(tx.Time)
	m.eventLatency.add(latency, now)
	return latency, true
}

// result takes a record of the view's topic.
func (m *model) result(key, value []byte, live bool, now time.Time) error {
	position, err := m.view.take(key, value, now)
	if err != nil || position == (cdc.Position{}) || !live {
		return err
	}
	if at, known := m.commits.find(uint64(position.Commit)); known {
		m.viewLatency.add(now.Sub(at), now)
	}
	return nil
}

// run sums up what the pages get, until the context ends.
func (m *model) run(ctx context.Context) {
	ticker := time.NewTicker(time.Second / ticksPerSecond)
	defer ticker.Stop()
	for number := uint64(2); ; number++ {
		select {
		case <-ctx.Done():
			return
		case now := <-ticker.C:
			m.tick(now, number)
		}
	}
}

// flowJSON is an event "flow" of the stream.
type flowJSON struct {
	TimeMS  int64            `json:"time_ms"`
	Verdict verdict          `json:"verdict"`
	Events  link             `json:"events"`
	Topics  link             `json:"topics"`
	Stages  map[string]stage `json:"stages"`
	Read    readJSON         `json:"read"`
	View    viewFlowJSON     `json:"view"`
	Tables  []topicFlow      `json:"tables"`
	Clients int64            `json:"clients"`
	Dropped uint64           `json:"dropped"`
}

// readJSON is what the dashboard itself reads.
type readJSON struct {
	Events       float64 `json:"events"` // a second, as the next two
	Transactions float64 `json:"transactions"`
	Bytes        float64 `json:"bytes"`
	Total        uint64  `json:"total"` // events since the dashboard began
	LastMS       int64   `json:"last_ms"`
	Epoch        uint32  `json:"epoch,omitempty"`
	Seq          uint64  `json:"seq,omitempty"`
	Position     string  `json:"pos,omitempty"`
	Lost         *lost   `json:"lost,omitempty"` // the stream's last gap that was seen here
}

type viewFlowJSON struct {
	Groups   int     `json:"groups"`
	Updates  float64 `json:"updates"` // a second
	Position string  `json:"pos,omitempty"`
	Seq      uint64  `json:"seq,omitempty"`
}

// latencyJSON is an event "latency" of the stream, over the last seconds.
type latencyJSON struct {
	Seconds int       `json:"seconds"`
	Events  quantiles `json:"events"`  // commit → events on this dashboard
	View    quantiles `json:"view"`    // commit → the view's result on this dashboard
	SkewMS  float64   `json:"skew_ms"` // above 0: the source's clock is ahead of ours by at least this
}

// tick encodes what every page gets alike. Once a second it adds a point to the charts.
func (m *model) tick(now time.Time, number uint64) {
	second, tables := m.counter.tick()
	latency, lastSecond, skew := m.eventLatency.tick(now)
	viewLatency, _, _ := m.viewLatency.tick(now)
	if number%ticksPerSecond == 0 && m.reporter != nil {
		m.reports.put(m.reporter.Status())
		m.view.trim()
	}
	stages := m.reports.stages(now)
	view, groups := m.viewFlow(number)

	m.mu.Lock()
	flow := flowJSON{TimeMS: now.UnixMilli(), Events: m.events, Topics: m.topics, Stages: stages, Tables: tables,
		View: viewFlowJSON{groups, m.updatesPerSec, view.Position, view.Seq},
		Read: readJSON{Events: float64(second.events), Transactions: float64(second.transactions), Bytes: float64(second.bytes),
			Total: m.totals().events, LastMS: -1, Lost: m.lost},
		Clients: m.clients.Load(), Dropped: m.dropped.Load()}
	if m.last != nil {
		flow.Read.LastMS = now.Sub(m.lastEvent).Milliseconds()
		flow.Read.Epoch, flow.Read.Seq, flow.Read.Position = m.epoch, m.seq, m.last.position.String()
	}
	flow.Verdict = judge(m.prefix, m.brokers, m.events, m.topics, stages, m.lastEvent, latency.quantiles(), now)
	turned := flow.Verdict.Title != m.verdict.Title
	m.verdict = flow.Verdict
	m.mu.Unlock()

	if number%ticksPerSecond == 0 {
		m.history.add(pointOf(now, stages, flow.Read, &lastSecond))
	}
	f := &frames{number: number, active: second.events > 0 || flow.View.Updates > 0 || turned}
	f.flow, _ = json.Marshal(flow) // no NaN, no cycle: never fails
	f.latency, _ = json.Marshal(latencyJSON{latencySeconds, latency.quantiles(), viewLatency.quantiles(), milliseconds(-skew)})
	m.frames.Store(f)
}

// viewFlow counts the view's updates of the last second.
func (m *model) viewFlow(number uint64) (viewJSON, int) {
	groups, changes := m.view.size()
	at, _ := m.view.since(^uint64(0) >> 1) // no groups, the position only
	m.mu.Lock()
	defer m.mu.Unlock()
	if number%ticksPerSecond == 0 {
		m.updatesPerSec = float64(changes - m.lastChanges)
		m.lastChanges = changes
	}
	return at, groups
}

func pointOf(now time.Time, stages map[string]stage, read readJSON, second *histogram) point {
	rate := func(role, name string) float64 {
		if r, known := stages[role].Rates[name]; known {
			return r
		}
		return -1
	}
	return point{time: now.Unix(), offered: rate("burst", "offered_rows"), written: rate("burst", "rows"),
		captured: rate("cdc", "events"), processed: rate("process", "events"), arrived: read.Events,
		latency: second.quantiles(), heat: second.heat()}
}
