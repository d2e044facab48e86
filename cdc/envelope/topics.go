package envelope

import (
	"fmt"
	"strings"
)

// MaxTopicName is Kafka's limit for a topic's name, in bytes.
const MaxTopicName = 249

// Topics names the topics of one stream. Its value is the stream's prefix, which is also the stream's name.
type Topics string

// Transaction names the topic of the order: one TransactionRecord per Kafka transaction.
func (t Topics) Transaction() string { return string(t) + ".transaction" }

// Checkpoint names the topic of what the producer needs to go on.
func (t Topics) Checkpoint() string { return string(t) + ".checkpoint" }

// Truncate names the topic of truncate events, which a table's own topic must not carry: they stop Flink.
func (t Topics) Truncate() string { return string(t) + ".truncate" }

// Message names the topic of logical messages.
func (t Topics) Message() string { return string(t) + ".message" }

// Status names the topic in which each role instance tells how it is.
func (t Topics) Status() string { return string(t) + ".status" }

// View names the topic of a view's results.
func (t Topics) View(view string) string { return string(t) + ".view-" + view }

// State names the topic of the processor's state and position for a view.
func (t Topics) State(view string) string { return string(t) + ".state-" + view }

// Replay names the topics of a replay of the stream.
func (t Topics) Replay(id string) Topics { return Topics(string(t) + ".replay-" + id) }

// Table names the topic of a table's events. Characters that Kafka refuses become an underscore, so two tables may
// share a name: the producer refuses that. Kafka itself refuses a topic whose name differs from another's only by dots
// for underscores, as those of a_b.c and a.b_c do.
func (t Topics) Table(schema, table string) (string, error) {
	name := string(t) + "." + legal(schema) + "." + legal(table)
	if len(name) > MaxTopicName {
		return "", fmt.Errorf("the topic of table %s.%s would have %d characters and Kafka allows %d: use a shorter prefix than %q",
			schema, table, len(name), MaxTopicName, string(t))
	}
	return name, nil
}

// CheckPrefix refuses a prefix that Kafka would refuse as part of a topic's name.
func CheckPrefix(prefix string) error {
	if prefix == "" || prefix != legal(prefix) || len(prefix) > 100 {
		return fmt.Errorf("the prefix %q cannot be part of a Kafka topic's name: use 1 to 100 letters, digits, dots, dashes and underscores", prefix)
	}
	return nil
}

// legal replaces every character that Kafka refuses in a topic's name, and every byte that is no character.
func legal(name string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z', r >= 'A' && r <= 'Z', r >= '0' && r <= '9', r == '.', r == '_', r == '-':
			return r
		}
		return '_'
	}, name)
}
