package capture

import (
	"errors"

	"github.com/livedb/livedb/cdc"
	"github.com/livedb/livedb/cdc/postgres"
	"github.com/livedb/livedb/internal/kafka"
	"github.com/livedb/livedb/producer"
)

// named gives what internal/kafka says, which knows no refusals, the name of one.
func named(err error) error {
	var refusal *cdc.Refusal
	var partitions *kafka.PartitionsError
	switch {
	case errors.As(err, &refusal):
		return err
	case errors.As(err, &partitions):
		return &cdc.Refusal{Name: "topic_partitions_changed", Unsafe: true, Problem: partitions.Problem(), Remedy: partitions.Remedy(), Err: err}
	case kafka.TooLarge(err):
		return &cdc.Refusal{Name: "row_too_large", Problem: "kafka does not take a change that is this large (" + err.Error() + ")",
			Remedy: "the stream stops before it, so nothing is lost: raise the topic's max.message.bytes, or leave the table or its large column out of the publication", Err: err}
	}
	return err
}

// permanent tells what trying again would not mend.
func permanent(err error) bool {
	var refusal *cdc.Refusal
	return errors.As(err, &refusal)
}

// reason is the label of a restart.
func reason(err error) string {
	var connect *postgres.ConnectError
	var busy *postgres.SlotBusyError
	var unreachable *kafka.UnreachableError
	switch {
	case errors.As(err, &connect):
		return "source_unreachable"
	case errors.As(err, &busy):
		return "slot_in_use"
	case errors.As(err, &unreachable):
		return "kafka_unreachable"
	case errors.Is(err, producer.ErrStalled):
		return "kafka_stalled"
	case errors.Is(err, producer.ErrWorn):
		return "producer_worn"
	case errors.Is(err, postgres.ErrSilent):
		return "source_silent"
	case errors.Is(err, kafka.ErrOutcomeUnknown):
		return "outcome_unknown"
	case kafka.Fenced(err):
		return "fenced"
	}
	return "broken"
}
