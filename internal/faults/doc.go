// Package faults proves the promise: it breaks a running LiveDB at random, again and again, and audits what is left.
//
//	go run ./internal/faults/run --cdc 200 --postgres 50 --state faults.json --resume
//
// The work is cut into rounds. A round is a fresh Postgres and a stream of its own on a Kafka that lives as long as the
// run: roles as processes of their own, built with failpoints; writers; and a random sequence of faults, each of them
// awaited until the online reader has come some events further. Then the writers stop and everything is held against
// everything: the audits, the view against its SELECT, the online reader's file against the stream.
//
//	workload, burst ──► Postgres ──► livedb cdc ──► Kafka ──► livedb process
//	                       ▲             ▲            ▲  └──► the online reader ──► its file
//	                       └───────── faults ─────────┘
//
// A role is kept running as a service manager keeps it: whatever ends it, it starts again, unless it says by its exit code
// that going on would break a promise. That ends the round.
package faults
