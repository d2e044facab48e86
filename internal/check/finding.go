// Package check finds what is wrong with a source, a Kafka and a stream between them, and names the line that mends it. It
// reads only, and runs none of these lines itself.
//
//	source ──SQL──► facts ─┐
//	kafka  ──────► facts ─┼─► rules (pure) ──► findings
//	checkpoint ──► facts ─┘
//
// What the start of cdc refuses is found here under the same name, all of it at once.
package check

import (
	"cmp"
	"errors"
	"slices"

	"github.com/livedb/livedb/cdc"
)

// Severity says how bad a finding is.
type Severity string

// The severities, the least first.
const (
	Info     Severity = "info"     // good to know
	Warning  Severity = "warning"  // the stream runs, and may not do so for ever, or not as one would wish
	Error    Severity = "error"    // the stream cannot start, or will stop
	Critical Severity = "critical" // a promise would break, or the application would
)

var severities = []Severity{Info, Warning, Error, Critical}

// AtLeast reports whether a severity is as bad as another.
func (s Severity) AtLeast(other Severity) bool {
	return slices.Index(severities, s) >= slices.Index(severities, other)
}

// Scope says what a finding is about.
type Scope string

// The scopes.
const (
	Configuration Scope = "config"
	Source        Scope = "source"
	Neon          Scope = "neon"
	Kafka         Scope = "kafka"
)

// Scopes are all scopes, in the order in which they are shown.
var Scopes = []Scope{Configuration, Source, Neon, Kafka}

// Finding is one thing that is wrong, or good to know.
type Finding struct {
	Slug     string   `json:"slug"` // stable: documentation and scripts refer to it
	Severity Severity `json:"severity"`
	Scope    Scope    `json:"scope"`
	Object   string   `json:"object"`            // what it is about, such as "table public.orders"
	Summary  string   `json:"summary"`           // one sentence: what is wrong
	Detail   string   `json:"detail"`            // what follows from it; may be empty
	Remedy   string   `json:"remedy"`            // one sentence: what to do
	SQL      string   `json:"sql"`               // what mends it, to be pasted; empty if no SQL does
	Command  string   `json:"command,omitempty"` // the same for a shell
}

// found makes a finding of the catalogue.
func found(slug, object, summary, remedy string) Finding {
	known := catalogue[slug]
	return Finding{Slug: slug, Severity: known.Severity, Scope: known.Scope, Object: object, Summary: summary, Remedy: remedy}
}

// with adds the SQL that mends a finding.
func (f Finding) with(sql string) Finding {
	f.SQL = sql
	return f
}

// because adds what follows from a finding.
func (f Finding) because(detail string) Finding {
	f.Detail = detail
	return f
}

// as overrules the severity of the catalogue.
func (f Finding) as(s Severity) Finding {
	f.Severity = s
	return f
}

// refused makes a finding of what the start would refuse.
func refused(scope Scope, object string, r *cdc.Refusal) Finding {
	f := Finding{Slug: r.Name, Severity: Error, Scope: scope, Object: object, Summary: r.Problem, Remedy: r.Remedy}
	if r.Unsafe {
		f.Severity = Critical
	}
	if known, ok := catalogue[r.Name]; ok {
		f.Scope = known.Scope
		if known.Severity.AtLeast(f.Severity) {
			f.Severity = known.Severity
		}
	}
	return f
}

// asRefusal returns the refusal that an error is, or nil.
func asRefusal(err error) *cdc.Refusal {
	var r *cdc.Refusal
	errors.As(err, &r)
	return r
}

// stale says that a check could not be made: nobody knows whether all is well there.
func stale(scope Scope, what string, err error) Finding {
	f := found("stale", what, "it could not be checked: "+err.Error(), "mend what the message says, then check again")
	f.Scope = scope
	return f
}

// Report is what a run found.
type Report struct {
	Findings []Finding `json:"findings"`
	Skipped  []string  `json:"skipped"` // what was not looked at, and why
	Checks   int       `json:"checks"`  // that were tried
	Stale    int       `json:"stale"`   // that could not be made
}

// Count returns how many findings have a severity.
func (r *Report) Count(s Severity) int {
	n := 0
	for _, f := range r.Findings {
		if f.Severity == s {
			n++
		}
	}
	return n
}

// Bad reports whether a finding is an error or critical.
func (r *Report) Bad() bool { return r.Count(Error)+r.Count(Critical) > 0 }

// settle leaves each finding once, those of the given scopes only, by scope, the worst first.
func settle(all []Finding, scopes []Scope) []Finding {
	kept := []Finding{}
	seen := map[[2]string]bool{}
	for _, f := range all {
		key := [2]string{f.Slug, f.Object}
		if seen[key] || len(scopes) > 0 && !slices.Contains(scopes, f.Scope) {
			continue
		}
		seen[key] = true
		kept = append(kept, f)
	}
	slices.SortStableFunc(kept, func(a, b Finding) int {
		return cmp.Or(
			cmp.Compare(slices.Index(Scopes, a.Scope), slices.Index(Scopes, b.Scope)),
			cmp.Compare(slices.Index(severities, b.Severity), slices.Index(severities, a.Severity)),
			cmp.Compare(a.Slug, b.Slug), cmp.Compare(a.Object, b.Object))
	})
	return kept
}
