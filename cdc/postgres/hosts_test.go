package postgres

import (
	"strings"
	"testing"
)

// A source may be a list of hosts, of which the one that can be written to is taken: so the stream finds a promoted standby.
func TestASourceMayBeAListOfHosts(t *testing.T) {
	const url = "postgres://u:se%20cret@127.0.0.1:5433,localhost:5434/db?sslmode=prefer&target_session_attrs=read-write"
	c, err := Parse(url)
	if err != nil {
		t.Fatal(err)
	}
	if got := Address(c); got != "127.0.0.1:5433,localhost:5434/db" || c.ValidateConnect == nil {
		t.Errorf("address %s, validates %v", got, c.ValidateConnect != nil)
	}
	if got := Mask("cannot reach "+url+" as se cret", url); strings.Contains(got, "cret") {
		t.Errorf("Mask left %q", got)
	}
}
