package capture_test

import (
	"testing"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/livedb/livedb/internal/devstack"
)

// Whatever a broker answers for good to a request of a transaction, as after a week without one, when it has forgotten the
// transactional id, the stream takes a new producer and goes on as if nothing had been.
func TestTheStreamSurvivesEachAnswerOfKafka(t *testing.T) {
	t.Parallel()
	k, err := devstack.StartKafka(devstack.KafkaConfig{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(k.Close)
	r := newRig(t, devstack.SharedPostgres(t), func(r *rig) { r.config.Kafka.Brokers = k.Brokers() })
	for _, c := range []struct {
		key  kmsg.Key
		code *kerr.Error
	}{
		{kmsg.AddPartitionsToTxn, kerr.InvalidProducerIDMapping},
		{kmsg.AddPartitionsToTxn, kerr.ProducerFenced},
		{kmsg.Produce, kerr.InvalidProducerEpoch},
		{kmsg.Produce, kerr.OutOfOrderSequenceNumber},
		{kmsg.EndTxn, kerr.InvalidProducerIDMapping},
		{kmsg.EndTxn, kerr.InvalidTxnState},
	} {
		answered := make(chan struct{})
		k.Cluster().ControlKey(c.key.Int16(), func(request kmsg.Request) (kmsg.Response, error, bool) {
			close(answered)
			return devstack.Failing(request, c.code.Code), nil, true
		})
		r.happen(c.key.Name()+" "+c.code.Message, answered)
		r.progress()
	}
	r.finish()
}
