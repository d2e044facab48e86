package ui

import (
	"fmt"
	"strings"
	"time"

	"github.com/livedb/livedb/internal/status"
)

// link is how the dashboard itself reads Kafka.
type link struct {
	State  string `json:"state"`  // connecting, waiting (for a topic), reading, failed
	Detail string `json:"detail"` // one sentence; empty while reading
}

// The states of a link.
const (
	linkConnecting = "connecting"
	linkWaiting    = "waiting"
	linkReading    = "reading"
	linkFailed     = "failed"
)

// verdict is the one line that says how the whole fares, and the next step if there is one.
type verdict struct {
	State  string `json:"state"` // healthy, idle, initializing, warning, error
	Title  string `json:"title"`
	Detail string `json:"detail"`
	Remedy string `json:"remedy"` // what to do; empty if nothing
}

// idleAfter is the time without an event after which the stream is called idle.
const idleAfter = 10 * time.Second

// slowAfter is the commit-to-page latency from which the page says that it shows the past.
const slowAfter = 5 * time.Second

// judge finds the verdict. What stands furthest up the stream is named first: everything after it suffers from it.
func judge(prefix string, brokers []string, events, topics link, stages map[string]stage, lastEvent time.Time, latency quantiles, now time.Time) verdict {
	if v, bad := judgeLinks(prefix, brokers, events, topics); bad {
		return v
	}
	if a := stages[auditRole]; a.State != stateStale && a.Numbers[status.ViolationsTotal] > 0 { // nothing else matters as much
		return verdict{"error", "The stream broke a promise", fmt.Sprintf("The audit found %.0f faults; the first is %s.", a.Numbers[status.ViolationsTotal], a.Texts[status.FirstViolation]),
			"See all of them with: livedb audit --prefix " + prefix}
	}
	cdc, process := stages["cdc"], stages["process"]
	for _, role := range roles {
		if s := stages[role]; s.State == string(status.Error) {
			return verdict{"error", nameOf(role) + " has stopped", s.Detail, ""}
		}
	}
	switch {
	case cdc.State == stateMissing:
		return verdict{"initializing", "Waiting for change data capture", "No cdc role has reported to topic " + prefix + ".status yet.", startLine("cdc", prefix)}
	case cdc.State == stateStale:
		return verdict{"error", "Change data capture does not report", "Its last report is " + age(cdc.AgeMS) + " old.", startLine("cdc", prefix)}
	case process.State == stateStale:
		return verdict{"warning", "The processor does not report", "Its last report is " + age(process.AgeMS) + " old; views stand still.", startLine("process", prefix)}
	}
	for _, role := range roles {
		switch s := stages[role]; s.State {
		case string(status.Warning):
			return verdict{"warning", nameOf(role) + " needs attention", s.Detail, ""}
		case string(status.Initializing):
			if role != "ui" {
				return verdict{"initializing", nameOf(role) + " is starting", s.Detail, ""}
			}
		}
	}
	switch {
	case latency.Count > 0 && latency.P50 > float64(slowAfter.Milliseconds()):
		return verdict{"warning", "Behind by " + age(int64(latency.P50)), "Half of the transactions take longer than this from commit to this page.", ""}
	case process.State == stateMissing:
		return verdict{"warning", "No processor reports", "Events arrive; views are not computed.", startLine("process", prefix)}
	case lastEvent.IsZero():
		return verdict{"idle", "Ready for the first change", "Every role is healthy and nothing was committed since this dashboard began.", "Write a row to a captured table, or run: livedb burst"}
	case now.Sub(lastEvent) > idleAfter:
		return verdict{"idle", "Idle", "The last change came " + age(now.Sub(lastEvent).Milliseconds()) + " ago.", ""}
	}
	return verdict{"healthy", "Live", "", ""}
}

func judgeLinks(prefix string, brokers []string, events, topics link) (verdict, bool) {
	for _, l := range []link{events, topics} {
		if l.State == linkFailed {
			return verdict{"error", "The dashboard cannot read Kafka", l.Detail, "Check that Kafka runs at " + strings.Join(brokers, ",") + "; the dashboard tries again by itself."}, true
		}
	}
	switch {
	case events.State == linkConnecting:
		return verdict{"initializing", "Connecting to Kafka", "At " + strings.Join(brokers, ",") + ".", ""}, true
	case events.State == linkWaiting:
		return verdict{"initializing", "Waiting for the stream", events.Detail, startLine("cdc", prefix)}, true
	}
	return verdict{}, false
}

// nameOf is a role as a sentence begins with it.
func nameOf(role string) string {
	switch role {
	case "burst":
		return "The burst writer"
	case "cdc":
		return "Change data capture"
	case "process":
		return "The processor"
	}
	return "The dashboard"
}

func startLine(role, prefix string) string {
	return "Start it with: livedb " + role + " --prefix " + prefix
}

// age writes a duration as a person would say it.
func age(ms int64) string {
	switch d := time.Duration(ms) * time.Millisecond; {
	case d < time.Second:
		return fmt.Sprintf("%d ms", ms)
	case d < 2*time.Minute:
		return fmt.Sprintf("%d s", int(d.Seconds()))
	case d < 2*time.Hour:
		return fmt.Sprintf("%d min", int(d.Minutes()))
	case d < 48*time.Hour:
		return fmt.Sprintf("%d h", int(d.Hours()))
	default:
		return fmt.Sprintf("%d days", int(d.Hours()/24))
	}
}
