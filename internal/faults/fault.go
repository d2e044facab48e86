package faults

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
)

// Kind is a kind of fault.
type Kind string

// The kinds.
const (
	CDC       Kind = "cdc"       // kill -9 of the role cdc, at a failpoint or at any time
	Postgres  Kind = "postgres"  // kill -9 of the postmaster, or its immediate or fast shutdown; then a start
	Walsender Kind = "walsender" // pg_terminate_backend of the stream's walsender
	Broker    Kind = "broker"    // kill -9 of one of Kafka's nodes, started again when the stream has gone on without it
	Processor Kind = "processor" // kill -9 of the role process, at a failpoint or at any time
	Reader    Kind = "reader"    // kill -9 of the online reader
	Pause     Kind = "pause"     // SIGSTOP of the role cdc until another one has taken over, then SIGCONT
	Pair      Kind = "pair"      // two cdc started at once

	// Two at once: what recovers from the one meets the other.
	BrokerCDC         Kind = "broker+cdc"
	PostgresProcessor Kind = "postgres+processor"
)

// Kinds lists the kinds, as results show them.
var Kinds = []Kind{CDC, Postgres, Walsender, Broker, Processor, Reader, Pause, Pair, BrokerCDC, PostgresProcessor}

// Counts is a number of faults of each kind.
type Counts map[Kind]int

// Sum is the number of all.
func (c Counts) Sum() int {
	sum := 0
	for _, n := range c {
		sum += n
	}
	return sum
}

// Add adds others.
func (c Counts) Add(others Counts) {
	for kind, n := range others {
		c[kind] += n
	}
}

// Without returns what is left when others are done.
func (c Counts) Without(others Counts) Counts {
	left := Counts{}
	for kind, n := range c {
		if n > others[kind] {
			left[kind] = n - others[kind]
		}
	}
	return left
}

// String names the kinds that are there, such as cdc 3, pair 1.
func (c Counts) String() string {
	var words []string
	for _, kind := range Kinds {
		if c[kind] > 0 {
			words = append(words, fmt.Sprintf("%s %d", kind, c[kind]))
		}
	}
	return strings.Join(words, ", ")
}

// Draw takes up to n faults at random out of those left, each kind as likely as it has faults left.
func (c Counts) Draw(rng *rand.Rand, n int) Counts {
	drawn := Counts{}
	for _, kind := range c.shuffled(rng)[:min(n, c.Sum())] {
		drawn[kind]++
	}
	return drawn
}

// shuffled lists every fault in a random order.
func (c Counts) shuffled(rng *rand.Rand) []Kind {
	var all []Kind
	for _, kind := range slices.Sorted(maps.Keys(c)) {
		all = append(all, slices.Repeat([]Kind{kind}, c[kind])...)
	}
	rng.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	return all
}
