package kafka

import (
	"io"
	"testing"
	"time"

	"github.com/IBM/sarama"
)

// The listener knows sarama's line by its text; the network tests of internal/capture, where a real EndTxn is repeated, tell
// whether sarama still prints it.
func TestARepeatedEndTxnWearsTheProducerOut(t *testing.T) {
	const line = "txnmgr/endtxn [%s] retrying after %dms... (%d attempts remaining) (%s)\n"
	p := &Producer{repeats: repeatsOf("worn")}
	worn := func() bool { return p.repeats.Load() != p.before }
	sarama.Logger.Printf(line, "other", 10*time.Millisecond, 4, io.EOF)
	sarama.Logger.Printf(line, "worn", 10*time.Millisecond, 4, sarama.ErrConcurrentTransactions)
	if worn() {
		t.Error("another producer's repetition, or a request that was answered, wears it out")
	}
	sarama.Logger.Printf(line, "worn", 10*time.Millisecond, 4, io.EOF)
	if !worn() {
		t.Error("an EndTxn that was sent twice does not wear it out")
	}
}
