package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/livedb/livedb/cdc"
	"github.com/livedb/livedb/cdc/postgres"
	"github.com/livedb/livedb/internal/capture"
	"github.com/livedb/livedb/internal/check"
	"github.com/livedb/livedb/producer"
)

// checkCommand finds what is wrong with a source, a Kafka and the stream between them.
type checkCommand struct {
	sourceFlags
	streamFlags
	kafkaFlags
	topicFlags

	Scope []string `name:"scope" placeholder:"SCOPE" help:"Of the findings of source, neon, kafka and config, only these."`
	JSON  bool     `name:"json" help:"Print one JSON object."`
	Probe bool     `name:"probe" help:"Also try, with a slot, a publication and a table of its own, what only the live server can tell. Asks first."`
	Yes   bool     `name:"yes" help:"Do not ask before a probe."`
}

// checkError says that the check went well and found something that must be mended.
type checkError struct{ errors, criticals int }

func (e *checkError) Error() string {
	return fmt.Sprintf("the check found what must be mended (%d critical, %d errors): see above for the line that mends each", e.criticals, e.errors)
}

// Run implements the command.
func (c *checkCommand) Run(i *invocation) error {
	config, err := c.config()
	if err != nil {
		return err
	}
	if c.Probe {
		if err := c.ask(i); err != nil {
			return err
		}
	}
	report := check.Run(i.ctx, config)
	if i.ctx.Err() != nil {
		return i.ctx.Err()
	}
	var probe *check.ProbeReport
	if c.Probe {
		probe = check.Probe(i.ctx, config.Stream.Source)
	}
	if c.JSON {
		err = printCheckJSON(i.out, report, probe)
	} else {
		err = printCheck(i.out, report, probe)
	}
	return errors.Join(err, verdict(report, probe))
}

// config is what is to be checked.
func (c *checkCommand) config() (check.Config, error) {
	config := check.Config{Stream: captureConfig(c.kafkaFlags, c.topicFlags, c.sourceFlags.config(c.streamFlags), 0)}
	for _, name := range c.Scope {
		if !slices.Contains(check.Scopes, check.Scope(name)) {
			return config, &usageError{fmt.Sprintf("--scope names %q, which is no scope", name), "name some of config, source, neon and kafka"}
		}
		config.Scopes = append(config.Scopes, check.Scope(name))
	}
	asks := func(scopes ...string) bool {
		return len(c.Scope) == 0 || slices.ContainsFunc(scopes, func(s string) bool { return slices.Contains(c.Scope, s) })
	}
	noSource, noKafka := c.Source.Reveal() == "", len(c.Kafka) == 0
	switch {
	case noSource && noKafka && len(c.Scope) == 0, noSource && (c.Probe || len(c.Scope) > 0 && asks("source", "neon")):
		_, err := postgres.Parse("")
		return config, err
	case noKafka && len(c.Scope) > 0 && asks("kafka"):
		return config, &usageError{"--scope names kafka, and no Kafka is given", "name its brokers with --kafka"}
	}
	return config, nil
}

// ask makes sure that a probe may write to the source.
func (c *checkCommand) ask(i *invocation) error {
	cc, err := postgres.Parse(c.Source.Reveal())
	if err != nil || c.Yes {
		return err
	}
	fmt.Fprintf(i.err, "The probe will make a schema, a table, a publication and replication slots named %s… in %s, write some rows there, and remove all of it again. Go on? [y/N] ",
		check.ProbeName, postgres.Address(cc))
	yes, err := i.confirm()
	if err == nil && !yes {
		err = &cdc.Refusal{Name: "not_confirmed", Problem: "the probe was not allowed to write to " + postgres.Address(cc), Remedy: "answer y, or pass --yes"}
	}
	return err
}

// verdict says how the command ends: with an error if something must be mended, or if nothing could be checked at all.
func verdict(r check.Report, probe *check.ProbeReport) error {
	switch {
	case r.Bad():
		return &checkError{r.Count(check.Error), r.Count(check.Critical)}
	case r.Checks > 0 && r.Stale == r.Checks:
		return errors.New("nothing could be checked: see above for the reasons")
	case probe != nil && probe.Left != "":
		return errors.New("the probe could not remove all that it had made: run " + probe.Left)
	}
	return nil
}

// captureConfig is the role cdc's configuration, without what it reports to.
func captureConfig(k kafkaFlags, t topicFlags, source postgres.Config, retention int64) capture.Config {
	version, _ := build()
	limits := producer.Limits{Linger: t.Linger, Bytes: t.BatchBytes, Events: t.BatchEvents}
	brokers := k.config("cdc")
	brokers.TransactionTimeout, brokers.Compression = t.TransactionTimeout, t.Compression
	if retention > 0 {
		limits.RepeatTopology = 1000
	}
	return capture.Config{Source: source, Kafka: brokers, Prefix: k.Prefix, Partitions: t.Partitions, RetentionBytes: retention, Limits: limits, Version: version}
}

// startLimit bounds the check beside the start of a role.
const startLimit = 5 * time.Second

// checkBeside checks what a role has just been started on, and logs what deserves a look. It never ends the role.
func (h *host) checkBeside(c capture.Config) {
	config := check.Config{Stream: c, Started: true, Limit: startLimit}
	config.Stream.Kafka.ClientID = "livedb/check"
	if c.RetentionBytes > 0 { // an embedded Kafka, which lives no longer than we do
		config.Scopes, config.Stream.Kafka.Brokers = []check.Scope{check.Source, check.Neon}, nil
	}
	h.group.Go(func() error {
		ctx, cancel := context.WithTimeout(h.ctx, startLimit)
		defer cancel()
		found := check.Run(ctx, config)
		if h.ctx.Err() != nil {
			return nil
		}
		for _, line := range logLines(found) {
			c.Log.Warn("check: "+line.summary, "finding", line.slug, "severity", line.severity, "remedy", line.remedy)
		}
		c.Status.Text("findings", counts(found))
		return nil
	})
}

// logLine is what is logged of the findings of one slug.
type logLine struct{ slug, severity, summary, remedy string }

// logLines gives one line for each slug of severity warning or above.
func logLines(r check.Report) []logLine {
	var lines []logLine
	at := map[string]int{}
	more := map[string]int{}
	for _, f := range r.Findings {
		if !f.Severity.AtLeast(check.Warning) {
			continue
		}
		if _, known := at[f.Slug]; known {
			more[f.Slug]++
			continue
		}
		at[f.Slug] = len(lines)
		lines = append(lines, logLine{f.Slug, string(f.Severity), f.Summary, remedyOf(f)})
	}
	for slug, n := range more {
		lines[at[slug]].summary += fmt.Sprintf(" (and %d more: livedb check lists all)", n)
	}
	return lines
}

// remedyOf is the remedy on one line.
func remedyOf(f check.Finding) string {
	switch {
	case f.SQL != "":
		return f.Remedy + ": " + strings.ReplaceAll(f.SQL, "\n", " ")
	case f.Command != "":
		return f.Remedy + ": " + f.Command
	}
	return f.Remedy
}
