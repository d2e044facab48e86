package kafka

import (
	"errors"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/IBM/sarama"
)

// sarama sends EndTxn again by itself when a connection breaks under it, with the same producer id and epoch. The first
// copy may still be on its way: under Kafka's first transaction protocol, the only one sarama speaks, it would end the
// NEXT transaction too early (KAFKA-17754). sarama tells of it in its log alone, so that is where we listen; a producer
// that did it is not used again, and the next one's epoch fences the late copy.
func init() { sarama.Logger = endTxnListener{} }

// endTxnRepeats counts, by transactional id, the EndTxn requests that were sent again after a broken connection.
var endTxnRepeats sync.Map // string → *atomic.Int64

func repeatsOf(transactionalID string) *atomic.Int64 {
	n, _ := endTxnRepeats.LoadOrStore(transactionalID, new(atomic.Int64))
	return n.(*atomic.Int64)
}

// endTxnListener is sarama's logger: it drops what it is told but for that one line.
type endTxnListener struct{}

func (endTxnListener) Print(...any)   {}
func (endTxnListener) Println(...any) {}

func (endTxnListener) Printf(format string, v ...any) {
	if !strings.HasPrefix(format, "txnmgr/endtxn [%s] retrying") || len(v) != 4 {
		return
	}
	id, named := v[0].(string)
	err, failed := v[3].(error)
	var answered sarama.KError
	if named && failed && !errors.As(err, &answered) { // an answer means that the request has arrived: nothing is on its way
		repeatsOf(id).Add(1)
	}
}
