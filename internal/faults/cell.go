package faults

import (
	"context"
	"sync"
)

// cell is a value that is waited on.
type cell[T any] struct {
	mu      sync.Mutex
	value   T
	changed chan struct{} // closed at the next change; nil while nobody waits
}

// update changes the value and wakes whoever waits.
func (c *cell[T]) update(change func(*T)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	change(&c.value)
	if c.changed != nil {
		close(c.changed)
		c.changed = nil
	}
}

// get returns the value as it is.
func (c *cell[T]) get() T {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.value
}

// await returns the value as soon as the condition holds, or ctx's cause.
func (c *cell[T]) await(ctx context.Context, holds func(T) bool) (T, error) {
	for {
		c.mu.Lock()
		value, held := c.value, holds(c.value)
		if c.changed == nil {
			c.changed = make(chan struct{})
		}
		changed := c.changed
		c.mu.Unlock()
		if held {
			return value, nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return value, context.Cause(ctx)
		}
	}
}
