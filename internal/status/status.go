// Package status is what a role says about itself: its state and its numbers. In the process it feeds /readyz; on
// Kafka, in <prefix>.status, it feeds the dashboard, wherever the role runs.
package status

import (
	"fmt"
	"maps"
	"os"
	"slices"
	"sync"
	"time"
)

// State is how a role fares.
type State string

// The states. Only Healthy counts as ready.
const (
	Initializing State = "initializing"
	Healthy      State = "healthy"
	Warning      State = "warning" // it goes on, but waits for something or someone
	Error        State = "error"   // it has stopped
)

// Names of numbers that several roles report. Those ending in _total only grow while the instance lives.
const (
	RowsTotal         = "rows_total"
	OfferedRowsTotal  = "offered_rows_total"
	TransactionsTotal = "transactions_total"
	EventsTotal       = "events_total"
	BytesTotal        = "bytes_total"
	CommitsTotal      = "commits_total" // Kafka transactions committed
	Seq               = "seq"
	LagSeconds        = "lag_seconds" // commit time of the last transaction handled, until now
	TargetRate        = "target_rows_per_second"
	RetainedWALBytes  = "retained_wal_bytes"
	Groups            = "groups"
	LateTotal         = "late_total"
	ViolationsTotal   = "violations_total" // broken promises that the audit found
)

// FirstViolation names the text in which the audit tells the first broken promise.
const FirstViolation = "first_violation"

// Status is one report. Its record's key on Kafka is Role + "/" + Instance.
type Status struct {
	Role     string             `json:"role"` // burst, cdc, process, ui, audit
	Instance string             `json:"instance"`
	Version  string             `json:"version"`
	State    State              `json:"state"`
	Detail   string             `json:"detail"` // one sentence; empty when all is well
	Since    time.Time          `json:"since"`  // when State was entered
	Time     time.Time          `json:"time"`   // of this report
	Numbers  map[string]float64 `json:"numbers"`
	Texts    map[string]string  `json:"texts"` // such as the source's address (no secrets), the slot, the last LSN
}

// Key returns the record's key.
func (s *Status) Key() string { return s.Role + "/" + s.Instance }

// Board holds the reports of the roles of one process. The zero value is not usable: call NewBoard.
type Board struct {
	instance, version string

	mu    sync.Mutex
	roles map[string]*Reporter
}

// NewBoard returns an empty board. The instance is host:pid.
func NewBoard(version string) *Board {
	host, err := os.Hostname()
	if err != nil {
		host = "localhost"
	}
	return &Board{instance: fmt.Sprintf("%s:%d", host, os.Getpid()), version: version, roles: map[string]*Reporter{}}
}

// Role returns the reporter of a role and makes it at the first call.
func (b *Board) Role(role string) *Reporter {
	b.mu.Lock()
	defer b.mu.Unlock()
	r := b.roles[role]
	if r == nil {
		r = &Reporter{status: Status{Role: role, Instance: b.instance, Version: b.version, State: Initializing, Since: time.Now(),
			Texts: map[string]string{}}, numbers: map[string]func() float64{}, healthy: make(chan struct{})}
		b.roles[role] = r
	}
	return r
}

// Reports returns the present status of every role, by role.
func (b *Board) Reports() []Status {
	b.mu.Lock()
	roles := slices.Sorted(maps.Keys(b.roles))
	reporters := make([]*Reporter, len(roles))
	for i, role := range roles {
		reporters[i] = b.roles[role]
	}
	b.mu.Unlock()

	reports := make([]Status, len(reporters))
	for i, r := range reporters {
		reports[i] = r.Status()
	}
	return reports
}

// Ready reports whether there is a role and all of them are healthy.
func (b *Board) Ready() bool {
	reports := b.Reports()
	return len(reports) > 0 && !slices.ContainsFunc(reports, func(s Status) bool { return s.State != Healthy })
}

// Reporter is one role's side of the board. A nil Reporter discards everything.
type Reporter struct {
	mu      sync.Mutex
	status  Status
	numbers map[string]func() float64
	healthy chan struct{} // closed when Healthy was first entered
}

// Healthy is closed once the role has been healthy for the first time.
func (r *Reporter) Healthy() <-chan struct{} { return r.healthy }

// Set enters a state. The detail is one sentence for a person, empty when all is well.
func (r *Reporter) Set(state State, detail string) {
	if r == nil {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.status.State != state {
		r.status.Since = time.Now()
	}
	r.status.State, r.status.Detail = state, detail
	if state == Healthy {
		select {
		case <-r.healthy:
		default:
			close(r.healthy)
		}
	}
}

// Text sets one of the report's texts. It must hold no secret.
func (r *Reporter) Text(name, text string) {
	if r == nil {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.status.Texts[name] = text
}

// Number has value called for each report; it must be safe to call at any time.
func (r *Reporter) Number(name string, value func() float64) {
	if r == nil {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.numbers[name] = value
}

// Status returns the report as of now.
func (r *Reporter) Status() Status {
	r.mu.Lock()
	defer r.mu.Unlock()
	s := r.status
	s.Time = time.Now()
	s.Texts = maps.Clone(s.Texts)
	s.Numbers = make(map[string]float64, len(r.numbers))
	for name, value := range r.numbers {
		s.Numbers[name] = value()
	}
	return s
}
