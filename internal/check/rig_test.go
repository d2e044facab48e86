package check_test

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/livedb/livedb/cdc/postgres"
	"github.com/livedb/livedb/internal/capture"
	"github.com/livedb/livedb/internal/check"
	"github.com/livedb/livedb/internal/devstack"
	"github.com/livedb/livedb/internal/kafka"
)

func TestMain(m *testing.M) {
	os.Exit(devstack.RunTests(m))
}

// rig is a source, perhaps a Kafka, and what is to be checked there.
type rig struct {
	t      *testing.T
	name   string // of the database, the slot and, with dashes, the prefix
	admin  *pgx.Conn
	config check.Config
	object string // that a finding is to be about, where only the rig knows it
}

func newRig(t *testing.T, statements ...string) *rig {
	t.Helper()
	return rigOn(t, devstack.TestDatabase(t, devstack.SharedPostgres(t)), statements...)
}

func rigOn(t *testing.T, url string, statements ...string) *rig {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close(context.Background()) })
	name := conn.Config().Database
	r := &rig{t: t, name: name, admin: conn, config: check.OwnRules(check.Config{Stream: capture.Config{Log: slog.New(slog.DiscardHandler),
		Source: postgres.Config{URL: url, Slot: name, Publication: "livedb"},
		Prefix: "s-" + strings.ReplaceAll(name, "_", "-"), Partitions: 3}})}
	r.exec(statements...)
	return r
}

// exec runs statements as the superuser, each by itself. In them $ stands for the rig's name.
func (r *rig) exec(statements ...string) {
	r.t.Helper()
	for _, s := range statements {
		s = strings.ReplaceAll(s, "$", r.name)
		if _, err := r.admin.Exec(r.t.Context(), s, pgx.QueryExecModeSimpleProtocol); err != nil {
			r.t.Fatalf("%s: %v", s, err)
		}
	}
}

// part is a rig in the same database, with a schema, a slot and a publication of its own, all of one name.
func (r *rig) part(i int) *rig {
	r.t.Helper()
	p := rigOn(r.t, r.config.Stream.Source.URL)
	p.name = fmt.Sprintf("%s_%d", r.name, i)
	p.config.Stream.Source.Slot, p.config.Stream.Source.Publication = p.name, p.name
	p.config.Stream.Prefix += fmt.Sprintf("-%d", i)
	p.exec("CREATE SCHEMA $", "SET search_path = $")
	return p
}

// as has the source be looked at by another role, which is made.
func (r *rig) as(options string) {
	r.t.Helper()
	role := r.name + "_role"
	r.exec("CREATE ROLE " + role + " LOGIN " + options)
	r.t.Cleanup(func() {
		for _, s := range []string{"DROP OWNED BY " + role, "DROP ROLE " + role} {
			if _, err := r.admin.Exec(context.Background(), s); err != nil {
				r.t.Error(err)
			}
		}
	})
	r.config.Stream.Source.URL = strings.Replace(r.config.Stream.Source.URL, "postgres@", role+"@", 1)
}

// brokers gives the rig a Kafka.
func (r *rig) brokers() *rig {
	r.t.Helper()
	r.config.Stream.Kafka = kafka.Config{Brokers: devstack.TestKafka(r.t), ClientID: "livedb/test"}
	return r
}

// run checks.
func (r *rig) run() check.Report {
	r.t.Helper()
	return check.Run(r.t.Context(), r.config)
}

// find returns the finding with a slug about an object, whose name may be told by its end.
func find(report check.Report, slug, object string) *check.Finding {
	for i, f := range report.Findings {
		if f.Slug == slug && strings.HasSuffix(f.Object, object) {
			return &report.Findings[i]
		}
	}
	return nil
}

// slugs lists what a report found.
func slugs(report check.Report) []string {
	var all []string
	for _, f := range report.Findings {
		all = append(all, f.Slug+" "+f.Object)
	}
	return all
}

// has holds that the check finds this, told as a finding must be.
func (r *rig) has(slug, object string) check.Finding {
	r.t.Helper()
	report := r.run()
	f := find(report, slug, strings.ReplaceAll(object, "$", r.name))
	if f == nil {
		r.t.Fatalf("no %s of %q among %q", slug, object, slugs(report))
	}
	told(r.t, *f)
	return *f
}

// told holds what every finding must tell.
func told(t *testing.T, f check.Finding) {
	t.Helper()
	if f.Summary == "" || f.Remedy == "" || f.Object == "" || !slices.Contains(check.Scopes, f.Scope) || !f.Severity.AtLeast(check.Info) {
		t.Errorf("not whole: %+v", f)
	}
	for _, text := range []string{f.Summary, f.Remedy} {
		if strings.ContainsAny(text, "\n") || strings.Contains(text, "%!") || strings.HasSuffix(text, ".") {
			t.Errorf("not a sentence: %q", text)
		}
	}
	if strings.Contains(f.Summary+f.Detail+f.SQL+f.Command, "%!") {
		t.Errorf("badly formatted: %+v", f)
	}
}

// gone holds that the check does not find this any more. Some things end a moment after they were told to.
func (r *rig) gone(slug, object string) {
	r.t.Helper()
	object = strings.ReplaceAll(object, "$", r.name)
	deadline := time.Now().Add(10 * time.Second)
	for {
		report := r.run()
		f := find(report, slug, object)
		if f == nil {
			return
		}
		if time.Now().After(deadline) {
			r.t.Fatalf("still found: %+v", *f)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// mend runs the SQL of a finding as it is printed, a statement at a time as psql does.
func (r *rig) mend(f check.Finding) {
	r.t.Helper()
	if f.SQL == "" {
		r.t.Fatalf("no SQL mends %+v", f)
	}
	for _, statement := range strings.Split(f.SQL, ";\n") {
		r.exec(strings.TrimSuffix(statement, ";"))
	}
}

// agrees holds that what the start refuses was found.
func (r *rig) agrees() {
	r.t.Helper()
	report := r.run()
	name := refusalOf(kafka.Named(capture.Preflight(r.t.Context(), r.config.Stream)))
	if name == "" {
		if report.Count(check.Critical) > 0 {
			r.t.Errorf("the start goes on, and these were found: %q", slugs(report))
		}
		return
	}
	for _, f := range report.Findings {
		if f.Slug == name && f.Severity.AtLeast(check.Error) {
			return
		}
	}
	r.t.Errorf("the start refuses with %s, and these were found: %q", name, slugs(report))
}
