package producer

import (
	"encoding/json"
	"fmt"

	"github.com/IBM/sarama"

	"github.com/livedb/livedb/cdc"
	"github.com/livedb/livedb/cdc/envelope"
	"github.com/livedb/livedb/internal/kafka"
)

// Certificate tells what the stream loses if its epoch ends with this checkpoint. Where the next epoch begins is not in it.
func (c *Checkpoint) Certificate(stream string, why *cdc.Refusal) *envelope.Gap {
	if c.State == Creating && c.Gap != nil { // the epoch before it has ended, and nothing has come since
		gap := *c.Gap
		return &gap
	}
	g := &envelope.Gap{Version: 1, Stream: stream, EpochFrom: c.Epoch, EpochTo: c.Epoch + 1, SourceWas: c.Source,
		From: envelope.GapFrom{Epoch: c.Epoch, Seq: c.Seq, Position: cdc.Position{Commit: c.Commit, Index: c.Index}, End: c.End, CommitTime: c.CommitTime},
		Why:  envelope.GapWhy{Name: why.Name, Text: why.Problem}}
	if p := c.Partial; p != nil {
		g.From.Partial, g.From.Position = true, cdc.Position{Commit: p.Commit, Index: p.EventsDone}
	}
	return g
}

// BeginEpoch writes, in one Kafka transaction, the certificate into the order, the checkpoint that the epoch begins with,
// and the topology, which notes nothing of what the publication gave before.
func BeginEpoch(p *kafka.Producer, topics envelope.Topics, at Checkpoint, gap *envelope.Gap, topology Topology) (Topology, error) {
	topology.Version, topology.Mapping, topology.Published = 1, Mapping, Published{}
	record := envelope.TransactionRecord{Version: 1, Epoch: at.Epoch, Topics: []string{}, Entries: []envelope.TransactionEntry{}, Gap: gap}
	position, err := json.Marshal(at)
	if err != nil {
		return topology, fmt.Errorf("write the checkpoint of epoch %d: %w", at.Epoch, err)
	}
	places, err := json.Marshal(topology)
	if err != nil {
		return topology, fmt.Errorf("write the topology of epoch %d: %w", at.Epoch, err)
	}
	if err := p.Begin(); err != nil {
		return topology, err
	}
	p.Send(&sarama.ProducerMessage{Topic: topics.Transaction(), Value: sarama.ByteEncoder(record.Append(nil))})
	p.Send(&sarama.ProducerMessage{Topic: topics.Checkpoint(), Key: sarama.StringEncoder(keyTopology), Value: sarama.ByteEncoder(places)})
	p.Send(&sarama.ProducerMessage{Topic: topics.Checkpoint(), Key: sarama.StringEncoder(keyPosition), Value: sarama.ByteEncoder(position)})
	if err := p.Commit(); err != nil {
		return topology, fmt.Errorf("begin epoch %d of the stream %s: %w", at.Epoch, string(topics), err)
	}
	return topology, nil
}
