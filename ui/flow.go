package ui

import (
	"cmp"
	"encoding/json"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/livedb/livedb/internal/status"
)

// staleAfter is the age from which a report says nothing any more: a role reports every second. Ages compare the
// reporter's clock with this machine's.
const staleAfter = 5 * time.Second

// maxInstances bounds the reports held; the oldest go first.
const maxInstances = 64

// instance is one instance of a role and its rates.
type instance struct {
	status.Status
	rates map[string]float64 // per second, of every number ending in _total, by its name without that end
}

// reports holds the last status of every instance of every role.
type reports struct {
	mu   sync.Mutex
	byID map[string]*instance
}

func newReports() *reports { return &reports{byID: map[string]*instance{}} }

// take reads a record of <prefix>.status. A record without value takes the instance away.
func (r *reports) take(key, value []byte) error {
	if value == nil {
		r.mu.Lock()
		defer r.mu.Unlock()
		delete(r.byID, string(key))
		return nil
	}
	var s status.Status
	if err := json.Unmarshal(value, &s); err != nil {
		return err
	}
	r.put(s)
	return nil
}

func (r *reports) put(s status.Status) {
	r.mu.Lock()
	defer r.mu.Unlock()
	last := r.byID[s.Key()]
	if last != nil && !s.Time.After(last.Time) {
		return // an older report, read again after Kafka was away
	}
	next := &instance{Status: s, rates: map[string]float64{}}
	if last != nil {
		seconds := s.Time.Sub(last.Time).Seconds()
		for name, number := range s.Numbers {
			short, total := strings.CutSuffix(name, "_total")
			before, known := last.Numbers[name]
			if total && known && number >= before {
				next.rates[short] = (number - before) / seconds
			}
		}
	}
	r.byID[s.Key()] = next
	r.bound()
}

func (r *reports) bound() {
	for len(r.byID) > maxInstances {
		var oldest *instance
		for _, i := range r.byID {
			if oldest == nil || i.Time.Before(oldest.Time) {
				oldest = i
			}
		}
		delete(r.byID, oldest.Key())
	}
}

// States of a stage beside those of a role.
const (
	stateMissing = "missing" // no instance ever reported
	stateStale   = "stale"   // the last report is too old
)

// stage is a role as the page shows it: the instance that works, and how many there are.
type stage struct {
	Role      string             `json:"role"`
	State     string             `json:"state"`
	Detail    string             `json:"detail"`
	Instance  string             `json:"instance,omitempty"`
	Instances int                `json:"instances"` // that report now
	Version   string             `json:"version,omitempty"`
	Since     *time.Time         `json:"since,omitempty"`
	AgeMS     int64              `json:"age_ms"`
	Numbers   map[string]float64 `json:"numbers"`
	Rates     map[string]float64 `json:"rates"`
	Texts     map[string]string  `json:"texts"`
}

// The roles in the order of the data's way.
var roles = []string{"burst", "cdc", "process", "ui"}

// auditRole stands beside the data's way.
const auditRole = "audit"

// stages returns every role, as of now.
func (r *reports) stages(now time.Time) map[string]stage {
	r.mu.Lock()
	defer r.mu.Unlock()
	stages := make(map[string]stage, len(roles)+1)
	for _, role := range append(slices.Clip(roles), auditRole) {
		var of []*instance
		live := 0
		for _, i := range r.byID {
			if i.Role == role {
				of = append(of, i)
				if now.Sub(i.Time) < staleAfter {
					live++
				}
			}
		}
		s := stage{Role: role, State: stateMissing, Numbers: map[string]float64{}, Rates: map[string]float64{}, Texts: map[string]string{}}
		if len(of) > 0 {
			s = stageOf(slices.MinFunc(of, func(a, b *instance) int { return preferred(a, b, now) }), now)
		}
		s.Instances = live
		stages[role] = s
	}
	return stages
}

// preferred orders instances: those that report before those that do not, then the healthy, then the newest report.
func preferred(a, b *instance, now time.Time) int {
	rank := func(i *instance) int {
		switch {
		case now.Sub(i.Time) >= staleAfter:
			return 2
		case i.State != status.Healthy:
			return 1
		}
		return 0
	}
	return cmp.Or(cmp.Compare(rank(a), rank(b)), b.Time.Compare(a.Time))
}

func stageOf(i *instance, now time.Time) stage {
	age := max(0, now.Sub(i.Time))
	s := stage{Role: i.Role, State: string(i.State), Detail: i.Detail, Instance: i.Instance, Version: i.Version, Since: &i.Since,
		AgeMS: age.Milliseconds(), Numbers: i.Numbers, Rates: i.rates, Texts: i.Texts}
	if age >= staleAfter {
		s.State, s.Rates = stateStale, map[string]float64{}
	}
	return s
}

// topicFlow is what the dashboard reads of one topic.
type topicFlow struct {
	Topic  string  `json:"topic"`
	Table  string  `json:"table"`
	Events uint64  `json:"events"` // since the dashboard began
	Rate   float64 `json:"rate"`   // events a second
}

// maxTopics bounds the topics counted one by one; events of others count in the sums only.
const maxTopics = 500

// counter counts what the dashboard reads. Rates are over the last second, in slots of one tick.
type counter struct {
	mu     sync.Mutex
	topics map[string]*topicCount
	name   string // of the last event's topic, with its count; nil for one that is not counted by itself
	topic  *topicCount
	sum    [ticksPerSecond]counts
	at     int
	total  counts
}

type counts struct{ events, transactions, bytes uint64 }

type topicCount struct {
	table  string
	events uint64
	slots  [ticksPerSecond]uint64
}

func newCounter() *counter { return &counter{topics: map[string]*topicCount{}} }

func (c *counter) event(topic, table string, bytes int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.sum[c.at].events++
	c.sum[c.at].bytes += uint64(bytes)
	c.total.events++
	c.total.bytes += uint64(bytes)
	if c.name != topic {
		c.name, c.topic = topic, c.find(topic, table)
	}
	if t := c.topic; t != nil {
		t.events++
		t.slots[c.at]++
	}
}

// find returns a topic's count, which begins with its first event, or nil beyond the bound.
func (c *counter) find(topic, table string) *topicCount {
	t := c.topics[topic]
	if t == nil && len(c.topics) < maxTopics {
		t = &topicCount{table: table}
		c.topics[topic] = t
	}
	return t
}

func (c *counter) transaction() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.sum[c.at].transactions++
	c.total.transactions++
}

// tick returns the counts of the last second and begins a new slot.
func (c *counter) tick() (second counts, topics []topicFlow) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, s := range c.sum {
		second.events += s.events
		second.transactions += s.transactions
		second.bytes += s.bytes
	}
	c.at = (c.at + 1) % ticksPerSecond
	c.sum[c.at] = counts{}
	topics = make([]topicFlow, 0, len(c.topics))
	for topic, t := range c.topics {
		f := topicFlow{Topic: topic, Table: t.table, Events: t.events}
		for _, n := range t.slots {
			f.Rate += float64(n)
		}
		t.slots[c.at] = 0
		topics = append(topics, f)
	}
	slices.SortFunc(topics, func(a, b topicFlow) int { return strings.Compare(a.Topic, b.Topic) })
	return second, topics
}
