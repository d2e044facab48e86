package metrics

import (
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
)

func TestNamesFollowPrometheusRules(t *testing.T) {
	r := prometheus.NewRegistry()
	NewBurst(r)
	NewCDC(r)
	NewProcessor(r)
	NewUI(r)
	NewAudit(r)
	problems, err := testutil.GatherAndLint(r)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		t.Errorf("%s: %s", p.Metric, p.Text)
	}
}

// One process may hold all roles: their metrics share one registry.
func TestAllRolesShareOneRegistry(t *testing.T) {
	r := NewRegistry("v1", "abc")
	for _, register := range []func(){func() { NewBurst(r) }, func() { NewCDC(r) }, func() { NewProcessor(r) }, func() { NewUI(r) }, func() { NewAudit(r) }} {
		register()
	}
	families, err := r.Gather()
	if err != nil {
		t.Fatal(err)
	}
	found := false
	for _, f := range families {
		found = found || strings.HasPrefix(f.GetName(), "livedb_build_info")
	}
	if !found {
		t.Error("livedb_build_info is missing")
	}
}
