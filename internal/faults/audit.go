//go:build unix

package faults

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/livedb/livedb/internal/audit"
)

// audited is what livedb audit prints.
type audited struct {
	Stream *audit.StreamReport `json:"stream"`
	Source *audit.SourceReport `json:"source"`
	State  *audit.StateReport  `json:"state"`
	Failed map[string]string   `json:"failed"`
	Proven bool                `json:"proven"`
}

// audit runs livedb audit and sees that each audit judged the whole stream. The state comes first: the others write to
// the source's WAL, and an idle stream takes its time to follow.
func (r *round) audit(ctx context.Context) error {
	state, stateErr := r.runAudit(ctx, "state")
	if stateErr == nil {
		r.result.Tables = state.State.Judged()
		stateErr = errors.Join(r.take("state", &state.State.Verdict, state.State.Seq), r.checkTables(ctx, state.State.Tables))
	}
	both, err := r.runAudit(ctx, "stream,source")
	if err != nil {
		return errors.Join(stateErr, err)
	}
	return errors.Join(stateErr, r.take("stream", &both.Stream.Verdict, both.Stream.Events), r.take("source", &both.Source.Verdict, both.Source.Events))
}

// checkTables sees that the state audit judged every table whose events tell its rows, whatever was done to them: those with
// REPLICA IDENTITY FULL, but for the ones whose columns change.
func (r *round) checkTables(ctx context.Context, tables []audit.TableState) error {
	judged := []string{}
	for _, t := range tables {
		if t.Judged {
			judged = append(judged, t.Table)
		}
	}
	conn, err := pgx.Connect(ctx, r.postgres.URL())
	if err != nil {
		return err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	var missed string
	err = conn.QueryRow(ctx, `SELECT coalesce(string_agg(relname, ', '), '') FROM pg_class WHERE oid = ANY ($1::text[]::regclass[])
		AND relreplident = 'f' AND relname NOT LIKE 'changing%' AND oid <> ALL ($2::text[]::regclass[])`, r.tables, judged).Scan(&missed)
	if err == nil && missed != "" {
		err = fmt.Errorf("the state audit did not judge %s", missed)
	}
	return err
}

// runAudit runs some of the audits.
func (r *round) runAudit(ctx context.Context, only string) (a audited, err error) {
	log, err := r.open("audit")
	if err != nil {
		return a, err
	}
	defer log.Close()
	printed, ended := runProcess(ctx, log, r.Livedb, "audit", "--json", "--only", only, "--source", r.postgres.URL(), "--slot", r.slot(),
		"--publication", r.slot(), "--kafka", strings.Join(r.Kafka.Addresses, ","), "--prefix", r.prefix, "--oracle-slot", oracleSlot,
		"--open-limit", transactionTimeout.String())
	if err := json.Unmarshal([]byte(printed), &a); err != nil {
		return a, fmt.Errorf("livedb audit --only %s ended (%v) and printed %q: %w", only, ended, printed, err)
	}
	if len(a.Failed) > 0 {
		return a, fmt.Errorf("these audits could not be made: %v", a.Failed)
	}
	if a.Proven != (ended == nil) {
		return a, fmt.Errorf("livedb audit --only %s says proven: %t, and ended with %v", only, a.Proven, ended)
	}
	return a, nil
}

// take adds up what an audit found.
func (r *round) take(name string, v *audit.Verdict, events uint64) error {
	for kind, n := range v.Counts {
		r.result.Audit[kind] += n
	}
	switch {
	case v.OK() && events == r.result.Events:
		return nil
	case v.OK():
		return fmt.Errorf("the %s audit judged %d events of %d", name, events, r.result.Events)
	}
	var findings strings.Builder
	for _, f := range v.Findings {
		fmt.Fprintln(&findings, f)
	}
	return errors.Join(fmt.Errorf("the %s audit counts %v; the first: %s", name, v.Counts, v.Findings[0]),
		os.WriteFile(filepath.Join(r.dir, "findings-"+name+".log"), []byte(findings.String()), 0o644))
}
