// Package postgres is LiveDB's side of the source: the connection that replicates, the slot, the publication, the
// catalog, and the checks before any of them is used.
//
//	Postgres ──WAL──► walsender ══TLS══► Stream ──bytes──► pgoutput.Decoder ──changes──► Handler
//	                                        ◄──────status: what is durable───────────────┘
package postgres

import (
	"context"
	"fmt"
	"net"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/livedb/livedb/cdc"
	"github.com/livedb/livedb/internal/dial"
)

// Config names the source and the stream's objects in it.
type Config struct {
	URL         string // of the direct endpoint, never a pooler's
	Slot        string
	Publication string

	// Tables are what the publication is created for, as schema.table; empty means all tables. An existing publication
	// is taken as it is.
	Tables []string

	// SenderTimeout is the replication connection's wal_sender_timeout; zero means DefaultSenderTimeout.
	SenderTimeout time.Duration

	// DecodingMemory is how much the walsender may use to decode before it spills to disk, as Postgres writes it: 256MB. Empty
	// leaves the server's own setting.
	DecodingMemory string

	// Dial opens the network connection below TLS, to the host as it is named; nil means the default dialer, which notices a
	// half-open connection.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
}

// The bounds of Config.SenderTimeout. Postgres frees a dead client's slot after it; a short pause must not reach it.
const (
	DefaultSenderTimeout = 30 * time.Second
	minSenderTimeout     = 5 * time.Second
	maxSenderTimeout     = 10 * time.Minute
)

func (c Config) senderTimeout() time.Duration {
	if c.SenderTimeout == 0 {
		return DefaultSenderTimeout
	}
	return c.SenderTimeout
}

// Silence is after how long without a word a connection is first taken for half open.
func (c Config) Silence() time.Duration { return 3 * c.senderTimeout() }

// parse is Parse with what the other fields ask for.
func (c Config) parse() (*pgx.ConnConfig, error) {
	if t := c.senderTimeout(); t < minSenderTimeout || t > maxSenderTimeout {
		return nil, &cdc.Refusal{Name: "sender_timeout_malformed", Remedy: "choose another --sender-timeout",
			Problem: fmt.Sprintf("the sender timeout %s is not between %s and %s", t, minSenderTimeout, maxSenderTimeout)}
	}
	if _, ok := parseMemory(c.DecodingMemory); c.DecodingMemory != "" && !ok {
		return nil, &cdc.Refusal{Name: "decoding_memory_malformed", Remedy: "write --decoding-memory as 256MB",
			Problem: fmt.Sprintf("the decoding memory %q is not a whole number of kB, MB or GB from 64kB to 1024GB", c.DecodingMemory)}
	}
	cc, err := Parse(c.URL)
	if err != nil {
		return nil, err
	}
	if c.Dial != nil {
		cc.DialFunc = c.Dial
		cc.LookupFunc = func(_ context.Context, host string) ([]string, error) { return []string{host}, nil }
	}
	return cc, nil
}

// connectTimeout bounds every attempt to connect; a suspended Neon compute takes some hundred milliseconds to wake. The first
// packet must be answered sooner: the kernel repeats it less and less often, and a source that can be reached again would wait
// for that.
const (
	connectTimeout = 15 * time.Second
	reachTimeout   = 2 * time.Second
)

// reach dials as dial.Context does, and gives up early.
func reach(ctx context.Context, network, address string) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, reachTimeout)
	defer cancel()
	return dial.Context(ctx, network, address)
}

// Parse reads the URL and refuses what cannot work before anything is dialled. Beyond this machine the server is verified by
// TLS, whatever sslmode says but disable.
func Parse(sourceURL string) (*pgx.ConnConfig, error) {
	if sourceURL == "" {
		return nil, &cdc.Refusal{Name: "source_missing", Problem: "no source is given",
			Remedy: "name the Postgres with --source or DATABASE_URL, as postgres://user:password@host:5432/database"}
	}
	// pgx takes a text without a known scheme for a list of key=value pairs and fills the rest from the environment.
	scheme, _, isURL := strings.Cut(sourceURL, "://")
	isURL = isURL && !strings.ContainsAny(scheme, " =")
	if isURL && scheme != "postgres" && scheme != "postgresql" || !isURL && !strings.Contains(sourceURL, "=") {
		return nil, malformed("it does not begin with postgres://")
	}
	c, err := pgx.ParseConfig(sourceURL)
	if err != nil && strings.Contains(err.Error(), "failed to configure TLS") {
		return nil, &cdc.Refusal{Name: "source_tls_malformed", Problem: "the source URL's TLS cannot be had (" + Mask(err.Error(), sourceURL) + ")",
			Remedy: "check its sslmode, sslrootcert, sslcert and sslkey"}
	}
	if err != nil {
		return nil, malformed(Mask(err.Error(), sourceURL))
	}
	if host, pooled := direct(c.Host); pooled {
		return nil, &cdc.Refusal{Name: "pooled_endpoint", Problem: fmt.Sprintf("the host %s is a connection pooler, which cannot replicate", c.Host),
			Remedy: "use the direct host " + host}
	}
	c.ConnectTimeout = connectTimeout
	c.DialFunc = reach
	if err := secure(c, sourceURL); err != nil {
		return nil, err
	}
	return c, nil
}

func malformed(why string) error {
	return &cdc.Refusal{Name: "source_malformed", Problem: "the source URL cannot be read (" + why + ")",
		Remedy: "write it as postgres://user:password@host:5432/database and percent-encode special characters of the password"}
}

// direct returns the host without Neon's pooler suffix, which stands at the end of its first label.
func direct(host string) (string, bool) {
	label, rest, _ := strings.Cut(host, ".")
	endpoint, pooled := strings.CutSuffix(label, "-pooler")
	if !pooled {
		return host, false
	}
	if rest == "" {
		return endpoint, true
	}
	return endpoint + "." + rest, true
}

// Mask replaces the URL's password wherever it stands in a text.
func Mask(text, sourceURL string) string {
	u, err := url.Parse(sourceURL)
	if err != nil || u.User == nil {
		return text
	}
	password, set := u.User.Password()
	if !set || password == "" {
		return text
	}
	_, written, _ := strings.Cut(u.User.String(), ":")
	for _, secret := range []string{password, written, url.QueryEscape(password), url.PathEscape(password)} {
		text = strings.ReplaceAll(text, secret, "****")
	}
	return text
}

// Address returns host:port/database for people, without secrets.
func Address(c *pgx.ConnConfig) string {
	var hosts []string
	for _, way := range waysOf(c) { // the same host comes twice if it is tried with TLS and without
		if host := net.JoinHostPort(way.Host, fmt.Sprint(way.Port)); !slices.Contains(hosts, host) {
			hosts = append(hosts, host)
		}
	}
	return strings.Join(hosts, ",") + "/" + c.Database
}

// fixed are the settings that make Postgres write values as the decoder reads them, and that keep a role's or a
// project's time limits off the connection. Neon's proxy forwards options but drops other startup parameters, so they
// travel as options; a role's own settings lose to these. Dial sets them once more.
var fixed = []setting{
	{"DateStyle", "ISO,YMD", "ISO, YMD"},
	{"TimeZone", "UTC", "UTC"},
	{"IntervalStyle", "postgres", "postgres"},
	{"extra_float_digits", "1", "1"},
	{"bytea_output", "hex", "hex"},
	{"search_path", "pg_catalog", "pg_catalog"},
	{"client_encoding", "UTF8", "UTF8"},
	{"client_min_messages", "warning", "warning"},
	{"lc_monetary", "C", "C"},
	{"statement_timeout", "0", "0"},
	{"lock_timeout", "0", "0"},
	{"idle_in_transaction_session_timeout", "0", "0"},
	{"idle_session_timeout", "0", "0"},
}

// setting is a setting of the server, as it is given and as SHOW shows it.
type setting struct{ name, value, shown string }

// settings are the fixed ones and those that the configuration chooses.
func (c Config) settings() []setting {
	t := c.senderTimeout().Milliseconds()
	all := append(slices.Clip(fixed), setting{"wal_sender_timeout", fmt.Sprint(t), shown(t, "ms", timeUnits)})
	if kB, ok := parseMemory(c.DecodingMemory); ok {
		all = append(all, setting{"logical_decoding_work_mem", fmt.Sprint(kB, "kB"), shown(kB, "kB", memoryUnits)})
	}
	return all
}

// unit is a unit of a setting, as a multiple of the smallest.
type unit struct {
	name string
	of   int64
}

var (
	timeUnits   = []unit{{"min", 60_000}, {"s", 1000}}
	memoryUnits = []unit{{"GB", 1 << 20}, {"MB", 1 << 10}}
)

// shown writes a value as SHOW does: in the largest unit that leaves a whole number.
func shown(value int64, smallest string, units []unit) string {
	for _, u := range units {
		if value%u.of == 0 {
			return fmt.Sprint(value/u.of, u.name)
		}
	}
	return fmt.Sprint(value, smallest)
}

// parseMemory reads a size of the range that Postgres takes for logical_decoding_work_mem, in kB.
func parseMemory(text string) (kB int64, ok bool) {
	for _, u := range append(slices.Clip(memoryUnits), unit{"kB", 1}) {
		number, found := strings.CutSuffix(text, u.name)
		if !found {
			continue
		}
		n, err := strconv.ParseUint(number, 10, 31)
		kB = int64(n) * u.of
		return kB, err == nil && kB >= 64 && kB <= 1<<30
	}
	return 0, false
}

// ParseSize reads a size in bytes as Postgres writes it: a whole number of kB, MB, GB or TB, such as 512MB, or 0.
func ParseSize(text string) (bytes int64, ok bool) {
	if text == "0" {
		return 0, true
	}
	for _, u := range []unit{{"kB", 1 << 10}, {"MB", 1 << 20}, {"GB", 1 << 30}, {"TB", 1 << 40}} {
		if number, found := strings.CutSuffix(text, u.name); found {
			n, err := strconv.ParseUint(number, 10, 20)
			return int64(n) * u.of, err == nil
		}
	}
	return 0, false
}

func (c Config) options(given string) string {
	var b strings.Builder
	b.WriteString(given)
	for _, s := range c.settings() {
		fmt.Fprintf(&b, " -c %s=%s", s.name, s.value)
	}
	return strings.TrimSpace(b.String())
}

// Connect opens a plain SQL connection with the fixed settings.
func Connect(ctx context.Context, c Config) (*pgx.Conn, error) {
	cc, err := c.parse()
	if err != nil {
		return nil, err
	}
	cc.RuntimeParams["application_name"] = "livedb/" + c.Slot
	cc.RuntimeParams["options"] = c.options(cc.RuntimeParams["options"])
	conn, err := pgx.ConnectConfig(ctx, cc)
	if err != nil {
		return nil, connectError(c, cc, err)
	}
	return conn, nil
}
