package main

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"

	"github.com/livedb/livedb/internal/check"
)

// checkResult is what a script reads.
type checkResult struct {
	check.Report
	Probe *check.ProbeReport `json:"probe,omitempty"`
}

func printCheckJSON(w io.Writer, r check.Report, probe *check.ProbeReport) error {
	encoder := json.NewEncoder(w)
	encoder.SetEscapeHTML(false)
	return encoder.Encode(checkResult{r, probe})
}

// alikeShown is how many findings of one slug are told in full.
const alikeShown = 10

// printCheck tells a person.
func printCheck(w io.Writer, r check.Report, probe *check.ProbeReport) error {
	var b strings.Builder
	scope := check.Scope("")
	shown := map[string]int{}
	for _, f := range r.Findings {
		if f.Scope != scope {
			scope = f.Scope
			fmt.Fprintf(&b, "%s\n\n", strings.ToUpper(string(scope)))
		}
		shown[f.Slug]++
		if shown[f.Slug] > alikeShown {
			continue
		}
		fmt.Fprintf(&b, "%-8s  %s · %s\n          %s.\n", f.Severity, f.Slug, f.Object, strings.TrimSuffix(f.Summary, "."))
		if f.Detail != "" {
			fmt.Fprintf(&b, "          %s\n", f.Detail)
		}
		fmt.Fprintf(&b, "          → %s\n", f.Remedy)
		for _, line := range append(lines(f.SQL), lines(f.Command)...) {
			fmt.Fprintf(&b, "            %s\n", line)
		}
		b.WriteString("\n")
	}
	for _, known := range r.Findings {
		if n := shown[known.Slug]; n > alikeShown {
			fmt.Fprintf(&b, "and %d more of %s: --json lists all\n\n", n-alikeShown, known.Slug)
			shown[known.Slug] = 0
		}
	}
	for _, what := range r.Skipped {
		fmt.Fprintf(&b, "not checked: %s\n", what)
	}
	checks := "checks"
	if r.Checks == 1 {
		checks = "check"
	}
	fmt.Fprintf(&b, "%d %s: %s\n", r.Checks, checks, counts(r))
	if probe != nil {
		fmt.Fprintf(&b, "\nPROBE of %s\n\n", probe.Server)
		for _, item := range probe.Items {
			fmt.Fprintf(&b, "%-9s  %s\n", item.Outcome, item.What)
			if item.Seen != "" {
				fmt.Fprintf(&b, "           %s\n", item.Seen)
			}
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func lines(text string) []string {
	if text == "" {
		return nil
	}
	return strings.Split(text, "\n")
}

// counts says how many findings there are of each severity, the worst first.
func counts(r check.Report) string {
	var parts []string
	for _, c := range []struct {
		severity  check.Severity
		one, many string
	}{{check.Critical, "critical", "critical"}, {check.Error, "error", "errors"}, {check.Warning, "warning", "warnings"}, {check.Info, "note", "notes"}} {
		switch n := r.Count(c.severity); n {
		case 0:
		case 1:
			parts = append(parts, "1 "+c.one)
		default:
			parts = append(parts, fmt.Sprintf("%d %s", n, c.many))
		}
	}
	if len(parts) == 0 {
		return "nothing found"
	}
	return strings.Join(parts, ", ")
}
