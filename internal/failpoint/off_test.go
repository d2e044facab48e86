//go:build !failpoints

package failpoint

import "testing"

// A release cannot be made to fail, whatever stands in the environment.
func TestAReleaseHasNoFailpoints(t *testing.T) {
	t.Setenv("LIVEDB_FAILPOINTS", string(AfterBegin)+"=error")
	if err := Hit(AfterBegin); err != nil || Enabled {
		t.Errorf("it fails: %v", err)
	}
}
