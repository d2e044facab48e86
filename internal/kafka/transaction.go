package kafka

import (
	"errors"
	"fmt"
	"time"

	"github.com/IBM/sarama"
	"golang.org/x/sync/errgroup"
)

// Begin opens a transaction. The broker does not hear of it before Enlist.
func (p *Producer) Begin() error {
	if err := p.usable(); err != nil {
		return err
	}
	if p.open {
		return errors.New("a kafka transaction is open already")
	}
	if time.Since(p.last) > idleLimit {
		for _, b := range p.client.Brokers() {
			b.Close() // the client opens it again; one that is closed already is as good
		}
	}
	p.open, p.used, p.enlisted = true, p.used[:0], 0
	p.round++
	p.memory.reset()
	return nil
}

// To returns the queue of a partition in the open transaction, good until Commit.
func (p *Producer) To(topic string, number int32) *Queue {
	q := p.queues[partition{topic, number}]
	if q == nil {
		q = &Queue{partition: partition{topic, number}, producer: p}
		p.queues[q.partition] = q
	}
	if q.round != p.round {
		q.begin(p.round)
		p.used = append(p.used, q)
	}
	return q
}

// Send adds a record to the open transaction.
func (p *Producer) Send(m *sarama.ProducerMessage) {
	if p.failed != nil {
		return
	}
	key, err := bytesOf(m.Key)
	if err == nil {
		var value []byte
		if value, err = bytesOf(m.Value); err == nil {
			p.To(m.Topic, m.Partition).Add(key, value, m.Headers...)
		}
	}
	if err != nil {
		p.failed = fmt.Errorf("produce to topic %s: %w", m.Topic, err)
	}
}

func bytesOf(e sarama.Encoder) ([]byte, error) {
	if e == nil {
		return nil, nil
	}
	return e.Encode()
}

// usable says why the producer cannot go on.
func (p *Producer) usable() error {
	if p.abandoned.Load() && p.failed == nil {
		p.failed = fmt.Errorf("%w: the producer was abandoned", ErrOutcomeUnknown)
	}
	return p.failed
}

// fail ends the producer's use. What was cut off by Abandon has that for a reason.
func (p *Producer) fail(err error) error {
	if p.failed == nil {
		if p.usable() == nil {
			p.failed = err
		}
	}
	return p.failed
}

// Enlist tells the coordinator of the partitions that the transaction has records for. Flush does so for those that come
// later.
func (p *Producer) Enlist() error {
	if err := p.usable(); err != nil {
		return err
	}
	if p.enlisted == len(p.used) {
		return nil
	}
	request := &sarama.AddPartitionsToTxnRequest{Version: 3, TransactionalID: p.id, ProducerID: p.producerID, ProducerEpoch: p.epoch,
		TopicPartitions: map[string][]int32{}}
	for _, q := range p.used[p.enlisted:] {
		request.TopicPartitions[q.topic] = append(request.TopicPartitions[q.topic], q.number)
	}
	// Kafka writes the markers of the last transaction after it has answered; until then this one has to wait.
	err := p.insist(func(coordinator *sarama.Broker) (sarama.KError, error) {
		r, err := coordinator.AddPartitionsToTxn(request)
		if err != nil {
			return sarama.ErrNoError, err
		}
		return firstError(r), nil
	})
	if err != nil {
		return p.fail(fmt.Errorf("add partitions to a transaction of %s: %w", p.id, err))
	}
	if p.enlisted == 0 {
		p.expires = time.Now().Add(p.timeout)
	}
	p.enlisted = len(p.used)
	return nil
}

// firstError returns the answer that tells most: beside a partition with an error of its own the others only say that they
// were not tried.
func firstError(r *sarama.AddPartitionsToTxnResponse) sarama.KError {
	worst := sarama.ErrNoError
	for _, partitions := range r.Errors {
		for _, e := range partitions {
			if e.Err != sarama.ErrNoError && (worst == sarama.ErrNoError || worst == sarama.ErrOperationNotAttempted) {
				worst = e.Err
			}
		}
	}
	return worst
}

// insist asks until the coordinator has done it, for commitTimeout. A question without an answer is not repeated.
func (p *Producer) insist(question func(*sarama.Broker) (sarama.KError, error)) error {
	deadline := time.Now().Add(commitTimeout)
	for backoff := time.Millisecond; ; backoff = min(2*backoff, 100*time.Millisecond) {
		err := p.ask(question)
		if err == nil || !passing(err) && !errors.Is(err, sarama.ErrUnknownTopicOrPartition) || p.abandoned.Load() || time.Now().After(deadline) {
			return err
		}
		time.Sleep(backoff)
	}
}

// Flush has the brokers take all records that were added. They stay unseen until Commit.
func (p *Producer) Flush() error {
	if err := p.Enlist(); err != nil {
		return err
	}
	producer := &p.client.Config().Producer
	for {
		n := 0
		for _, q := range p.used {
			if n == len(p.batches) {
				p.batches = append(p.batches, &batch{})
			}
			if q.next(p.batches[n], producer.Compression, producer.CompressionLevel) {
				n++
			}
		}
		if n == 0 {
			return nil
		}
		if err := p.produce(p.batches[:n]); err != nil {
			return p.fail(err)
		}
		for _, b := range p.batches[:n] {
			*b = batch{} // it holds what was sent
		}
	}
}

// produce sends batches, one of a partition, until the brokers have them, for as long as the transaction may last: a later try
// would only be told that the producer is fenced, which hides the reason.
func (p *Producer) produce(left []*batch) error {
	deadline := time.Now().Add(commitTimeout)
	if p.expires.Before(deadline) {
		deadline = p.expires
	}
	for backoff := 10 * time.Millisecond; ; backoff = min(2*backoff, 500*time.Millisecond) {
		var err error
		if left, err = p.tryProduce(left); err == nil || len(left) == 0 {
			return err
		}
		if p.abandoned.Load() || time.Now().After(deadline) {
			return err
		}
		time.Sleep(backoff)
		topics := make([]string, len(left))
		for i, b := range left {
			topics[i] = b.topic
		}
		p.client.RefreshMetadata(topics...) // the next try tells whether it helped
	}
}

// tryProduce sends batches once and returns those that are worth another try, with the reason of one of them. An error
// without any is final.
func (p *Producer) tryProduce(batches []*batch) (again []*batch, err error) {
	byLeader := map[*sarama.Broker][]*batch{}
	for _, b := range batches {
		leader, moved := p.client.Leader(b.topic, b.number)
		if moved != nil {
			again, err = append(again, b), fmt.Errorf("produce to topic %s: %w", b.topic, moved)
			continue
		}
		byLeader[leader] = append(byLeader[leader], b)
	}
	answers := make([]answer, 0, len(byLeader))
	for leader, batches := range byLeader {
		answers = append(answers, answer{leader: leader, batches: batches})
	}
	var group errgroup.Group
	for i := range answers[min(1, len(answers)):] {
		group.Go(func() error { answers[i+1].ask(p); return nil })
	}
	if len(answers) > 0 {
		answers[0].ask(p)
	}
	group.Wait() // it has no errors of its own
	for _, a := range answers {
		for _, b := range a.batches {
			failed := a.err
			if failed == nil {
				if failed = outcome(a.response.GetBlock(b.topic, b.number)); failed == nil {
					b.acknowledged()
					continue
				}
			}
			if TooLarge(failed) {
				return nil, p.tooLarge(b, failed)
			}
			wrapped := fmt.Errorf("produce to topic %s: %w", b.topic, failed)
			if !retriable(failed) {
				return nil, wrapped
			}
			again, err = append(again, b), wrapped
		}
	}
	return again, err
}

// answer is what a leader said to its batches.
type answer struct {
	leader   *sarama.Broker
	batches  []*batch
	response *sarama.ProduceResponse
	err      error
}

func (a *answer) ask(p *Producer) { a.response, a.err = a.leader.Produce(p.request(a.batches)) }

func (p *Producer) request(batches []*batch) *sarama.ProduceRequest {
	r := &sarama.ProduceRequest{Version: 10, TransactionalID: &p.id, RequiredAcks: sarama.WaitForAll,
		Timeout: int32(p.client.Config().Producer.Timeout / time.Millisecond)}
	for _, b := range batches {
		r.AddBatch(b.topic, b.number, &b.records)
	}
	return r
}

// outcome of one batch. A broker that knows the sequence already has the batch.
func outcome(block *sarama.ProduceResponseBlock) error {
	switch {
	case block == nil:
		return sarama.ErrIncompleteResponse
	case block.Err == sarama.ErrNoError || block.Err == sarama.ErrDuplicateSequenceNumber:
		return nil
	}
	return block.Err
}

// retriable tells what may pass: no answer, or no leader, or too few replicas.
func retriable(err error) bool {
	var code sarama.KError
	if !errors.As(err, &code) {
		var unwritable sarama.PacketEncodingError
		return !errors.As(err, &unwritable) && !errors.Is(err, sarama.ErrUnsupportedVersion)
	}
	return movable(code) || code == sarama.ErrUnknownTopicOrPartition || code == sarama.ErrNotEnoughReplicas ||
		code == sarama.ErrNotEnoughReplicasAfterAppend || code == sarama.ErrNetworkException
}

// Commit ends the open transaction. An error that is ErrOutcomeUnknown may hide a commit; after any other, nothing was
// committed.
func (p *Producer) Commit() error {
	if err := p.Flush(); err != nil {
		return err
	}
	p.open, p.last = false, time.Now()
	if len(p.used) == 0 {
		return nil
	}
	request := &sarama.EndTxnRequest{Version: 3, TransactionalID: p.id, ProducerID: p.producerID, ProducerEpoch: p.epoch, TransactionResult: true}
	err := p.insist(func(coordinator *sarama.Broker) (sarama.KError, error) {
		r, err := coordinator.EndTxn(request)
		if err != nil {
			return sarama.ErrNoError, err
		}
		return r.Err, nil
	})
	if err != nil { // an answer may hide a commit too: of one that the coordinator wrote down but could not replicate in time
		return p.fail(fmt.Errorf("%w: %w", ErrOutcomeUnknown, err))
	}
	return nil
}
