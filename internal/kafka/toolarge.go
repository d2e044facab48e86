package kafka

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/IBM/sarama"

	"github.com/livedb/livedb/cdc"
)

// TooLargeError says that Kafka does not take a batch of records, and names the largest of them: trying again will not help.
type TooLargeError struct {
	Topic   string
	Records int    // of the batch
	Key     []byte // of the largest
	Bytes   int    // of the largest
	Setting string // of the topic, that is exceeded
	Limit   int    // its value; 0: not known
	Err     error
}

func (e *TooLargeError) Error() string {
	limit, key := e.Setting, "without a key"
	if e.Limit > 0 {
		limit += " " + strconv.Itoa(e.Limit)
	}
	if e.Key != nil {
		key = fmt.Sprintf("with the key %s", e.Key[:min(len(e.Key), 100)])
	}
	return fmt.Sprintf("kafka does not take a batch this large of %d records for the topic %s (%s): the largest, %s, has %d bytes", e.Records, e.Topic, limit, key, e.Bytes)
}

func (e *TooLargeError) Unwrap() error { return e.Err }

// Refusal is the error's, with what helps for any topic.
func (e *TooLargeError) Refusal() *cdc.Refusal {
	return &cdc.Refusal{Name: "row_too_large", Problem: e.Error(),
		Remedy: fmt.Sprintf("the stream stops before it, so nothing is lost: raise the topic's %s, up to %d", e.Setting, MaxRecordBytes), Err: e}
}

// settingsPatience bounds the question for a limit, which only words the error.
const settingsPatience = 5 * time.Second

// tooLarge tells what of a batch is too large, and for which limit.
func (p *Producer) tooLarge(b *batch, err error) error {
	e := &TooLargeError{Topic: b.topic, Records: b.count, Bytes: -1, Setting: "max.message.bytes", Err: err}
	if errors.Is(err, sarama.ErrMessageSetSizeTooLarge) {
		e.Setting = "segment.bytes"
	}
	for _, r := range b.records.Records {
		if size := sizeOf(r) - recordOverhead; size > e.Bytes {
			e.Key, e.Bytes = r.Key, size
		}
	}
	ctx, cancel := context.WithTimeout(context.Background(), settingsPatience)
	defer cancel()
	if i, err := NewInspector(ctx, p.client); err == nil {
		if settings, err := i.TopicSettings(ctx, b.topic); err == nil {
			e.Limit, _ = strconv.Atoi(settings[b.topic][e.Setting])
		}
	}
	return e
}
