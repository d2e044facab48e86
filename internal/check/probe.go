package check

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/livedb/livedb/cdc/postgres"
)

// ProbeName begins the name of everything that a probe makes.
const ProbeName = "livedb_probe_"

// Times of a probe.
const (
	probeLimit   = 2 * time.Minute
	probeStep    = 20 * time.Second
	probeCleanUp = 15 * time.Second
	probeEvents  = 5
)

// Outcome says how a trial ended.
type Outcome string

// The outcomes.
const (
	Yes      Outcome = "yes"
	No       Outcome = "no"
	Shown    Outcome = "shown"     // a value, which is neither right nor wrong
	NotTried Outcome = "not tried" // it takes a person
)

// ProbeItem is one trial.
type ProbeItem struct {
	What    string  `json:"what"`
	Outcome Outcome `json:"outcome"`
	Seen    string  `json:"seen"`
}

// ProbeReport is what a probe saw.
type ProbeReport struct {
	Server string      `json:"server"`
	Items  []ProbeItem `json:"items"`
	Left   string      `json:"left"` // SQL that removes what the probe could not; empty if all is gone
}

// probe is one run. The name is that of its schema, its publication and, with an ending, of its slots.
type probe struct {
	config postgres.Config
	name   string
	conn   *pgx.Conn
	report *ProbeReport
	made   bool // there are a table and a publication to try with
}

// Probe tries on the live server what only it can tell, with a schema, a publication and slots of its own, and removes them
// again whatever happens. It takes up to two minutes.
func Probe(ctx context.Context, c postgres.Config) *ProbeReport {
	p := &probe{config: c, name: ProbeName + strings.ToLower(rand.Text()[:12]), report: &ProbeReport{}}
	if cc, err := postgres.Parse(c.URL); err == nil {
		p.report.Server = postgres.Address(cc)
	}
	ctx, cancel := context.WithTimeout(ctx, probeLimit)
	defer cancel()
	conn, err := postgres.Connect(ctx, c)
	if err != nil {
		p.note("connect", No, err.Error())
		return p.report
	}
	p.conn = conn
	defer p.cleanUp(context.WithoutCancel(ctx))
	p.note("version", Shown, conn.PgConn().ParameterStatus("server_version"))
	for _, trial := range []struct {
		what string
		try  func(ctx context.Context) (Outcome, string, error)
	}{
		{"settings given as options=-c hold on a replication connection, over those of the role", p.options},
		{"SET holds on a replication connection", p.set},
		{"limits and timeouts", p.limits},
		{"identity: what SQL and the replication connection say", p.identity},
		{"ALTER ROLE … WITH REPLICATION by this role", p.alterRole},
		{"a table and a publication can be made", p.make},
		{"a slot and an event: publication, slot, insert, and the event of it", p.stream},
		{"a temporary copy of a slot, and START_REPLICATION on the same connection", p.copy},
		{"wal_sender_timeout of 2 s ends a silent connection", p.senderTimeout},
		{"pg_ls_logicalsnapdir() can be read", p.snapshots},
	} {
		p.try(ctx, trial.what, trial.try)
	}
	for _, what := range []string{"suspend with a slot, wake by a connection, time to the first event", "what a branch restore does to the slots, to neon.timeline_id and to the system identifier",
		"a fast stop of the compute while the stream is connected and Kafka stands still", "whether the walsender waits for the quorum of safekeepers"} {
		p.note(what, NotTried, "by hand")
	}
	return p.report
}

func (p *probe) note(what string, outcome Outcome, seen string) {
	p.report.Items = append(p.report.Items, ProbeItem{what, outcome, seen})
}

func (p *probe) try(ctx context.Context, what string, do func(ctx context.Context) (Outcome, string, error)) {
	ctx, cancel := context.WithTimeout(ctx, probeStep)
	defer cancel()
	outcome, seen, err := do(ctx)
	if err != nil {
		outcome, seen = No, strings.TrimSpace(seen+" "+postgres.Mask(err.Error(), p.config.URL))
	}
	p.note(what, outcome, seen)
}

// replication opens a replication connection with the given settings as options.
func (p *probe) replication(ctx context.Context, settings ...string) (*pgconn.PgConn, error) {
	cc, err := postgres.Parse(p.config.URL)
	if err != nil {
		return nil, err
	}
	cc.RuntimeParams["replication"] = "database"
	cc.RuntimeParams["application_name"] = p.name
	for _, s := range settings {
		cc.RuntimeParams["options"] += " -c " + s
	}
	return pgconn.ConnectConfig(ctx, &cc.Config)
}

// closeNow ends a connection without waiting for the server.
func closeNow(conn *pgconn.PgConn) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	conn.Close(ctx) // it is closed either way
}

// value runs a query of one value.
func value(ctx context.Context, conn *pgconn.PgConn, sql string) (string, error) {
	results, err := conn.Exec(ctx, sql).ReadAll()
	if err != nil {
		return "", err
	}
	if len(results) != 1 || len(results[0].Rows) != 1 {
		return "", fmt.Errorf("%s gave no value", sql)
	}
	return string(results[0].Rows[0][0]), nil
}

// options reads back every setting that LiveDB gives: its own start does so and refuses a difference.
func (p *probe) options(ctx context.Context) (Outcome, string, error) {
	conn, err := postgres.Dial(ctx, p.config)
	if err != nil {
		return No, "", err
	}
	conn.Close()
	return Yes, "all that LiveDB sets were read back, wal_sender_timeout among them", nil
}

func (p *probe) set(ctx context.Context) (Outcome, string, error) {
	conn, err := p.replication(ctx)
	if err != nil {
		return No, "", err
	}
	defer closeNow(conn)
	if _, err := conn.Exec(ctx, "SET wal_sender_timeout = '7s'").ReadAll(); err != nil {
		return No, "", err
	}
	got, err := value(ctx, conn, "SHOW wal_sender_timeout")
	if got == "7s" {
		return Yes, "wal_sender_timeout is 7s after SET", err
	}
	return No, fmt.Sprintf("wal_sender_timeout is %s after SET to 7s", got), err
}

// limits reads them on a connection that sets none of them.
func (p *probe) limits(ctx context.Context) (Outcome, string, error) {
	conn, err := p.replication(ctx)
	if err != nil {
		return No, "", err
	}
	defer closeNow(conn)
	var seen []string
	for _, name := range []string{"wal_level", "max_replication_slots", "max_wal_senders", "max_slot_wal_keep_size", "wal_sender_timeout",
		"idle_in_transaction_session_timeout", "statement_timeout", "transaction_timeout", "idle_replication_slot_timeout", "neon.logical_replication_max_snap_files"} {
		shown, err := value(ctx, conn, fmt.Sprintf("SELECT coalesce(current_setting(%s, true), '')", literal(name)))
		if err != nil {
			return No, strings.Join(seen, ", "), err
		}
		if shown != "" {
			seen = append(seen, name+" = "+shown)
		}
	}
	return Shown, strings.Join(seen, ", "), nil
}

func (p *probe) identity(ctx context.Context) (Outcome, string, error) {
	identity, err := postgres.Identify(ctx, p.config)
	if err != nil {
		return No, "", err
	}
	var neon, lsn string
	if err := p.conn.QueryRow(ctx, "SELECT coalesce(current_setting('neon.timeline_id', true), 'none'), pg_current_wal_lsn()::text").Scan(&neon, &lsn); err != nil {
		return No, "", err
	}
	return Shown, fmt.Sprintf("system identifier %s, timeline %d, database %s, flushed to %s; neon.timeline_id %s, pg_current_wal_lsn %s",
		identity.SystemID, identity.Timeline, identity.Database, identity.Current, neon, lsn), nil
}

// alterRole tries on a role that is never committed.
func (p *probe) alterRole(ctx context.Context) (Outcome, string, error) {
	tx, err := p.conn.Begin(ctx)
	if err != nil {
		return No, "", err
	}
	defer tx.Rollback(context.WithoutCancel(ctx)) // an error here says that the connection is gone, and the role with it
	if _, err := tx.Exec(ctx, "CREATE ROLE "+ident(p.name)); err != nil {
		return No, "this role may not make others:", err
	}
	if _, err := tx.Exec(ctx, "ALTER ROLE "+ident(p.name)+" WITH REPLICATION"); err != nil {
		return No, "", err
	}
	return Yes, "on a role that was rolled back", nil
}

func (p *probe) snapshots(ctx context.Context) (Outcome, string, error) {
	s, err := readSnapshots(ctx, p.conn)
	if err != nil {
		return No, "", err
	}
	if s.Every == 0 {
		return Yes, fmt.Sprintf("%d files", s.Files), nil
	}
	return Yes, fmt.Sprintf("%d files, one every %s", s.Files, s.Every.Round(time.Second)), nil
}

// errNotMade says that a trial has nothing to work with.
var errNotMade = errors.New("there is no table and no publication to try it with")

func (p *probe) make(ctx context.Context) (Outcome, string, error) {
	for _, sql := range []string{"CREATE SCHEMA %[1]s", "CREATE TABLE %[1]s.t (id int PRIMARY KEY, at timestamptz NOT NULL)", "CREATE PUBLICATION %[1]s FOR TABLE %[1]s.t"} {
		if _, err := p.conn.Exec(ctx, fmt.Sprintf(sql, ident(p.name))); err != nil {
			return No, "", err
		}
	}
	p.made = true
	return Yes, "", nil
}
