// Package pgoutput turns the bytes of Postgres' pgoutput plugin into changes: proto_version 1, streaming off, binary
// off, two_phase off. It is pure: no network, no log, no clock. Bytes in, a Message or a named error out.
//
// The format stands in the Postgres manual, chapter "Logical Replication Message Formats", and in its writer,
// src/backend/replication/logical/proto.c; which message is sent when is in
// src/backend/replication/pgoutput/pgoutput.c.
//
// Every message is a letter and a fixed layout, big-endian. The decoder reads all of it and accepts nothing it does not
// know: a flag, a marker or a byte without a meaning here is an error, and so is a message that makes no sense where it
// stands, such as a change outside a transaction. Whoever skips a message it cannot read acknowledges its loss with the
// next one, so an error is meant to stop the stream.
//
// What is not promised: values stay text and are not validated; that the session settings make that text unambiguous is
// the connection's business.
package pgoutput
