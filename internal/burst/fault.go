package burst

import (
	"errors"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/livedb/livedb/cdc"
	"github.com/livedb/livedb/cdc/postgres"
)

// final tells that trying again would fail again. Everything else may pass: a restart of the server, a deadlock, a full
// disk.
func final(err error, closed bool) bool {
	if _, refused := errors.AsType[*cdc.Refusal](err); refused {
		return true
	}
	e, ok := errors.AsType[*pgconn.PgError](err)
	if !ok {
		return !closed // not from the server and not of the network: such as a value that pgx cannot encode
	}
	switch e.Code[:min(2, len(e.Code))] {
	case "08", "23", "40", "53", "55", "57", "58", "XX":
		return strings.Contains(e.Message, "quota") // Neon's: a retry would be one of a storm
	case "25":
		return e.Code == "25006" // read only; the others are time limits
	default:
		return true
	}
}

// explain puts an error into words: what is wrong and what to do.
func explain(err error, cfg *Config, source *pgx.ConnConfig) error {
	if refusal, ok := errors.AsType[*cdc.Refusal](err); ok {
		return refusal
	}
	where := postgres.Address(source)
	refuse := func(name, problem, remedy string) error {
		return &cdc.Refusal{Name: name, Problem: problem, Remedy: remedy, Err: err}
	}
	e, ok := errors.AsType[*pgconn.PgError](err)
	if !ok {
		return fmt.Errorf("burst: %w", maskedError{text: postgres.Mask(err.Error(), cfg.URL), err: err})
	}
	switch {
	case e.Code == "42P01" || e.Code == "42703" || e.Code == "42704" || e.Code == "3F000":
		return refuse("demo_tables_missing", fmt.Sprintf("the schema %s in %s lacks the demo's tables, or hides them from %s (%s)", cfg.Schema, where, source.User, e.Message),
			"run livedb migrate --schema "+cfg.Schema)
	case e.Code == "42501":
		return refuse("write_denied", fmt.Sprintf("the role %s may not write in the schema %s (%s)", source.User, cfg.Schema, e.Message),
			"run livedb migrate as this role, or grant it SELECT, INSERT, UPDATE and DELETE on the tables and USAGE on schema and sequences")
	case e.Code == "25006":
		return refuse("source_read_only", fmt.Sprintf("the source %s is read only", where), "name the primary")
	case e.Code == "28P01" || e.Code == "28000":
		return refuse("source_login_refused", fmt.Sprintf("the source %s refuses the user %s (%s)", where, source.User, e.Message),
			"check the user and password of --source")
	case e.Code == "3D000":
		return refuse("source_database_missing", fmt.Sprintf("the source %s has no database %s", where, source.Database),
			"name an existing database at the end of --source")
	}
	return fmt.Errorf("burst: the source %s refused (%w); mend what it names", where, err)
}

// maskedError tells an error without its secrets and keeps it for errors.As.
type maskedError struct {
	text string
	err  error
}

func (e maskedError) Error() string { return e.text }
func (e maskedError) Unwrap() error { return e.err }
