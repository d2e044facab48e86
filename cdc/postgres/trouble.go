package postgres

import (
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/livedb/livedb/cdc"
)

// Patience says how long to go on asking a source that gave an error.
type Patience byte

// From the shortest pauses to none at all.
const (
	Soon      Patience = iota + 1 // it may pass at any moment: ask often, so that the stream goes on as soon as it has
	Usual                         // nobody knows
	Seldom                        // the source answers and has no place for us: to ask often would make it worse
	Rewritten                     // as Soon for one whom this source has served before, whose own files are being changed; else as Never
	Served                        // as Seldom for one whom this source has served before; else as Never
	Never                         // trying again will not help: a person has to do something
)

// answer is what a server, a proxy or a pooler says when it does not do what it was asked, and what follows from it.
type answer struct {
	code     string   // SQLSTATE; empty: whatever it is. Neon's proxy gives XX000 for everything
	says     []string // all of these parts stand in the message
	reason   string   // the name of the refusal, or the label of a new start
	patience Patience
}

// answers are tried in this order. What no row fits, and a refusal that no row names, is judged by Judge.
var answers = []answer{
	// What a person has to mend.
	{"", []string{"exceeded", "quota"}, "source_quota_exceeded", Never},
	{"", []string{"Disk quota exceeded"}, "source_quota_exceeded", Never},
	{"", []string{"limit of concurrently active endpoints"}, "source_quota_exceeded", Never},
	{"", []string{"unsupported startup parameter"}, "pooled_endpoint", Never},
	{"42601", []string{"IDENTIFY_SYSTEM"}, "pooled_endpoint", Never},
	{"42601", []string{"START_REPLICATION"}, "pooled_endpoint", Never},
	{"42601", []string{"CREATE_REPLICATION_SLOT"}, "pooled_endpoint", Never},
	{"", []string{"Endpoint ID is not specified"}, "source_name_required", Never},
	{"", []string{"project name inferred from SNI"}, "source_name_required", Never},
	{"", []string{"connection is insecure"}, "source_tls_required", Never},
	{"", []string{"endpoint", "could not be found"}, "source_endpoint_missing", Never},
	{"", []string{"endpoint cannot be found"}, "source_endpoint_missing", Never},
	{"", []string{"endpoint is disabled"}, "source_endpoint_missing", Never},
	{"3D000", nil, "source_database_missing", Never},
	{"", []string{"must be superuser or replication role"}, "role_lacks_replication", Never},
	{"", []string{"permission denied to start WAL sender"}, "role_lacks_replication", Never},

	// What a person changes while the stream runs, and does not change on both sides in the same moment.
	{"28P01", nil, "source_login_refused", Served},
	{"28000", nil, "source_login_refused", Served},
	{"", []string{"password authentication failed"}, "source_login_refused", Served},
	{"", []string{"is not allowed to connect to this endpoint"}, "source_address_refused", Served},
	{"25006", nil, "source_is_replica", Served},
	{"", []string{"recovery is in progress"}, "source_is_replica", Served},

	// What passes by itself.
	{"57P01", nil, "source_stopped", Soon},  // admin_shutdown: a restart, an operator, or Neon's worker that drops slots
	{"57P02", nil, "source_stopped", Soon},  // crash_shutdown
	{"57P03", nil, "source_starting", Soon}, // cannot_connect_now
	{"", []string{"connect to compute node"}, "source_starting", Soon},
	{"", []string{"endpoint is temporarily unavailable"}, "source_locked", Seldom}, // Neon's maintenance, or a quota: it does not say which
	{"", []string{"Control plane request failed"}, "source_starting", Soon},
	{"", []string{"server closed the connection unexpectedly"}, "source_wal_unavailable", Soon},
	{"", []string{"lost synchronization with server"}, "source_wal_unavailable", Soon},
	{"", []string{"requested WAL up to", "has only up to"}, "source_wal_unavailable", Soon},
	{"53300", nil, "source_full", Seldom}, // too_many_connections, and too many walsenders
	{"", []string{"oo many", "connection"}, "source_full", Seldom},
	{"", []string{"no more connections allowed"}, "source_full", Seldom},
	{"53400", nil, "source_slots_taken", Seldom}, // no slot is free for the temporary one of a start
}

func (a answer) fits(e *pgconn.PgError) bool {
	return (a.code == "" || a.code == e.Code) && !slices.ContainsFunc(a.says, func(part string) bool { return !strings.Contains(e.Message, part) })
}

func meaning(e *pgconn.PgError) (answer, bool) {
	if i := slices.IndexFunc(answers, func(a answer) bool { return a.fits(e) }); i >= 0 {
		return answers[i], true
	}
	return answer{}, false
}

// Judge says why a source could not go on, as a label of few values, and what to do about it. It judges every error that
// this package returns; of one that does not come from a source it knows nothing, and returns an empty reason.
func Judge(err error) (reason string, p Patience) {
	if refusal, ok := errorAs[*cdc.Refusal](err); ok {
		return refusal.Name, patienceOf(refusal.Name)
	}
	if _, ok := errorAs[*SlotBusyError](err); ok {
		return "slot_in_use", Usual
	}
	if e, ok := errorAs[*pgconn.PgError](err); ok {
		if a, known := meaning(e); known {
			return a.reason, a.patience
		}
		return "source_error", Usual
	}
	if _, ok := errorAs[*ConnectError](err); ok {
		return "source_unreachable", Soon
	}
	if _, ok := errorAs[*LostError](err); ok {
		return "source_lost", Soon
	}
	if errors.Is(err, ErrSilent) {
		return "source_silent", Soon
	}
	return "", Usual
}

// patienceOf judges a refusal by its name alone. Those of TLS and of the connection string are here, for no server gives them:
// certificates are replaced under a running stream, and so are the files that the connection string names.
func patienceOf(name string) Patience {
	switch name {
	case "source_certificate_untrusted", "source_certificate_other_host", "source_tls_missing":
		return Served
	case "source_tls_malformed", "source_malformed":
		return Rewritten
	}
	if i := slices.IndexFunc(answers, func(a answer) bool { return a.reason == name }); i >= 0 {
		return answers[i].patience
	}
	return Never
}

// answerRefusal makes the refusal of an answer; nil if it is none, since it passes by itself.
func answerRefusal(cc *pgx.ConnConfig, e *pgconn.PgError) *cdc.Refusal {
	a, known := meaning(e)
	if !known || a.patience < Rewritten {
		return nil
	}
	at := Address(cc)
	switch a.reason {
	case "source_quota_exceeded":
		return &cdc.Refusal{Name: "source_quota_exceeded", Problem: fmt.Sprintf("the source %s has used up what its plan allows (%s)", at, e.Message),
			Remedy: "raise the plan's limits or wait for the next period, and start again; the slot keeps its place, as long as the provider keeps the slot", Err: e}
	case "pooled_endpoint":
		remedy := "use the database's direct host and port; on Neon the host without -pooler"
		if host, pooled := direct(cc.Host); pooled {
			remedy = "use the direct host " + host
		}
		return &cdc.Refusal{Name: "pooled_endpoint", Problem: fmt.Sprintf("the source %s is a connection pooler, which cannot replicate (%s)", at, e.Message), Remedy: remedy, Err: e}
	case "source_name_required":
		return &cdc.Refusal{Name: "source_name_required", Problem: fmt.Sprintf("the source %s is found by its name alone, and --source does not give it (%s)", at, e.Message),
			Remedy: "write the host in --source as the provider does, such as ep-cool-name-123.eu-central-1.aws.neon.tech, and not as an address", Err: e}
	case "source_tls_required":
		return &cdc.Refusal{Name: "source_tls_required", Problem: fmt.Sprintf("the source %s wants TLS (%s)", at, e.Message), Remedy: "leave sslmode=disable out of --source", Err: e}
	case "source_endpoint_missing":
		return &cdc.Refusal{Name: "source_endpoint_missing", Problem: fmt.Sprintf("the provider has no such endpoint as %s, or has disabled it (%s)", at, e.Message),
			Remedy: "correct the host in --source; the provider's console shows it", Err: e}
	case "source_database_missing":
		return &cdc.Refusal{Name: "source_database_missing", Problem: fmt.Sprintf("the source %s has no database %s", at, cc.Database),
			Remedy: "name an existing database at the end of --source", Err: e}
	case "role_lacks_replication":
		return roleRefusal(cc.User)
	case "source_login_refused":
		return &cdc.Refusal{Name: "source_login_refused", Problem: fmt.Sprintf("the source %s refuses the user %s (%s)", at, cc.User, e.Message),
			Remedy: "check the user and password of --source, and pg_hba.conf for replication connections", Err: e}
	case "source_address_refused":
		return &cdc.Refusal{Name: "source_address_refused", Problem: fmt.Sprintf("the source %s refuses this machine's address (%s)", at, e.Message),
			Remedy: "add the address to the project's IP Allow list", Err: e}
	case "source_is_replica":
		return &cdc.Refusal{Name: "source_is_replica", Problem: fmt.Sprintf("the source %s is a read replica (%s)", at, e.Message), Remedy: "point --source at the primary", Err: e}
	}
	return nil
}

// ConnectError says that the source could not be reached or did not let us in. It may pass.
type ConnectError struct {
	Address string
	host    string
	text    string
	err     error
}

// Error says who cannot be reached, why, and what to check. The password is masked.
func (e *ConnectError) Error() string {
	check := "check that it runs, and the host, port, user and password of --source"
	if onNeon(e.host) {
		check += ", and that the project's IP Allow list, if it has one, holds this machine's address"
	}
	return fmt.Sprintf("cannot connect to the source %s (%s); %s", e.Address, e.text, check)
}

// Unwrap returns what pgx said, which may hold the password.
func (e *ConnectError) Unwrap() error { return e.err }

// LostError says that a connection to the source broke without a word from the server. It may pass.
type LostError struct{ err error }

// Error says how.
func (e *LostError) Error() string {
	return fmt.Sprintf("the replication connection broke: %v", e.err)
}

// Unwrap returns what was seen.
func (e *LostError) Unwrap() error { return e.err }

// connectError says what failed without the secrets that pgx may repeat.
func connectError(c Config, cc *pgx.ConnConfig, err error) error {
	text := strings.Join(strings.Fields(Mask(err.Error(), c.URL)), " ") // pgx writes a line for each way that it tried
	if pgErr, ok := errorAs[*pgconn.PgError](err); ok {
		text = pgErr.Message
		if refusal := answerRefusal(cc, pgErr); refusal != nil {
			return refusal
		}
	} else if refusal := tlsRefusal(cc, err); refusal != nil {
		return refusal
	}
	return &ConnectError{Address: Address(cc), host: cc.Host, text: text, err: err}
}

// onNeon reports whether a host is Neon's by its name.
func onNeon(host string) bool {
	return net.ParseIP(host) == nil && strings.HasSuffix(strings.TrimSuffix(host, "."), ".neon.tech")
}
