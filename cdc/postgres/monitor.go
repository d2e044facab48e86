package postgres

import (
	"context"
	"sync/atomic"

	"github.com/jackc/pgx/v5"

	"github.com/livedb/livedb/cdc"
)

// Monitor looks at the slot and the publication from a connection of its own. One goroutine asks; any may read the last answers.
type Monitor struct {
	conn        *pgx.Conn
	config      Config
	slot        string
	publication string
	current     atomic.Uint64
	retained    atomic.Int64
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
func (m *Monitor) Slot(ctx context.Context) (*Slot, error) {
	current, err := currentLSN(ctx, m.conn)
	if err != nil {
		return nil, err
	}
	slot, err := readSlot(ctx, m.conn, m.slot)
	if err != nil || slot == nil {
		return nil, err
	}
	m.current.Store(uint64(current))
	m.retained.Store(int64(current) - int64(slot.Restart))
	return slot, nil
}

// Publication reads the publication; nil if it does not exist.
func (m *Monitor) Publication(ctx context.Context) (*Publication, error) {
	return readPublication(ctx, m.conn, m.publication)
}

// Current returns the end of the source's WAL as of the last look.
func (m *Monitor) Current() cdc.LSN { return cdc.LSN(m.current.Load()) }

// Retained returns the bytes of WAL kept back for the slot as of the last look.
func (m *Monitor) Retained() int64 { return m.retained.Load() }

// Address returns the source's host:port/database.
func (m *Monitor) Address() string { return Address(m.conn.Config()) }

// Database returns the database's name.
func (m *Monitor) Database() string { return m.conn.Config().Database }

// Version returns the server's version, such as 15.18.
func (m *Monitor) Version() string { return m.conn.PgConn().ParameterStatus("server_version") }
