package capture

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/IBM/sarama"

	"github.com/livedb/livedb/cdc"
	"github.com/livedb/livedb/cdc/envelope"
	"github.com/livedb/livedb/cdc/postgres"
	"github.com/livedb/livedb/internal/failpoint"
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
	written  producer.Topology                 // as the session found it
	topology producer.Topology                 // used by the stream's goroutine
	latest   atomic.Pointer[producer.Topology] // of topology, for watch; nobody changes it
	ensured  map[string]bool                   // topics that are there, as they should be
	owners   map[string]string                 // of the topology's topics, as schema.table, by what other names must not be alike
	harms    string                            // what the publication does to the application; used by watch
	suspect  string                            // what was wrong with the topics when they were last looked at; used by watch
	known    map[uint32]bool                   // tables met in this session, by OID; used by the stream's goroutine
	met      atomic.Int64                      // their number
}

// resolveTimeout bounds what the stream waits for when it meets a table; far below wal_sender_timeout.
const resolveTimeout = 10 * time.Second

// How often the slot and the publication are looked at, and how many times as seldom Kafka's topics.
const (
	watchInterval = 2 * time.Second
	topicsSeldom  = 5
)

func openTables(ctx context.Context, r *role, client sarama.Client, p *kafka.Producer, epoch uint32, topology producer.Topology) (*tables, error) {
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
	t := &tables{role: r, client: client, catalog: catalog, monitor: monitor, written: topology, known: map[uint32]bool{}, ensured: map[string]bool{}, owners: map[string]string{},
		stream: envelope.Stream{Name: r.Prefix, Database: monitor.Database(), Version: r.Version, Epoch: epoch}}
	if err := t.settle(ctx, p); err != nil {
		t.close()
		return nil, err
	}
	t.topology = t.written.Clone()
	t.latest.Store(&t.written)
	for topic, place := range t.topology.Topics {
		t.owners[alike(topic)] = place.Schema + "." + place.Table
	}
	return t, nil
}

func (t *tables) close() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	t.catalog.Close(ctx)
	t.monitor.Close(ctx)
}

// settle makes the topics of all published tables before the first event, so that readers and people find them, and writes
// the topology if it has changed since the last session.
func (t *tables) settle(ctx context.Context, p *kafka.Producer) error {
	server, err := t.monitor.Preflight(ctx)
	if err != nil {
		return err
	}
	topics, err := tableTopics(t.role.Config, server, t.written)
	if err != nil {
		return err
	}
	if err := kafka.EnsureTopics(ctx, t.client, topics...); err != nil {
		return err
	}
	for _, topic := range topics {
		t.ensured[topic.Name] = true
	}
	now := t.written.Clone()
	now.Version, now.Mapping = 1, producer.Mapping
	if err := t.checkPublication(ctx, &now.Published, server.Publication); err != nil { // once more: it may have changed since the start looked
		return err
	}
	if now.Own == nil {
		if now.Own, err = t.ownTopics(ctx); err != nil {
			return err
		}
	}
	if reflect.DeepEqual(now, t.written) {
		return nil
	}
	t.written = now
	if err := producer.WriteTopology(p, t.role.topics, now); err != nil {
		return err
	}
	return failpoint.Hit(failpoint.TopologyWritten)
}

// ownTopics returns the ids of the topics that a stream has whatever its tables.
func (t *tables) ownTopics(ctx context.Context) (map[string]string, error) {
	names := []string{t.role.topics.Checkpoint(), t.role.topics.Transaction(), t.role.topics.Truncate()}
	found, err := kafka.LookAgain(ctx, t.client, names...)
	if err != nil {
		return nil, err
	}
	ids := map[string]string{}
	for _, name := range names {
		ids[name] = found[name].ID
	}
	return ids, nil
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
		return place, "", nil, nil, keyChanged(err)
	}
	if !changed {
		return place, topic, plan, nil, nil
	}
	topology := t.topology.Clone()
	t.latest.Store(&topology)
	return place, topic, plan, &topology, nil
}

func keyChanged(err error) *cdc.Refusal {
	return &cdc.Refusal{Name: "key_changed", Unsafe: true, Problem: err.Error(),
		Remedy: "give the table its old key again, or start a new stream under another --prefix: readers know a row by its key", Err: err}
}

// place returns the table's topic as the topology has it, or adds it there.
func (t *tables) place(ctx context.Context, table *cdc.Table) (string, producer.Place, bool, error) {
	topic, err := t.role.topics.Table(table.Schema, table.Name)
	if err != nil {
		return "", producer.Place{}, false, &cdc.Refusal{Name: "topic_name_too_long", Problem: err.Error(), Remedy: "leave the table out of the publication", Err: err}
	}
	place, known := t.topology.Topics[topic]
	if owner, taken := t.owners[alike(topic)]; taken && owner != table.String() {
		return "", place, false, shared(topic, owner, table.String())
	}
	if !t.ensured[topic] {
		partitions := t.role.Partitions
		if known {
			partitions = place.Partitions
		}
		if err := kafka.EnsureTopics(ctx, t.client, kafka.Topic{Name: topic, Partitions: partitions, RetentionBytes: t.role.RetentionBytes}); err != nil {
			return "", place, false, err
		}
		t.ensured[topic] = true
	}
	key, err := t.catalog.Key(ctx, table)
	if err != nil {
		return "", place, false, err
	}
	if known && !slices.Equal(key, place.Key) {
		return "", place, false, keyChanged(fmt.Errorf("the key of table %s is (%s) and the stream's Kafka keys rest on (%s)", table, strings.Join(key, ", "), strings.Join(place.Key, ", ")))
	}
	if known {
		return topic, place, false, nil
	}
	place = producer.Place{Schema: table.Schema, Table: table.Name, Partitions: t.role.Partitions, Key: key}
	found, err := kafka.LookAgain(ctx, t.client, topic)
	if err != nil {
		return "", place, false, err
	}
	place.ID = found[topic].ID
	if err := t.empty(ctx, topic, place.Partitions); err != nil {
		return "", place, false, err
	}
	t.topology.Topics[topic] = place
	t.owners[alike(topic)] = table.String()
	return topic, place, true, t.joined(ctx, table)
}

// joined notes what the publication holds now that another table has come; all of it, so that a thousand new tables are not
// looked up one by one.
func (t *tables) joined(ctx context.Context, table *cdc.Table) error {
	if _, noted := t.topology.Published.Tables[table.String()]; noted {
		return nil
	}
	now, err := t.catalog.Publication(ctx, t.role.Source.Publication)
	if err != nil {
		return err
	}
	return t.checkPublication(ctx, &t.topology.Published, now)
}

// empty refuses a topic that holds events although the stream has never written to it.
func (t *tables) empty(ctx context.Context, topic string, partitions int32) error {
	for p := range partitions {
		_, found, err := kafka.Tail(ctx, t.client, topic, p)
		if err != nil {
			return err
		}
		if found {
			return &cdc.Refusal{Name: "topic_not_empty", Unsafe: true, Problem: fmt.Sprintf("the topic %s holds records that are not this stream's", topic),
				Remedy: "delete the topic, or start a new stream under another --prefix"}
		}
	}
	return nil
}

// checkPublication refuses a publication that gives less or other than it did, and notes what it gives.
func (t *tables) checkPublication(ctx context.Context, was *producer.Published, now *postgres.Publication) error {
	if now == nil {
		return &cdc.Refusal{Name: "publication_missing", Unsafe: true, Problem: fmt.Sprintf("the publication %s was dropped while the stream began or ran", t.role.Source.Publication),
			Remedy: "changes may be lost to this stream: drop the slot and start a new stream under another --prefix"}
	}
	gives := published(now)
	if err := was.CheckPublished(gives, hasTable(ctx, t.role.Source)); err != nil {
		return err
	}
	*was = gives
	return nil
}

// watch looks at the slot, the publication and the topics until the context ends. It ends the session if it cannot look at the source,
// or if what it sees breaks a promise.
func (t *tables) watch(ctx context.Context) error {
	tick := time.NewTicker(watchInterval)
	defer tick.Stop()
	given := t.written.Clone().Published
	for n := 1; ; n++ {
		if err := t.look(ctx, &given); err != nil {
			return unlessEnded(ctx, err)
		}
		if n%topicsSeldom == 0 || t.suspect != "" {
			if err := t.lookAtTopics(ctx); err != nil {
				return unlessEnded(ctx, err)
			}
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// look looks once.
func (t *tables) look(ctx context.Context, given *producer.Published) error {
	name := t.role.Source.Slot
	slot, err := t.monitor.Slot(ctx)
	if err != nil {
		return fmt.Errorf("look at the slot %s: %w", name, err)
	}
	if slot == nil {
		return &cdc.Refusal{Name: "slot_missing", Unsafe: true, Problem: fmt.Sprintf("the slot %s was dropped while it was streaming", name),
			Remedy: "changes may be lost to this stream: start a new one under another --prefix"}
	}
	if err := slot.CheckWAL(); err != nil {
		return err
	}
	publication, err := t.monitor.Publication(ctx)
	if err != nil {
		return err
	}
	if err := t.checkPublication(ctx, given, publication); err != nil {
		return err
	}
	if err := t.lookAtIdentities(ctx); err != nil {
		return err
	}
	if commit := t.role.progress.Commit.Load(); commit > 0 {
		t.role.Status.Text("position", cdc.LSN(commit).String())
	}
	t.role.Status.Text("tables", fmt.Sprint(t.met.Load()))
	return nil
}

// lookAtTopics refuses topics that were made anew, or have other partitions, under the stream: Kafka would go on taking its events. It
// must see so twice, for a broker may lag behind. That Kafka does not answer is for the writer to notice.
func (t *tables) lookAtTopics(ctx context.Context) error {
	topology := t.latest.Load()
	found, err := kafka.LookAgain(ctx, t.client, topology.Names()...)
	if err != nil {
		t.role.Log.Debug("the topics could not be looked at", "error", err)
		return nil
	}
	seen := ""
	if err = topology.CheckTopics(found); err != nil {
		seen = err.Error()
	}
	if seen == t.suspect {
		return err
	}
	t.suspect = seen
	return nil
}

// lookAtIdentities tells of a table that has come to the publication without a replica identity: the application's own UPDATE and
// DELETE of it fail from then on. The stream loses nothing by it, and neither to stop it nor to call it unready would mend them.
func (t *tables) lookAtIdentities(ctx context.Context) error {
	err := t.monitor.Identities(ctx)
	var refusal *cdc.Refusal
	switch {
	case err != nil && !errors.As(err, &refusal):
		return err
	case refusal == nil && t.harms != "":
		t.harms = ""
		t.role.Status.Set(status.Healthy, "")
	case refusal != nil && t.harms != refusal.Problem:
		t.harms = refusal.Problem
		t.role.Status.Set(status.Healthy, refusal.Error())
		t.role.Log.Warn("a published table has no replica identity", "problem", refusal.Problem, "remedy", refusal.Remedy)
	}
	return nil
}

// unlessEnded hides what the end of a context causes.
func unlessEnded(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return nil
	}
	return err
}
