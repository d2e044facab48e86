package dial

import "testing"

// What decides whether a password may travel without TLS must not be fooled by a name that only looks like this machine's.
func TestLocalIsThisMachineOnly(t *testing.T) {
	for host, want := range map[string]bool{
		"localhost": true, "LOCALHOST": true, "127.0.0.1": true, "127.1.2.3": true, "::1": true, "/var/run/postgresql": true, "@abstract": true,
		"": false, "localhost.example.com": false, "127.0.0.1.example.com": false, "10.0.0.1": false, "::ffff:10.0.0.1": false, "db": false,
	} {
		if got := Local(host); got != want {
			t.Errorf("Local(%q) = %v", host, got)
		}
	}
}
