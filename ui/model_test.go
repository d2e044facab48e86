package ui

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/livedb/livedb/internal/status"
	"github.com/livedb/livedb/processor"
)

func TestQuantiles(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 1))
	var h histogram
	var all []time.Duration
	for range 20000 {
		d := time.Duration(random.ExpFloat64() * float64(40*time.Millisecond))
		h.add(d)
		all = append(all, d)
	}
	slices.Sort(all)
	for _, q := range []float64{.5, .95, .99} {
		got, want := h.quantile(q), all[int(q*float64(len(all)))]
		if ratio := float64(got) / float64(want); ratio < .9 || ratio > 1.1 {
			t.Errorf("quantile %v is %s, want %s", q, got, want)
		}
	}
	if h.quantile(1) > h.max || h.max != all[len(all)-1] {
		t.Errorf("the maximum is %s, want %s", h.max, all[len(all)-1])
	}
	if sum := slices.Collect(func(yield func(uint32) bool) {
		var n uint32
		for _, c := range h.heat()[1:] {
			n += c
		}
		yield(n)
	}); sum[0] != 20000 {
		t.Errorf("the heat map counts %d of 20000", sum[0])
	}
	var empty histogram
	if empty.quantile(.5) != 0 || empty.heat() != nil {
		t.Error("an empty histogram is not empty")
	}
}

func TestWindowForgetsAndTellsSkew(t *testing.T) {
	var w window
	w.add(time.Second, noon)
	w.add(-30*time.Millisecond, noon)
	all, second, skew := w.tick(noon)
	if all.n != 2 || second.n != 2 || skew != -30*time.Millisecond {
		t.Errorf("got %d, %d, skew %s", all.n, second.n, skew)
	}
	for range latencySeconds * ticksPerSecond {
		all, second, _ = w.tick(noon)
	}
	if all.n != 0 || second.n != 0 {
		t.Errorf("after %d s the window still holds %d", latencySeconds, all.n)
	}
	if _, _, skew := w.tick(noon.Add(2 * time.Minute)); skew != 0 {
		t.Error("an old skew is still told")
	}
}

func report(role string, at time.Time, numbers map[string]float64) status.Status {
	return status.Status{Role: role, Instance: "a:1", State: status.Healthy, Time: at, Numbers: numbers}
}

func TestRatesComeFromTotals(t *testing.T) {
	r := newReports()
	r.put(report("cdc", noon, map[string]float64{"events_total": 100, "seq": 100}))
	r.put(report("cdc", noon.Add(2*time.Second), map[string]float64{"events_total": 10100, "seq": 10100}))
	r.put(report("cdc", noon.Add(time.Second), map[string]float64{"events_total": 1})) // read again: older
	s := r.stages(noon.Add(2 * time.Second))["cdc"]
	if s.Rates["events"] != 5000 || len(s.Rates) != 1 || s.State != "healthy" || s.Instances != 1 {
		t.Errorf("the stage is %+v", s)
	}
	r.put(report("cdc", noon.Add(3*time.Second), map[string]float64{"events_total": 50}))
	if s := r.stages(noon.Add(3 * time.Second))["cdc"]; len(s.Rates) != 0 {
		t.Errorf("a counter that fell gives the rate %v", s.Rates)
	}
}

func TestAStageGoesStale(t *testing.T) {
	r := newReports()
	r.put(report("cdc", noon, map[string]float64{"events_total": 100}))
	stages := r.stages(noon.Add(staleAfter))
	if s := stages["cdc"]; s.State != stateStale || s.AgeMS != 5000 || s.Instances != 0 {
		t.Errorf("a silent role is %+v", s)
	}
	if s := stages["process"]; s.State != stateMissing {
		t.Errorf("a role never seen is %+v", s)
	}
	other := report("cdc", noon.Add(time.Second), nil)
	other.Instance = "b:2"
	other.State = status.Warning
	r.put(other)
	if s := r.stages(noon.Add(staleAfter))["cdc"]; s.Instance != "b:2" {
		t.Errorf("a silent instance hides one that reports: %+v", s)
	}
	if err := r.take([]byte("cdc/b:2"), nil); err != nil {
		t.Fatal(err)
	}
	if s := r.stages(noon)["cdc"]; s.Instance != "a:1" {
		t.Errorf("an instance taken away is still shown: %+v", s)
	}
	for i := range 3 * maxInstances {
		one := report("burst", noon.Add(time.Duration(i)*time.Second), nil)
		one.Instance = fmt.Sprint(i)
		r.put(one)
	}
	if n := len(r.byID); n > maxInstances {
		t.Errorf("%d instances are held", n)
	}
}

func TestViewHoldsTheLastMinutes(t *testing.T) {
	v := newOrdersView()
	index := 0
	put := func(status string, second time.Time, orders int) {
		t.Helper()
		key := fmt.Appendf(nil, `{"status":%q,"second":%q}`, status, second.Format(time.RFC3339))
		var value []byte
		if orders >= 0 {
			index++
			value = fmt.Appendf(nil, `{"orders":%d,"revenue":"1.50","position":"0/10:%d","seq":1,"epoch":1}`, orders, index)
		}
		if _, err := v.take(key, value, noon); err != nil {
			t.Fatal(err)
		}
	}
	put("new", noon, 3)
	put("new", noon.Add(-viewReach-time.Second), 9) // too old
	put("paid", noon.Add(-time.Second), 1)
	j, version := v.since(0)
	if len(j.Groups) != 2 || !j.Reset {
		t.Fatalf("a new page gets %+v", j)
	}
	put("new", noon, 2)
	put("paid", noon.Add(-time.Second), -1)
	j, next := v.since(version)
	if len(j.Groups) != 2 || j.Reset || j.Position != "0/10:4" {
		t.Fatalf("the page gets %+v", j)
	}
	for _, g := range j.Groups {
		if *g.Status == "new" && *g.Orders != 2 || *g.Status == "paid" && g.Orders != nil {
			t.Errorf("a changed group is %+v", g)
		}
	}
	if j, _ := v.since(next); len(j.Groups) != 0 {
		t.Errorf("nothing changed, but the page gets %+v", j)
	}
	if rows := v.rows(); len(rows) != 1 || rows[0].Orders != 2 {
		t.Errorf("the rows are %+v", rows)
	}
	put("new", noon.Add(time.Hour), 1) // a clock that is ahead must not push everything else out
	if rows := v.rows(); len(rows) != 2 {
		t.Errorf("a group in the future left %d rows", len(rows))
	}
	for i := range 2 * viewGroups {
		put(fmt.Sprint(i), noon.Add(-time.Duration(i%900)*time.Second), 1)
	}
	if n, _ := v.size(); n > viewGroups {
		t.Errorf("%d groups are held", n)
	}
	v.clear()
	if j, _ := v.since(next); !j.Reset || len(j.Groups) != 0 {
		t.Errorf("after a new beginning the page gets %+v", j)
	}
	for _, bad := range []string{`{"second":"yesterday"}`, `x`} {
		if _, err := v.take([]byte(bad), []byte(`{}`), noon); err == nil {
			t.Errorf("the key %s is accepted", bad)
		}
	}
}

func TestGapOfAReopenedReader(t *testing.T) {
	m := newModel("livedb", nil)
	m.event(item(1, "c", "orders"), true, noon)
	m.event(item(2, "c", "orders"), false, noon)
	m.event(item(3, "c", "orders"), true, noon) // reopened, nothing missed
	m.event(item(14, "c", "orders"), true, noon)
	m.event(item(5, "c", "orders"), true, noon) // lower: the stream began again
	var got []string
	for _, e := range m.ring.all() {
		if e.gap != nil {
			got = append(got, fmt.Sprintf("%s %d", e.gap.Why, e.gap.Missed))
		} else {
			got = append(got, fmt.Sprint(e.seq))
		}
	}
	if want := []string{"1", "2", "3", "reader 10", "14", "restart 0", "5"}; !slices.Equal(got, want) {
		t.Errorf("the ring holds %v, want %v", got, want)
	}
}

func TestLatencyIsOfStreamedTransactionsOnly(t *testing.T) {
	m := newModel("livedb", nil)
	tx := &processor.Transaction{Commit: 16, Time: noon}
	if _, known := m.transaction(tx, true, noon.Add(time.Hour)); known {
		t.Error("a snapshot's rows committed long ago: that is no latency")
	}
	if d, known := m.transaction(tx, false, noon.Add(time.Millisecond)); !known || d != time.Millisecond {
		t.Errorf("the latency is %s", d)
	}
	key, value := []byte(`{"status":"new","second":"2026-11-22T12:00:00Z"}`), []byte(`{"orders":1,"revenue":"1","position":"0/10:1","seq":1,"epoch":1}`)
	if err := m.result(key, value, true, noon.Add(20*time.Millisecond)); err != nil {
		t.Fatal(err)
	}
	if err := m.result(key, value, true, noon.Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	if all, _, _ := m.viewLatency.tick(noon); all.n != 1 || all.max != 20*time.Millisecond {
		t.Errorf("%d latencies of the view, up to %s: a result told again is none", all.n, all.max)
	}
}

func TestCommitsFindsTheLastOnes(t *testing.T) {
	var c commits
	for i := range uint64(10000) {
		c.add(10*i, noon.Add(time.Duration(i)))
	}
	for _, lsn := range []uint64{99990, 60000, 59040} {
		if at, known := c.find(lsn); !known || at != noon.Add(time.Duration(lsn/10)) {
			t.Errorf("commit %d: %v, %v", lsn, at, known)
		}
	}
	for _, lsn := range []uint64{0, 59030, 60005, 200000} {
		if _, known := c.find(lsn); known {
			t.Errorf("commit %d is known", lsn)
		}
	}
}

func TestHistoryIsBounded(t *testing.T) {
	h := newHistory()
	for i := range 3 * historySeconds {
		h.add(point{time: int64(i), offered: -1, written: 5, latency: quantiles{P50: 1.5, P95: 2, P99: 3, Max: 4, Count: 9}, heat: []uint32{3, 9}})
	}
	points, next := h.since(1)
	if len(points) > historySeconds || next != 3*historySeconds+1 {
		t.Errorf("%d points are held, the next is %d", len(points), next)
	}
	if points, _ := h.since(next - 2); len(points) != 2 || points[1].time != 3*historySeconds-1 {
		t.Errorf("the last two points are %+v", points)
	}
	if points, _ := h.since(next); len(points) != 0 {
		t.Errorf("there are %d new points", len(points))
	}
	got, err := json.Marshal(points[len(points)-1])
	if want := fmt.Sprintf(`[%d,null,5,0,0,0,1.5,2,3,4,[3,9]]`, 3*historySeconds-1); err != nil || string(got) != want {
		t.Errorf("a point is %s, want %s", got, want)
	}
}

func TestVerdict(t *testing.T) {
	healthy := func(change ...func(map[string]stage)) map[string]stage {
		s := map[string]stage{}
		for _, role := range roles {
			s[role] = stage{Role: role, State: "healthy"}
		}
		for _, f := range change {
			f(s)
		}
		return s
	}
	set := func(role, state, detail string) func(map[string]stage) {
		return func(s map[string]stage) { s[role] = stage{Role: role, State: state, Detail: detail, AgeMS: 12000} }
	}
	reading, noLatency := link{State: linkReading}, quantiles{}
	tests := []struct {
		name          string
		events        link
		stages        map[string]stage
		last          time.Time
		latency       quantiles
		state, remedy string
	}{
		{"all is well", reading, healthy(), noon, noLatency, "healthy", ""},
		{"no burst writer: someone else writes", reading, healthy(set("burst", stateMissing, "")), noon, noLatency, "healthy", ""},
		{"kafka does not answer", link{linkFailed, "no"}, healthy(), noon, noLatency, "error", "Check that Kafka runs at k:9092; the dashboard tries again by itself."},
		{"no stream yet", link{linkWaiting, "no topic"}, healthy(), noon, noLatency, "initializing", "Start it with: livedb cdc --prefix livedb"},
		{"cdc never seen", reading, healthy(set("cdc", stateMissing, "")), noon, noLatency, "initializing", "Start it with: livedb cdc --prefix livedb"},
		{"cdc silent", reading, healthy(set("cdc", stateStale, "")), noon, noLatency, "error", "Start it with: livedb cdc --prefix livedb"},
		{"cdc stopped", reading, healthy(set("cdc", "error", "slot gone")), noon, noLatency, "error", ""},
		{"processor stopped", reading, healthy(set("process", "error", "gap")), noon, noLatency, "error", ""},
		{"processor never seen", reading, healthy(set("process", stateMissing, "")), noon, noLatency, "warning", "Start it with: livedb process --prefix livedb"},
		{"cdc waits", reading, healthy(set("cdc", "warning", "kafka is away")), noon, noLatency, "warning", ""},
		{"the audit found faults", reading, healthy(func(s map[string]stage) {
			s["audit"] = stage{Role: "audit", State: "warning", Numbers: map[string]float64{"violations_total": 2}, Texts: map[string]string{"first_violation": "missing: 0/1:1"}}
		}), noon, noLatency, "error", "See all of them with: livedb audit --prefix livedb"},
		{"the audit that found faults is gone", reading, healthy(func(s map[string]stage) {
			s["audit"] = stage{Role: "audit", State: stateStale, Numbers: map[string]float64{"violations_total": 2}}
		}), noon, noLatency, "healthy", ""},
		{"behind", reading, healthy(), noon, quantiles{P50: 8000, Count: 3}, "warning", ""},
		{"nothing ever", reading, healthy(), time.Time{}, noLatency, "idle", "Write a row to a captured table, or run: livedb burst"},
		{"nothing lately", reading, healthy(), noon.Add(-time.Hour), noLatency, "idle", ""},
	}
	for _, test := range tests {
		v := judge("livedb", []string{"k:9092"}, test.events, reading, test.stages, test.last, test.latency, noon)
		if v.State != test.state || v.Remedy != test.remedy || v.Title == "" {
			t.Errorf("%s: the verdict is %+v", test.name, v)
		}
	}
}

// BenchmarkRow is what an event costs when the first page looks at it.
func BenchmarkRow(b *testing.B) {
	i := item(1, "c", "orders")
	e := newEntry("livedb", i)
	b.ReportAllocs()
	for range b.N {
		e.encode(e.value)
	}
}
