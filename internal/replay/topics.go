package replay

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/IBM/sarama"

	"github.com/livedb/livedb/cdc"
	"github.com/livedb/livedb/cdc/envelope"
	"github.com/livedb/livedb/internal/kafka"
	"github.com/livedb/livedb/producer"
)

// keyReplay is the key, in <prefix>.replay-<id>.checkpoint, of what the replay is. Beside it stand the position and the
// topology, as in the checkpoint of a stream.
const keyReplay = "replay"

// order of writing: topology, position, replay. Events are written only after all three, so that a start which finds no
// replay there begins anew.
type record struct {
	Version int    `json:"version"`
	ID      string `json:"id"`
	From    string `json:"from"` // as it was asked for
	To      string `json:"to"`
	Plan    plan   `json:"plan"`
}

// peekRecord reads what a replay of this id is, without a producer; nil if there has been none.
func peekRecord(ctx context.Context, client sarama.Client, topics envelope.Topics) (*record, error) {
	found, err := kafka.Look(ctx, client, topics.Checkpoint())
	if err != nil {
		return nil, err
	}
	if _, exists := found[topics.Checkpoint()]; !exists {
		return nil, nil
	}
	latest, err := kafka.Latest(ctx, client, topics.Checkpoint(), keyReplay)
	if err != nil {
		return nil, err
	}
	r, exists := latest[keyReplay]
	if !exists {
		return nil, nil
	}
	saved := &record{}
	if err := json.Unmarshal(r.Value, saved); err != nil || saved.Version != 1 {
		return nil, &cdc.Refusal{Name: "checkpoint_unreadable", Unsafe: true, Problem: fmt.Sprintf("the replay in topic %s cannot be read (version %d, %v)", topics.Checkpoint(), saved.Version, err),
			Remedy: "choose another --id, or use the version of LiveDB that began it"}
	}
	return saved, nil
}

func writeRecord(p *kafka.Producer, topics envelope.Topics, r record) error {
	text, err := json.Marshal(r)
	if err != nil {
		return fmt.Errorf("write the replay to topic %s: %w", topics.Checkpoint(), err)
	}
	if err := p.Begin(); err != nil {
		return err
	}
	p.Send(&sarama.ProducerMessage{Topic: topics.Checkpoint(), Key: sarama.StringEncoder(keyReplay), Value: sarama.ByteEncoder(text)})
	if err := p.Commit(); err != nil {
		return fmt.Errorf("write the replay to topic %s: %w", topics.Checkpoint(), err)
	}
	return nil
}

// begin is the checkpoint that a replay begins with.
func (p *plan) begin(source producer.Source) producer.Checkpoint {
	c := producer.Checkpoint{Version: 1, Epoch: p.Epoch, Time: time.Now().UTC(), State: producer.Streaming, Source: source,
		Commit: p.Previous, End: cdc.EndLSN(p.From.Position.Commit), AckedUpto: cdc.LSN(p.From.Position.Commit), Seq: p.From.Seq - 1}
	if done := p.From.Position.Index - 1; done > 0 {
		c.Partial = &producer.Partial{Commit: p.From.Position.Commit, XID: p.From.XID, EventsDone: done}
	}
	return c
}

// finished reports whether a checkpoint says that all of the plan has been written.
func (p *plan) finished(c *producer.Checkpoint) bool {
	return c.Commit == p.To.Position.Commit && c.Partial == nil
}

// places gives the topics that a plan needs for events, each where the stream's own has its events.
func (p *plan) places(stream, replay envelope.Topics, topology producer.Topology) (map[string]producer.Place, error) {
	places := map[string]producer.Place{}
	for _, topic := range slices.Sorted(maps.Keys(p.Counts)) {
		if topic == stream.Truncate() {
			continue
		}
		place, known := topology.Topics[topic]
		if !known {
			return nil, differs("the stream's order names the topic %s, and its topology does not", topic)
		}
		name, err := replay.Table(place.Schema, place.Table)
		if err != nil {
			return nil, &cdc.Refusal{Name: "topic_name_too_long", Problem: err.Error(), Remedy: "choose a shorter --id, or --output -", Err: err}
		}
		place.ID = ""
		places[name] = place
	}
	return places, nil
}

// wanted lists the topics of a replay.
func wanted(topics envelope.Topics, places map[string]producer.Place) []kafka.Topic {
	all := producer.OwnTopics(topics, 0)
	for _, name := range slices.Sorted(maps.Keys(places)) {
		all = append(all, kafka.Topic{Name: name, Partitions: places[name].Partitions})
	}
	return all
}

// checkNew refuses topics that are the stream's own or already hold something.
func checkNew(ctx context.Context, client sarama.Client, topology producer.Topology, topics []kafka.Topic) error {
	missing, err := kafka.CheckTopics(ctx, client, topics...)
	if err != nil {
		return err
	}
	for _, t := range topics {
		if _, streams := topology.Topics[t.Name]; streams {
			return notEmpty(t.Name)
		}
		if t.Compacted || slices.ContainsFunc(missing, func(m kafka.Topic) bool { return m.Name == t.Name }) {
			continue
		}
		for p := range t.Partitions {
			_, found, err := kafka.Tail(ctx, client, t.Name, p)
			if err != nil {
				return err
			}
			if found {
				return notEmpty(t.Name)
			}
		}
	}
	return nil
}

func notEmpty(topic string) *cdc.Refusal {
	return &cdc.Refusal{Name: "topic_not_empty", Unsafe: true, Problem: fmt.Sprintf("the topic %s holds records that are not this replay's", topic),
		Remedy: "choose another --id, or delete the topic"}
}

// topology makes the replay's topology of topics that exist.
func topologyOf(ctx context.Context, client sarama.Client, topics envelope.Topics, places map[string]producer.Place) (producer.Topology, error) {
	t := producer.Topology{Version: 1, Mapping: producer.Mapping, Own: map[string]string{}, Topics: places}
	own := []string{topics.Checkpoint(), topics.Transaction(), topics.Truncate()}
	found, err := kafka.LookAgain(ctx, client, append(own, slices.Sorted(maps.Keys(places))...)...)
	if err != nil {
		return t, err
	}
	for _, name := range own {
		t.Own[name] = found[name].ID
	}
	for name, place := range places {
		place.ID = found[name].ID
		t.Topics[name] = place
	}
	return t, nil
}
