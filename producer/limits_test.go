package producer

import (
	"errors"
	"testing"
	"time"

	"github.com/livedb/livedb/cdc"
)

// What is out of bounds is refused by the flag's name; zero is the default, and each bound itself is allowed.
func TestLimits(t *testing.T) {
	for name, c := range map[string]struct {
		limits  Limits
		problem string // empty: allowed
	}{
		"the zero value":   {},
		"the lower bounds": {Limits{Linger: 1, Bytes: 64 << 10, Events: 1}, ""},
		"the upper bounds": {Limits{Linger: 10 * time.Second, Bytes: 64 << 20, Events: 1_000_000}, ""},
		"linger before":    {Limits{Linger: -1}, "--linger is -1ns and can be 0s to 10s"},
		"linger too long":  {Limits{Linger: 11 * time.Second}, "--linger is 11s and can be 0s to 10s"},
		"bytes too few":    {Limits{Bytes: 1}, "--batch-bytes is 1 and can be 65536 to 67108864"},
		"bytes too many":   {Limits{Bytes: 65 << 20}, "--batch-bytes is 68157440 and can be 65536 to 67108864"},
		"events too few":   {Limits{Events: -1}, "--batch-events is -1 and can be 1 to 1000000"},
		"events too many":  {Limits{Events: 1_000_001}, "--batch-events is 1000001 and can be 1 to 1000000"},
	} {
		err := c.limits.Check()
		var refusal *cdc.Refusal
		switch {
		case c.problem == "" && err != nil:
			t.Errorf("%s: %v", name, err)
		case c.problem != "" && (!errors.As(err, &refusal) || refusal.Name != "limits_malformed" || refusal.Problem != c.problem):
			t.Errorf("%s: %v", name, err)
		}
	}
}
