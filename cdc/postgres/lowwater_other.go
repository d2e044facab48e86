//go:build !linux

package postgres

// Elsewhere the poller is woken by each segment.
func setLowWater(uintptr, int) {}
