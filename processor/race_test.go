//go:build race

package processor

// Under the race detector no producer is fenced: sarama 1.61.1 reads transactionManager.lastError without its lock
// while it retries the fenced batches (publishTxnPartitions against transitionTo).
func init() { takeovers = false }
