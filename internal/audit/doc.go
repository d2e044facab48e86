// Package audit proves, after the fact and from outside, that a stream keeps its promises.
//
//	stream   the raw log alone: every seq once and in order, whole transactions, true checkpoints
//	source   the log against an independent reading of the source's WAL
//	state    the fold of all events against the source's tables
//
// An audit never stops at a fault: it names it, goes on and counts. It reads and writes nothing else.
package audit
