package migrations

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"hash/fnv"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3"

	"github.com/livedb/livedb/cdc/postgres"
)

// lockTimeout is how long Up waits for another one that migrates the same schema, and for whoever locks its tables.
const lockTimeout = "60s"

// Migration is one file and whether the schema has it.
type Migration struct {
	Version int64     `json:"version"`
	Name    string    `json:"name"`
	Applied time.Time `json:"applied"` // zero while it is pending
}

// Up makes the schema if it is missing and applies what it lacks, and returns how many migrations that were. Any number may
// run at a time; they wait for each other. The URL must be of a direct endpoint, for the lock belongs to the session.
func Up(ctx context.Context, url, schema string) (applied int, err error) {
	s, err := open(url, schema)
	if err != nil {
		return 0, err
	}
	defer s.close(&err)

	if err := s.create(ctx); err != nil {
		return 0, err
	}
	provider, err := s.provider(goose.WithSessionLocker(lockOf(schema)))
	if err != nil {
		return 0, err
	}
	results, err := provider.Up(ctx)
	if err != nil {
		return 0, s.failed("apply migrations to", err)
	}
	return len(results), nil
}

// Status lists all migrations, oldest first. It changes nothing.
func Status(ctx context.Context, url, schema string) (_ []Migration, err error) {
	s, err := open(url, schema)
	if err != nil {
		return nil, err
	}
	defer s.close(&err)

	provider, err := s.provider()
	if err != nil {
		return nil, err
	}
	var list []Migration
	for _, source := range provider.ListSources() {
		list = append(list, Migration{Version: source.Version, Name: source.Path})
	}

	// goose's own status would make its table.
	var begun bool
	if err := s.db.QueryRowContext(ctx, "SELECT to_regclass($1) IS NOT NULL", goose.DefaultTablename).Scan(&begun); err != nil {
		return nil, s.failed("read the migrations of", err)
	}
	if !begun {
		return list, nil
	}
	status, err := provider.Status(ctx)
	if err != nil {
		return nil, s.failed("read the migrations of", err)
	}
	for i, m := range status {
		list[i].Applied = m.AppliedAt
	}
	return list, nil
}

// target is one schema of one database.
type target struct {
	db     *sql.DB
	config *pgx.ConnConfig
	url    string
	schema string
}

func open(url, schema string) (*target, error) {
	if schema == "" {
		return nil, errors.New("no schema is given; name the one that shall hold the demo's tables")
	}
	config, err := postgres.Parse(url)
	if err != nil {
		return nil, err
	}
	config.RuntimeParams["application_name"] = "livedb/migrate"

	// Set, not sent at the start: Neon's proxy drops such parameters, and the tables would go to another schema.
	path := func(ctx context.Context, conn *pgx.Conn) error {
		_, err := conn.Exec(ctx, "SELECT set_config('search_path', $1, false), set_config('lock_timeout', $2, false),"+
			" set_config('statement_timeout', '0', false)", pgx.Identifier{schema}.Sanitize(), lockTimeout)
		return err
	}
	return &target{db: stdlib.OpenDB(*config, stdlib.OptionAfterConnect(path)), config: config, url: url, schema: schema}, nil
}

func (s *target) close(err *error) {
	*err = errors.Join(*err, s.db.Close())
}

func (s *target) provider(options ...goose.ProviderOption) (*goose.Provider, error) {
	options = append(options, goose.WithDisableGlobalRegistry(true))
	return goose.NewProvider(goose.DialectPostgres, s.db, FS, options...)
}

// create makes the schema. It asks first, because CREATE SCHEMA IF NOT EXISTS wants a right on the database even where
// the schema exists.
func (s *target) create(ctx context.Context) error {
	var exists bool
	err := s.db.QueryRowContext(ctx, "SELECT EXISTS (SELECT FROM pg_namespace WHERE nspname = $1)", s.schema).Scan(&exists)
	if err == nil && !exists {
		_, err = s.db.ExecContext(ctx, "CREATE SCHEMA IF NOT EXISTS "+pgx.Identifier{s.schema}.Sanitize())
	}
	// Of two that create it at the same time one fails, and the schema exists.
	if code := sqlState(err); code == "23505" || code == "42P06" {
		return nil
	}
	if err != nil {
		return s.failed("create", err)
	}
	return nil
}

// failed says what could not be done, without the password that pgx may repeat, and what to do.
func (s *target) failed(verb string, err error) error {
	remedy := "mend what it names and run livedb migrate again"
	switch code := sqlState(err); {
	case code == "42501":
		remedy = fmt.Sprintf("let %s create in the schema, or in the database if the schema is missing", s.config.User)
	case code == "28P01" || code == "28000":
		remedy = "check user and password of the source"
	case code == "42P07" || code == "42710":
		remedy = "the schema holds tables of another origin: name another schema"
	case code == "55P03":
		remedy = "another session holds what is needed: end it, then run livedb migrate again"
	case code == "":
		remedy = "check that the source runs and that no other livedb migrate hangs"
	}
	return fmt.Errorf("cannot %s the schema %s in %s (%w); %s", verb, s.schema, postgres.Address(s.config),
		maskedError{text: postgres.Mask(err.Error(), s.url), err: err}, remedy)
}

// maskedError tells an error without its secrets and keeps it for errors.As.
type maskedError struct {
	text string
	err  error
}

func (e maskedError) Error() string { return e.text }
func (e maskedError) Unwrap() error { return e.err }

func sqlState(err error) string {
	if e, ok := errors.AsType[*pgconn.PgError](err); ok {
		return e.Code
	}
	return ""
}

// schemaLock is the advisory lock of a schema's migrations: each has its own. Unlike goose's, who waits for it is woken.
type schemaLock int64

func lockOf(schema string) schemaLock {
	h := fnv.New64a()
	h.Write([]byte("livedb/migrate/" + schema))
	return schemaLock(h.Sum64())
}

// SessionLock waits for the lock.
func (l schemaLock) SessionLock(ctx context.Context, conn *sql.Conn) error {
	_, err := conn.ExecContext(ctx, "SELECT pg_advisory_lock($1)", int64(l))
	return err
}

// SessionUnlock gives the lock back.
func (l schemaLock) SessionUnlock(ctx context.Context, conn *sql.Conn) error {
	_, err := conn.ExecContext(ctx, "SELECT pg_advisory_unlock($1)", int64(l))
	return err
}
