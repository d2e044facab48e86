package kafka_test

import (
	"fmt"
	"testing"

	"github.com/livedb/livedb/internal/kafka"
)

// What was written long ago is found, however much came after it; what a transaction left open wrote is not, nor what a
// tombstone took back.
func TestLatestWalksBackToEachKey(t *testing.T) {
	client, c := connect(t)
	topic := topicOf(t, client)
	p := open(t, c, topic+".writer")
	if err := send(t, p, topic, "old", "1", "gone", "1"); err != nil {
		t.Fatal(err)
	}
	var many []string
	for i := range 3 * 64 {
		many = append(many, "busy", fmt.Sprint(i))
	}
	if err := send(t, p, topic, many...); err != nil {
		t.Fatal(err)
	}
	leaveOpen(t, c, topic+".other", topic, "busy", "never")
	defer open(t, c, topic+".other")

	latest, err := kafka.Latest(t.Context(), client, topic, "old", "busy", "never")
	if err != nil || len(latest) != 2 || string(latest["old"].Value) != "1" || string(latest["busy"].Value) != "191" {
		t.Errorf("latest %v, %v", latest, err)
	}
}

// Whose barrier is the last: one that is about to be committed is not there yet.
func TestOthersBarrierTellsWhoCameLast(t *testing.T) {
	client, c := connect(t)
	topic := topicOf(t, client)
	write := func(instance string) {
		t.Helper()
		c := c
		c.Instance = instance
		if _, err := kafka.ReadCompacted(t.Context(), client, open(t, c, topic), topic); err != nil {
			t.Fatal(err)
		}
	}
	expect := func(want bool) {
		t.Helper()
		if others, err := kafka.OthersBarrier(t.Context(), client, topic, "we"); others != want || err != nil {
			t.Errorf("another's is %t, %v", others, err)
		}
	}
	expect(false) // nobody's
	write("they")
	expect(true)
	write("we")
	leaveOpen(t, c, topic, topic, `{"livedb":"barrier"}`, "they are starting")
	expect(false)
	write("they")
	expect(true)
}

// Behind a barrier nothing can follow that was begun before it.
func TestLatestBehindABarrierIsTheTruth(t *testing.T) {
	client, c := connect(t)
	topic := topicOf(t, client)
	if err := send(t, open(t, c, topic), topic, "position", "1"); err != nil {
		t.Fatal(err)
	}
	leaveOpen(t, c, topic, topic, "position", "2")
	for range 2 { // and again, over the first barrier
		p := open(t, c, topic)
		latest, err := kafka.LatestBehindBarrier(t.Context(), client, p, topic, "position", "topology")
		if err != nil || len(latest) != 1 || string(latest["position"].Value) != "1" {
			t.Errorf("latest %v, %v", latest, err)
		}
	}
}
