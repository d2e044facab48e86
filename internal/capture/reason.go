package capture

import (
	"errors"

	"github.com/livedb/livedb/cdc"
	"github.com/livedb/livedb/cdc/postgres"
	"github.com/livedb/livedb/internal/kafka"
	"github.com/livedb/livedb/producer"
)

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
	case errors.Is(err, postgres.ErrSilent):
		return "source_silent"
	case errors.Is(err, kafka.ErrOutcomeUnknown):
		return "outcome_unknown"
	case kafka.Fenced(err):
		return "fenced"
	}
	return "broken"
}
