// Package debezium runs Debezium's Postgres connector in a Kafka Connect of its own, with Maven and a Java of 17 or later and
// no Docker, so that it can be measured beside LiveDB: one worker in standalone mode, a child process.
//
//	c, err := debezium.Start(ctx, debezium.Config{Source: url, Slot: "copy_1", ...})
//	defer c.Close()
//
// It delivers at least once. Connect offers exactly once to workers in distributed mode only, and a standalone one takes
// exactly.once.support and does nothing with it.
package debezium

import (
	"fmt"
	"log/slog"
	"net/url"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"
)

// What runs, as pom.xml has it.
const (
	Version      = "3.7.0.Final"
	KafkaVersion = "4.3.1" // of Kafka Connect and its producer
)

// Config says what to stream where. All is needed but Tuned and Log.
type Config struct {
	Source      string // Postgres URL
	Slot        string // exists, of pgoutput; what it holds is streamed from its confirmed position
	Publication string // exists
	Table       string // schema.table
	Brokers     []string
	Prefix      string // the topic is Prefix.Table, and must exist where brokers make none by themselves
	Tuned       bool   // for throughput, as the documentations advise; else their defaults
	Log         *slog.Logger
}

// Topic is where the table's events go.
func (c Config) Topic() string { return c.Prefix + "." + c.Table }

// database are the connector's settings for the Postgres of the URL.
func database(source string) ([]Setting, error) {
	c, err := pgconn.ParseConfig(source)
	if err != nil {
		return nil, err
	}
	if strings.HasPrefix(c.Host, "/") {
		return nil, fmt.Errorf("debezium cannot connect to the socket %s: give Postgres as postgres://user:password@host:port/database", c.Host)
	}
	settings := []Setting{
		{Connector, "database.hostname", c.Host, isLoad},
		{Connector, "database.port", strconv.Itoa(int(c.Port)), isLoad},
		{Connector, "database.user", c.User, isLoad},
		{Connector, "database.password", c.Password, isLoad},
		{Connector, "database.dbname", c.Database, isLoad},
	}
	// Its names for the modes of TLS are those of libpq, as is its default.
	u, err := url.Parse(source)
	if err != nil {
		return settings, nil // not a URL but libpq's words, which pgx has understood
	}
	for _, name := range []string{"sslmode", "sslrootcert"} {
		if value := u.Query().Get(name); value != "" {
			settings = append(settings, Setting{Connector, "database." + name, value, isLoad})
		}
	}
	return settings, nil
}
