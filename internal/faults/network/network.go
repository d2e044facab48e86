// Package network breaks connections on purpose. Its Dialer stands between a client and its servers, sees where their
// messages begin and end, and does to a chosen one what networks do: lose it, hold it back, deliver it after all, go silent.
//
//	client ═══ pair ═══► up ────► server
//	client ◄══ pair ════ down ◄── server
//
// It looks into messages of Kafka and of Postgres no deeper than it must to tell them apart. What is encrypted passes
// unseen: of it, only whole connections can be broken.
package network

import "strings"

// Side says who sent a message.
type Side byte

// The sides of a connection.
const (
	Client Side = iota + 1
	Server
)

// Message is what a fault is chosen by: the head of a message that is about to be passed on.
type Message struct {
	From Side
	API  int16  // Kafka's API key: of the request, or of the one that this response answers
	Type string // Postgres's type byte, and within CopyData the next ones: "Q" a query, "dr" a status, "dwC" a Commit of pgoutput
	Slot string // Postgres: the slot that the connection streams from; empty until it does
}

// Match chooses messages.
type Match func(Message) bool

// Kafka's API keys, as far as faults are chosen by them.
const (
	Produce            int16 = 0
	Fetch              int16 = 1
	ListOffsets        int16 = 2
	FindCoordinator    int16 = 10
	InitProducerID     int16 = 22
	AddPartitionsToTxn int16 = 24
	EndTxn             int16 = 26
)

// Request matches requests of Kafka.
func Request(api int16) Match {
	return func(m Message) bool { return m.From == Client && m.API == api && m.Type == "" }
}

// Response matches the answers to such requests.
func Response(api int16) Match {
	return func(m Message) bool { return m.From == Server && m.API == api && m.Type == "" }
}

// Messages of a Postgres stream, for Type.
const (
	Status    = "dr" // from the client; the others are the server's
	Keepalive = "dk"
	XLogData  = "dw"
	Begin     = "dwB"
	Insert    = "dwI"
	Commit    = "dwC"
)

// Type matches messages of Postgres by the beginning of their Type.
func Type(prefix string) Match {
	return func(m Message) bool { return strings.HasPrefix(m.Type, prefix) }
}

// Of narrows a match to the connection that streams from a slot.
func Of(slot string, match Match) Match {
	return func(m Message) bool { return m.Slot == slot && match(m) }
}

// Action is what a fault does.
type Action byte

// The actions.
const (
	// Watch does nothing: the message passes, and Fired tells of it.
	Watch Action = iota + 1
	// Cut passes less than the whole message on, down to nothing of it, and closes both ends. On a request it is lost; on a
	// response, the request was served and nobody hears of it.
	Cut
	// CutAfter passes the whole message on and closes both ends.
	CutAfter
	// Late is for a client's message: the client finds the connection closed, and yet the server gets the message, whole, when
	// Until closes. The server's answer goes nowhere; Answered tells of it.
	Late
	// Hold passes the message on when Until closes, and what is behind it in its direction waits with it.
	Hold
	// Drop loses the message; the connection goes on. Only a protocol that does not count messages bears it.
	Drop
	// Silence makes the connection half open: from this message on nothing passes in either direction, writes seem to
	// succeed, and neither end learns that the other has closed.
	Silence
	// Slow passes Rate bytes in a millisecond from this message on, in both directions.
	Slow
)

// Always, as Times, is often enough for every test.
const Always = 1 << 30

// Fault is an action on the messages it matches.
type Fault struct {
	Match  Match
	Action Action
	After  *Injection      // if not nil, messages count only once it has fired
	Skip   int             // matching messages to pass before the first one that is acted on
	Times  int             // how many are acted on; 0 means one
	Until  <-chan struct{} // for Hold and Late; nil: never
	Rate   int             // for Slow, bytes in a millisecond; 0 means 1
}

// Injection is a fault that a Dialer watches for.
type Injection struct {
	fault    Fault
	fired    chan struct{}
	answered chan struct{}
	acted    int // under the dialer's mu
}

// Fired is closed when the fault was acted out for the first time, or is just about to be.
func (i *Injection) Fired() <-chan struct{} { return i.fired }

// hasFired may be asked by another dialer's connections.
func (i *Injection) hasFired() bool {
	select {
	case <-i.fired:
		return true
	default:
		return false
	}
}

// Answered is closed when the server has answered a Late message, or has closed the connection on it.
func (i *Injection) Answered() <-chan struct{} { return i.answered }
