// Package processor reads the stream back from Kafka: in commit order, checked, and folded into views.
//
//	<prefix>.transaction ──► what comes next ─┐
//	<prefix>.public.orders 0 ──► queue ─┐     ▼
//	<prefix>.public.orders 1 ──► queue ─┼─► sequencer ─► Next: Begin, Event …, End ─► view ─► <prefix>.view-orders
//	<prefix>.public.items  0 ──► queue ─┘   (order.go)                             (fold.go)  <prefix>.state-orders
//	      feeders (feed.go)                                                        (run.go: the role "process")
//
// A [Reader] restores the one order that Kafka's partitions hide. Kafka shows a committed transaction partition by
// partition, at different times, so nothing is delivered on arrival: the record of <prefix>.transaction says which seqs
// come next, and each is taken from the head of the queue that holds it. Every seq is checked; a stream with a gap, a
// repeat or a step back ends with a named error (errors.go), never with other output.
//
// # What a Reader promises
//
// It delivers every committed transaction of the stream, or of the tables that are read, whole between its Begin and its
// End, in the order of commit, each event once. It starts at the beginning, at the oldest transaction kept, now, or at a
// saved place ([Start]). A program that stores what [Reader.Saved] returns together with the effects of what it read, in
// one atomic step, has each effect exactly once, however often it is killed. See the example.
//
// It does not promise that an effect outside of that step happens once: after a crash, what followed the last stored place
// is delivered again. An End says nothing about later transactions, and a Begin may be long before its End: a large
// transaction comes in pieces, and is never held whole. A reader of some tables cannot notice what is wrong in the others.
//
// # Views
//
// A [View] is a SELECT … GROUP BY kept up to date. [Run] is the role "process": it reads, folds, and writes results and
// its own place in the stream in one Kafka transaction.
//
// # Inside
//
// The sequencer (chain.go, order.go, due.go, queue.go) and the fold (fold.go, window.go, scan.go, exact.go, result.go) are pure: no
// Kafka, no clock, no goroutine. The files around them do the input and output.
//
// What has bitten: a broker answers the requests of one connection in turn, so the fetches have a connection of their
// own (sample.go); offsets cannot tell where committed records end, so what is read back ends at a barrier (restore.go);
// retention moves a quiet log past the place saved and removes nothing but commit markers, so only a missing seq is a
// loss (beginAt); a quiet partition looks like a late one, so a reader of some tables goes by counts (due.go).
package processor
