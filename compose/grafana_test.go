package compose

import (
	"encoding/json"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"go.yaml.in/yaml/v3"

	"github.com/livedb/livedb/internal/metrics"
)

// dashboard is what the tests read of a Grafana dashboard.
type dashboard struct {
	UID        string
	Templating struct {
		List []struct {
			Name    string
			Type    string
			Query   string
			Current struct{ Value string }
		}
	}
	Panels []struct {
		Title      string
		Datasource struct{ UID string }
		Targets    []struct{ Expr string }
	}
}

func readDashboard(t *testing.T) dashboard {
	t.Helper()
	text, err := os.ReadFile("grafana/dashboards/livedb.json")
	if err != nil {
		t.Fatal(err)
	}
	var d dashboard
	if err := json.Unmarshal(text, &d); err != nil {
		t.Fatal(err)
	}
	return d
}

// registry holds every metric of every role, each labelled one with a value.
func registry(t *testing.T) *prometheus.Registry {
	t.Helper()
	r := metrics.NewRegistry("version", "revision")
	for _, role := range []any{metrics.NewBurst(r), metrics.NewCDC(r), metrics.NewProcessor(r), metrics.NewUI(r), metrics.NewAudit(r), metrics.NewReplay(r)} {
		fields := reflect.ValueOf(role).Elem()
		for i := range fields.NumField() {
			for _, labels := range [][]string{{"a"}, {"a", "b"}, {"a", "b", "c"}} { // the one of the right length counts
				switch vec := fields.Field(i).Interface().(type) {
				case *prometheus.CounterVec:
					_, _ = vec.GetMetricWithLabelValues(labels...)
				case *prometheus.GaugeVec:
					_, _ = vec.GetMetricWithLabelValues(labels...)
				case *prometheus.HistogramVec:
					_, _ = vec.GetMetricWithLabelValues(labels...)
				}
			}
		}
	}
	return r
}

// series lists the names that a scrape would show.
func series(t *testing.T) []string {
	t.Helper()
	families, err := registry(t).Gather()
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, f := range families {
		names = append(names, f.GetName(), f.GetName()+"_bucket", f.GetName()+"_count", f.GetName()+"_sum")
	}
	return names
}

func TestDashboardNamesMetricsThatExist(t *testing.T) {
	known := series(t)
	name := regexp.MustCompile(`\b(livedb|process|go)_[a-z0-9_]+`)
	for _, p := range readDashboard(t).Panels {
		for _, target := range p.Targets {
			found := name.FindAllString(target.Expr, -1)
			if len(found) == 0 {
				t.Errorf("panel %s: no metric in %s", p.Title, target.Expr)
			}
			for _, metric := range found {
				if !slices.Contains(known, metric) {
					t.Errorf("panel %s: no metric %s", p.Title, metric)
				}
			}
		}
	}
}

func TestMetricsFollowTheRules(t *testing.T) {
	problems, err := testutil.GatherAndLint(registry(t))
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		t.Errorf("%s: %s", p.Metric, p.Text)
	}
	for _, name := range series(t) {
		if !strings.HasPrefix(name, "livedb_") && !strings.HasPrefix(name, "go_") && !strings.HasPrefix(name, "process_") {
			t.Errorf("%s has a foreign prefix", name)
		}
	}
}

func TestGrafanaFindsDashboardAndSource(t *testing.T) {
	var sources struct {
		Datasources []struct{ UID, URL, Type string }
	}
	var providers struct {
		Providers []struct{ Options struct{ Path string } }
	}
	readYAML(t, "grafana/provisioning/datasources/prometheus.yml", &sources)
	readYAML(t, "grafana/provisioning/dashboards/livedb.yml", &providers)
	if len(sources.Datasources) != 1 || len(providers.Providers) != 1 {
		t.Fatalf("got %v and %v", sources, providers)
	}

	source, path := sources.Datasources[0], providers.Providers[0].Options.Path
	if source.URL != "http://prometheus:9090" || source.Type != "prometheus" {
		t.Errorf("the data source is %+v", source)
	}
	mounted := false
	for _, v := range project(t).Services["grafana"].Volumes {
		mounted = mounted || v.Target == path && filepath.Base(v.Source) == "dashboards"
	}
	if !mounted {
		t.Errorf("no dashboards are mounted at %s", path)
	}

	d := readDashboard(t)
	if d.UID != "livedb" {
		t.Errorf("the dashboard's uid is %s", d.UID)
	}
	if list := d.Templating.List; len(list) != 1 || list[0].Name != "DS" || list[0].Type != "datasource" || list[0].Current.Value != source.UID {
		t.Errorf("the variables are %+v", list)
	}
	for _, p := range d.Panels {
		if p.Datasource.UID != "${DS}" {
			t.Errorf("panel %s has the source %s", p.Title, p.Datasource.UID)
		}
	}
}

func readYAML(t *testing.T, name string, into any) {
	t.Helper()
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	if err := yaml.Unmarshal(text, into); err != nil {
		t.Fatal(err)
	}
}
