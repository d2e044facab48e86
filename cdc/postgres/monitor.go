package postgres

import (
	"context"

	"github.com/jackc/pgx/v5"
)

// Monitor looks at the slot and the publication from a connection of its own. One goroutine asks.
type Monitor struct {
	conn        *pgx.Conn
	config      Config
	slot        string
	publication string
}

// OpenMonitor connects.
func OpenMonitor(ctx context.Context, c Config) (*Monitor, error) {
	conn, err := Connect(ctx, c)
	if err != nil {
		return nil, err
	}
	return &Monitor{conn: conn, config: c, slot: c.Slot, publication: c.Publication}, nil
}

// Close disconnects.
func (m *Monitor) Close(ctx context.Context) { m.conn.Close(ctx) }

// Preflight looks at the source as the function of this name does, on the monitor's connection.
func (m *Monitor) Preflight(ctx context.Context) (*Server, error) {
	return preflight(ctx, m.conn, m.config)
}

// Slot reads the slot; nil if it does not exist.
func (m *Monitor) Slot(ctx context.Context) (*Slot, error) { return readSlot(ctx, m.conn, m.slot) }

// Publication reads the publication; nil if it does not exist.
func (m *Monitor) Publication(ctx context.Context) (*Publication, error) {
	return readPublication(ctx, m.conn, m.publication)
}

// Identities refuses a publication with a table whose UPDATE and DELETE fail because of it.
func (m *Monitor) Identities(ctx context.Context) error {
	return publishedIdentities(ctx, m.conn, m.config)
}

// Address returns the source's host:port/database.
func (m *Monitor) Address() string { return Address(m.conn.Config()) }

// Database returns the database's name.
func (m *Monitor) Database() string { return m.conn.Config().Database }

// Version returns the server's version, such as 15.18.
func (m *Monitor) Version() string { return m.conn.PgConn().ParameterStatus("server_version") }
