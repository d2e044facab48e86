package devstack

import (
	"fmt"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// Failing is the answer to a request of a transaction with an error's code, for all that it asks. kfake's ControlKey takes it.
func Failing(r kmsg.Request, code int16) kmsg.Response {
	switch r := r.(type) {
	case *kmsg.InitProducerIDRequest:
		a := r.ResponseKind().(*kmsg.InitProducerIDResponse)
		a.ErrorCode, a.ProducerID, a.ProducerEpoch = code, -1, -1
		return a
	case *kmsg.AddPartitionsToTxnRequest:
		a := r.ResponseKind().(*kmsg.AddPartitionsToTxnResponse)
		for _, topic := range r.Topics {
			t := kmsg.AddPartitionsToTxnResponseTopic{Topic: topic.Topic}
			for _, p := range topic.Partitions {
				t.Partitions = append(t.Partitions, kmsg.AddPartitionsToTxnResponseTopicPartition{Partition: p, ErrorCode: code})
			}
			a.Topics = append(a.Topics, t)
		}
		return a
	case *kmsg.ProduceRequest:
		a := r.ResponseKind().(*kmsg.ProduceResponse)
		for _, topic := range r.Topics {
			t := kmsg.ProduceResponseTopic{Topic: topic.Topic}
			for _, asked := range topic.Partitions {
				p := kmsg.NewProduceResponseTopicPartition()
				p.Partition, p.ErrorCode = asked.Partition, code
				t.Partitions = append(t.Partitions, p)
			}
			a.Topics = append(a.Topics, t)
		}
		return a
	case *kmsg.EndTxnRequest:
		a := r.ResponseKind().(*kmsg.EndTxnResponse)
		a.ErrorCode = code
		return a
	}
	panic(fmt.Sprintf("no answer to %T", r))
}
