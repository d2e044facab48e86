package main

import (
	"bytes"
	"context"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/livedb/livedb/cdc/postgres"
	"github.com/livedb/livedb/internal/capture"
	"github.com/livedb/livedb/internal/check"
)

// A check tells a person and a script the same, and ends with a code that says whether something must be mended.
func TestCheckTellsWhatItFound(t *testing.T) {
	p := newPlace(t)
	sql(t, p.url, `CREATE TABLE "it's" (id int)`)
	code, out, _ := livedb(t, t.Context(), append([]string{"check"}, p.both...)...)
	for _, says := range []string{"SOURCE\n", "critical  no_replica_identity · table public.it's\n", "\n            ALTER TABLE \"public\".\"it's\" REPLICA IDENTITY FULL;\n", " checks: 1 critical"} {
		if !strings.Contains(out, says) {
			t.Errorf("it does not say %q:\n%s", says, out)
		}
	}
	if code != exitFindings {
		t.Errorf("exit %d", code)
	}

	code, out, _ = livedb(t, t.Context(), append([]string{"check", "--json"}, p.both...)...)
	var told struct {
		Findings []map[string]any
		Checks   int
	}
	if err := json.Unmarshal([]byte(out), &told); err != nil || code != exitFindings || told.Checks < 10 || len(told.Findings) == 0 {
		t.Errorf("exit %d, %v: %s", code, err, out)
	}
	for _, f := range told.Findings {
		for _, key := range []string{"slug", "severity", "scope", "object", "summary", "detail", "remedy", "sql"} {
			if _, has := f[key]; !has {
				t.Errorf("no %s in %v", key, f)
			}
		}
	}
	unchanged(t, p)

	for _, better := range [][]string{{"--scope", "config,neon"}, {"--tables", demoTables()}} {
		code, out, _ = livedb(t, t.Context(), append(append([]string{"check", "--json"}, better...), p.both...)...)
		if code != exitDone || !strings.HasPrefix(out, `{"findings":[],"skipped":[],`) {
			t.Errorf("exit %d: %s", code, out)
		}
	}
}

// What cannot be asked at all is said, and a probe is not made unasked.
func TestCheckNeedsSomethingToCheck(t *testing.T) {
	p := newPlace(t)
	for _, c := range []struct {
		args []string
		code int
		says string
	}{
		{[]string{"check"}, exitFailure, "source_missing"},
		{[]string{"check", "--scope", "neon", "--kafka", p.broker}, exitFailure, "source_missing"},
		{[]string{"check", "--scope", "kafka", "--source", p.url}, exitUsage, "--kafka"},
		{[]string{"check", "--scope", "cafka", "--source", p.url}, exitUsage, "cafka"},
		{[]string{"check", "--probe", "--kafka", p.broker}, exitFailure, "source_missing"},
		{append([]string{"check", "--probe"}, p.both...), exitFailure, "not_confirmed"},
	} {
		if code, out, stderr := livedb(t, t.Context(), c.args...); code != c.code || out != "" || !strings.Contains(stderr, c.says) {
			t.Errorf("%q: exit %d, %s%s", c.args, code, out, stderr)
		}
	}
	code, out, stderr := livedb(t, t.Context(), append([]string{"check", "--probe", "--yes"}, p.both...)...)
	if code != exitDone || !strings.Contains(out, "PROBE of 127.0.0.1") || !strings.Contains(out, "5 events came again") {
		t.Errorf("exit %d, %s%s", code, out, stderr)
	}
	unchanged(t, p)
}

// cdc tells beside its start what deserves a look, a line for each slug, and runs on.
func TestCDCTellsItsFindings(t *testing.T) {
	p := newPlace(t)
	sql(t, p.url, "CREATE TABLE one (id int PRIMARY KEY)", "CREATE TABLE two (id int PRIMARY KEY)")
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	log := &awaited{text: "and 1 more", then: cancel}
	if code := run(ctx, append([]string{"cdc", "--tables", "public.one,public.two"}, p.both...), streams{in: strings.NewReader(""), out: log, err: log}); code != exitDone {
		t.Errorf("exit %d: %s", code, log)
	}
	if said := log.String(); strings.Count(said, "finding=replica_identity_not_full") != 1 || !strings.Contains(said, `remedy="run the SQL: ALTER TABLE \"public\".\"one\" REPLICA IDENTITY FULL;"`) {
		t.Errorf("it said %s", said)
	}
}

// awaited is a log that does something once it holds a text. One goroutine at a time writes to it, as slog sees to.
type awaited struct {
	bytes.Buffer
	text string
	then func()
}

func (a *awaited) Write(p []byte) (int, error) {
	n, err := a.Buffer.Write(p)
	if strings.Contains(a.String(), a.text) {
		a.then()
	}
	return n, err
}

func TestFindingsOfOneSlugAreLoggedOnce(t *testing.T) {
	warn := check.Finding{Slug: "a", Severity: check.Warning, Summary: "one", Remedy: "run the SQL", SQL: "SELECT 1;\nSELECT 2;"}
	lines := logLines(check.Report{Findings: []check.Finding{warn, warn, {Slug: "b", Severity: check.Info, Summary: "two"}, {Slug: "c", Severity: check.Error, Summary: "three", Remedy: "do", Command: "tool"}}})
	if len(lines) != 2 || lines[0] != (logLine{"a", "warning", "one (and 1 more: livedb check lists all)", "run the SQL: SELECT 1; SELECT 2;"}) || lines[1].remedy != "do: tool" {
		t.Errorf("%+v", lines)
	}
}

// Nothing of a URL's secrets is told.
func TestCheckHidesThePassword(t *testing.T) {
	report := check.Run(t.Context(), check.Config{Stream: capture.Config{Prefix: "p", Partitions: 1, Source: postgres.Config{URL: "postgres://u:hidden@" + closedPort(t) + "/db?sslmode=disable"}}})
	var b bytes.Buffer
	if err := printCheck(&b, report, nil); err != nil || strings.Contains(b.String(), "hidden") || !strings.Contains(b.String(), "source_unreachable") {
		t.Errorf("%v: %s", err, b.String())
	}
}
