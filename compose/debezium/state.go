package debezium

import (
	"fmt"
	"strings"
)

// failure is what Connect says of a task that it will not start again by itself.
const failure = "Task is being killed and will not recover until manually restarted"

// Failed says why nothing more is to be expected of the connector: nil as long as it works.
func (c *Connect) Failed() error {
	select {
	case <-c.Done():
		return fmt.Errorf("debezium ended: %v; its last words:\n%s", c.Err(), c.Log())
	default:
	}
	if log := c.Log(); strings.Contains(log, failure) {
		return fmt.Errorf("debezium failed; its last words:\n%s", log)
	}
	return nil
}
