//go:build !failpoints

package failpoint

// Enabled tells whether this build can fail on purpose.
const Enabled = false

// Hit does nothing in this build.
func Hit(Point) error { return nil }
