// Package devstack runs the servers that `livedb demo` and the tests need, with nothing to install or configure:
//
//	StartPostgres ──► postgres, a child process of ours    data in <temp>/livedb-pg-<random>, gone after Stop
//	StartKafka    ──► kfake, inside this process           records in memory, gone after Close
//
// A Postgres started here never outlives its parent, however the parent ends: on Linux the kernel tells it (fork_linux.go),
// elsewhere a guard process does (guard.go). What a killed parent could not clean up, the next start does (folder.go).
//
// Nothing here is durable, on purpose: fsync is off, and kfake is not crash-safe (DESIGN.md, embedded servers). No promise
// about the death of a Postgres host or of a Kafka broker may be tested with it; the death of LiveDB and of the Postgres
// processes may.
package devstack
