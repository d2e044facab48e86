//go:build failpoints

package failpoint

import (
	"errors"
	"testing"
)

// A point fails the time it was told to, once.
func TestAPointFailsAtItsCount(t *testing.T) {
	points = parse("cdc.after-begin:3=error")
	for i := 1; i <= 5; i++ {
		if err := Hit(AfterBegin); errors.Is(err, ErrInjected) != (i == 3) {
			t.Errorf("hit %d: %v", i, err)
		}
	}
	if err := Hit(AfterCommit); err != nil {
		t.Errorf("a point that was not set: %v", err)
	}
}

// What cannot be carried out is no silent nothing.
func TestAMalformedSettingPanics(t *testing.T) {
	for _, text := range []string{"cdc.after-begin", "cdc.nowhere=kill", "cdc.after-begin:0=kill", "cdc.after-begin:x=kill", "cdc.after-begin=fly"} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%q was taken", text)
				}
			}()
			parse(text)
		}()
	}
}
