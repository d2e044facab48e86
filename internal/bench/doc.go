// Package bench measures how fast a parked slot is drained, by LiveDB and by others, and at what cost.
//
//	park a slot ─► load ─► for each repetition, for each party: copy the slot ─► drain the copy as a process of its own
//	                                                            │                  └ its CPU, the walsender's, the broker's
//	                                                            └ what of the machine's CPU nobody explains: noise
//
// Every party drains its own copy of one slot, so all see the same WAL. Parties take turns, in reverse order every other
// time, and each run has a fresh broker. What LiveDB wrote is counted as a read_committed reader sees it before the rate
// counts. A run during which others used more than a tenth of the machine is repeated; if it stays noisy it is no result.
package bench
