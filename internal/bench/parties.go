package bench

import (
	"fmt"
	"log/slog"
	"slices"
	"strings"
)

// Names of the parties that are not LiveDB's own.
const (
	nameRecvlogical   = "recvlogical"
	nameDebezium      = "debezium"
	nameDebeziumTuned = "debezium-tuned"
)

// PartyNames are those that there are.
var PartyNames = []string{nameRecvlogical, partNothing, partKafka, partPage, nameDebezium, nameDebeziumTuned}

// Choose gives the parties of these names, in this order, and a sentence for each that cannot take part here. dir is where
// pg_recvlogical may stand beside the server; empty if that is not known.
func Choose(names []string, command Command, dir string, log *slog.Logger) (parties []Party, leftOut []string, err error) {
	for i, name := range names {
		switch {
		case slices.Contains(names[:i], name):
			return nil, nil, fmt.Errorf("the party %s is named twice", name)
		case name == nameRecvlogical:
			program := FindRecvLogical(dir)
			if program == "" {
				leftOut = append(leftOut, "recvlogical is left out: the program pg_recvlogical is not on this machine; install Postgres' client programs, or put it on PATH")
				continue
			}
			parties = append(parties, recvLogical(program))
		case slices.Contains([]string{partNothing, partKafka, partPage}, name):
			parties = append(parties, own(name, command))
		case name == nameDebezium, name == nameDebeziumTuned:
			parties = append(parties, Debezium(name == nameDebeziumTuned, log))
		default:
			return nil, nil, fmt.Errorf("there is no party %q; the parties are %s", name, strings.Join(PartyNames, ", "))
		}
	}
	return parties, leftOut, nil
}

// ChooseShapes gives the shapes of these names, in this order.
func ChooseShapes(names []string) ([]Shape, error) {
	var chosen []Shape
	for _, name := range names {
		i := slices.IndexFunc(Shapes, func(s Shape) bool { return s.Name == name })
		if i < 0 {
			return nil, fmt.Errorf("there is no shape %q; the shapes are a, b, c and mixed", name)
		}
		chosen = append(chosen, Shapes[i])
	}
	return chosen, nil
}
