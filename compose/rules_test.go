package compose

import (
	"os"
	"os/exec"
	"regexp"
	"slices"
	"testing"
)

// The alerts fire where they should and nowhere else, by Prometheus' own tool; see rules_test.yml.
func TestAlerts(t *testing.T) {
	promtool, err := exec.LookPath("promtool")
	switch {
	case err != nil && os.Getenv("LIVEDB_TEST_PROMETHEUS") != "":
		t.Fatalf("LIVEDB_TEST_PROMETHEUS asks for it: %v", err)
	case err != nil:
		t.Skip("no promtool on this machine: install the package prometheus to run this test")
	}
	for _, args := range [][]string{{"check", "rules", "rules.yml"}, {"test", "rules", "rules_test.yml"}} {
		tool := exec.Command(promtool, args...)
		tool.Dir = "prometheus"
		if out, err := tool.CombinedOutput(); err != nil {
			t.Errorf("promtool %v: %v\n%s", args, err, out)
		}
	}
}

func TestAlertsNameMetricsThatExist(t *testing.T) {
	var rules struct {
		Groups []struct {
			Rules []struct {
				Alert, Expr string
				Annotations map[string]string
			}
		}
	}
	readYAML(t, "prometheus/rules.yml", &rules)
	known := series(t)
	tested, err := os.ReadFile("prometheus/rules_test.yml")
	if err != nil {
		t.Fatal(err)
	}
	alerts := 0
	for _, g := range rules.Groups {
		for _, r := range g.Rules {
			alerts++
			for _, metric := range regexp.MustCompile(`\blivedb_[a-z0-9_]+`).FindAllString(r.Expr, -1) {
				if !slices.Contains(known, metric) {
					t.Errorf("alert %s: no metric %s", r.Alert, metric)
				}
			}
			if r.Annotations["summary"] == "" || r.Annotations["remedy"] == "" {
				t.Errorf("alert %s does not say what is wrong and what to do", r.Alert)
			}
			if !regexp.MustCompile(`alertname: ` + r.Alert + `\b`).Match(tested) {
				t.Errorf("alert %s is not tested", r.Alert)
			}
		}
	}
	if alerts == 0 {
		t.Error("there are no alerts")
	}
}
