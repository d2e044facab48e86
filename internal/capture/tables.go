package capture

import (
	"context"
	"fmt"
	"maps"
	"sync/atomic"
	"time"

	"github.com/IBM/sarama"

	"github.com/livedb/livedb/cdc"
	"github.com/livedb/livedb/cdc/envelope"
	"github.com/livedb/livedb/cdc/postgres"
	"github.com/livedb/livedb/internal/kafka"
	"github.com/livedb/livedb/internal/status"
	"github.com/livedb/livedb/producer"
)

// tables knows, for a session, where each table's events go. It looks at the catalog and at Kafka when a table is met.
type tables struct {
	role     *role
	client   sarama.Client
	catalog  *postgres.Catalog // used by the stream's goroutine
	monitor  *postgres.Monitor // used by watch
	stream   envelope.Stream
	written  producer.Topology // as the session found it
	topology producer.Topology // used by the stream's goroutine
	ensured  map[string]bool   // topics that are there, as they should be
	known    map[uint32]bool   // tables met in this session, by OID; used by the stream's goroutine
	met      atomic.Int64      // their number
}

// resolveTimeout bounds what the stream waits for when it meets a table; far below wal_sender_timeout.
const resolveTimeout = 10 * time.Second

// watchInterval is how often the slot is looked at.
const watchInterval = 2 * time.Second

func openTables(ctx context.Context, r *role, client sarama.Client, epoch uint32, topology producer.Topology) (*tables, error) {
	catalog, err := postgres.OpenCatalog(ctx, r.Source)
	if err != nil {
		return nil, err
	}
	monitor, err := postgres.OpenMonitor(ctx, r.Source)
	if err != nil {
		catalog.Close(context.WithoutCancel(ctx))
		return nil, err
	}
	r.Status.Text("source", monitor.Address())
	r.Status.Text("postgres", monitor.Version())
	t := &tables{role: r, client: client, catalog: catalog, monitor: monitor, written: topology, topology: producer.Topology{Version: 1, Topics: maps.Clone(topology.Topics)}, known: map[uint32]bool{}, ensured: map[string]bool{},
		stream: envelope.Stream{Name: r.Prefix, Database: monitor.Database(), Version: r.Version, Epoch: epoch}}
	if err := t.createTopics(ctx); err != nil {
		t.close()
		return nil, err
	}
	return t, nil
}

func (t *tables) close() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	t.catalog.Close(ctx)
	t.monitor.Close(ctx)
}

// createTopics makes the topics of all published tables before the first event, so that readers and people find them.
func (t *tables) createTopics(ctx context.Context) error {
	server, err := postgres.Preflight(ctx, t.role.Source)
	if err != nil {
		return err
	}
	topics, err := tableTopics(t.role.Config, server)
	if err != nil {
		return err
	}
	if err := kafka.EnsureTopics(ctx, t.client, topics...); err != nil {
		return err
	}
	for _, topic := range topics {
		t.ensured[topic.Name] = true
	}
	return nil
}

// resolve implements producer.Resolve.
func (t *tables) resolve(table *cdc.Table) (producer.Place, string, *envelope.Plan, *producer.Topology, error) {
	ctx, cancel := context.WithTimeout(context.Background(), resolveTimeout)
	defer cancel()
	if t.known[table.OID] {
		t.role.Metrics.SchemaChanges.WithLabelValues(table.String()).Inc()
	}
	t.known[table.OID] = true
	t.met.Store(int64(len(t.known)))
	topic, place, changed, err := t.place(ctx, table)
	if err != nil {
		return place, "", nil, nil, err
	}
	found, err := t.catalog.Types(ctx, table)
	if err != nil {
		return place, "", nil, nil, err
	}
	types := envelope.Types{}
	for oid, f := range found {
		types[oid] = envelope.Type{Base: f.Base, Elem: f.Elem, Modifier: f.Modifier, Name: f.Name, Delim: f.Delim}
	}
	plan, err := envelope.NewPlan(t.stream, table, place.Key, types)
	if err != nil {
		return place, "", nil, nil, &cdc.Refusal{Name: "key_changed", Unsafe: true, Problem: err.Error(),
			Remedy: "the stream's Kafka keys rest on that column: start a new stream under another --prefix", Err: err}
	}
	if !changed {
		return place, topic, plan, nil, nil
	}
	topology := producer.Topology{Version: 1, Topics: maps.Clone(t.topology.Topics)}
	return place, topic, plan, &topology, nil
}

// place returns the table's topic as the topology has it, or adds it there.
func (t *tables) place(ctx context.Context, table *cdc.Table) (string, producer.Place, bool, error) {
	topic, err := t.role.topics.Table(table.Schema, table.Name)
	if err != nil {
		return "", producer.Place{}, false, &cdc.Refusal{Name: "topic_name_too_long", Problem: err.Error(), Remedy: "leave the table out of the publication", Err: err}
	}
	place, known := t.topology.Topics[topic]
	for other, owner := range t.topology.Topics {
		if alike(other) == alike(topic) && (owner.Schema != table.Schema || owner.Table != table.Name) {
			return "", place, false, shared(topic, owner.Schema+"."+owner.Table, table.String())
		}
	}
	if !known {
		key, err := t.catalog.Key(ctx, table)
		if err != nil {
			return "", place, false, err
		}
		place = producer.Place{Schema: table.Schema, Table: table.Name, Partitions: t.role.Partitions, Key: key}
		t.topology.Topics[topic] = place
	}
	if t.ensured[topic] {
		return topic, place, !known, nil
	}
	err = kafka.EnsureTopics(ctx, t.client, kafka.Topic{Name: topic, Partitions: place.Partitions, RetentionBytes: t.role.RetentionBytes})
	return topic, place, !known, err
}

// watch shows how the slot fares, until the context ends. It ends the session if it cannot look.
func (t *tables) watch(ctx context.Context) error {
	tick := time.NewTicker(watchInterval)
	defer tick.Stop()
	name, m := t.role.Source.Slot, t.role.Metrics
	t.role.Status.Number(status.RetainedWALBytes, func() float64 { return float64(t.monitor.Retained()) })
	for {
		slot, err := t.monitor.Slot(ctx)
		switch {
		case ctx.Err() != nil:
			return nil
		case err != nil:
			return fmt.Errorf("look at the slot %s: %w", name, err)
		case slot == nil:
			return &cdc.Refusal{Name: "slot_missing", Unsafe: true, Problem: fmt.Sprintf("the slot %s was dropped while it was streaming", name),
				Remedy: "changes may be lost to this stream: start a new one under another --prefix"}
		}
		current := t.monitor.Current()
		m.SlotActive.WithLabelValues(name).Set(map[bool]float64{true: 1}[slot.Active])
		m.SlotLag.WithLabelValues(name).Set(float64(current) - float64(slot.Confirmed))
		m.SlotRetained.WithLabelValues(name).Set(float64(t.monitor.Retained()))
		m.SlotConfirmed.WithLabelValues(name).Set(float64(slot.Confirmed))
		m.SlotRestart.WithLabelValues(name).Set(float64(slot.Restart))
		m.WALCurrent.Set(float64(current))
		t.role.Status.Text("confirmed_lsn", slot.Confirmed.String())
		t.role.Status.Text("restart_lsn", slot.Restart.String())
		t.role.Status.Text("current_lsn", current.String())
		if position, ok := t.role.progress.Position.Load().(string); ok {
			t.role.Status.Text("position", position)
		}
		t.role.Status.Text("tables", fmt.Sprint(t.met.Load()))
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}
