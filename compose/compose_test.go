// Package compose holds what LiveDB runs beside, as files for Docker Compose, Prometheus and Grafana. Its tests read the
// files as those programs would, and hold them against LiveDB's own flags and metrics.
package compose

import (
	"net"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/compose-spec/compose-go/v2/cli"
	"github.com/compose-spec/compose-go/v2/types"
	"go.yaml.in/yaml/v3"
)

func project(t *testing.T) *types.Project {
	t.Helper()
	options, err := cli.NewProjectOptions([]string{"docker-compose.yml"})
	if err != nil {
		t.Fatal(err)
	}
	p, err := options.LoadProject(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// env gives the value of a service's variable, "" without one.
func env(s types.ServiceConfig, name string) string {
	if value := s.Environment[name]; value != nil {
		return *value
	}
	return ""
}

func isOurs(s types.ServiceConfig) bool { return s.Build != nil }

func TestImagesAreTagged(t *testing.T) {
	for name, s := range project(t).Services {
		_, tag, found := strings.Cut(s.Image, ":")
		if !found || tag == "latest" {
			t.Errorf("%s: the image %s has no tag of its own", name, s.Image)
		}
	}
}

func TestPortsAreOfThisMachineOnly(t *testing.T) {
	taken := map[string]string{}
	for name, s := range project(t).Services {
		for _, p := range s.Ports {
			if p.HostIP != "127.0.0.1" {
				t.Errorf("%s: port %s is published to %q", name, p.Published, p.HostIP)
			}
			if other, found := taken[p.Published]; found {
				t.Errorf("%s and %s both publish port %s", name, other, p.Published)
			}
			taken[p.Published] = name
			listen := env(s, "LIVEDB_LISTEN")
			if isOurs(s) && !strings.HasSuffix(listen, ":"+strconv.Itoa(int(p.Target))) {
				t.Errorf("%s: port %d is published and LiveDB listens on %q", name, p.Target, listen)
			}
		}
	}
	if len(taken) == 0 {
		t.Error("no port is published")
	}
}

func TestHealthChecks(t *testing.T) {
	services := project(t).Services
	passing := map[string]bool{} // services that others wait for to end
	for _, s := range services {
		for other, dependency := range s.DependsOn {
			passing[other] = passing[other] || dependency.Condition == types.ServiceConditionCompletedSuccessfully
		}
	}
	for name, s := range services {
		// LiveDB's own image holds no program that could ask; Prometheus' series "up" tells.
		if !isOurs(s) && !passing[name] && (s.HealthCheck == nil || len(s.HealthCheck.Test) < 2) {
			t.Errorf("%s has no health check", name)
		}
		for other, dependency := range s.DependsOn {
			if dependency.Condition == types.ServiceConditionHealthy && services[other].HealthCheck == nil {
				t.Errorf("%s waits for the health of %s, which has no health check", name, other)
			}
		}
	}
}

func TestMountedPathsExist(t *testing.T) {
	p := project(t)
	for name, s := range p.Services {
		for _, v := range s.Volumes {
			switch v.Type {
			case types.VolumeTypeBind:
				if _, err := os.Stat(v.Source); err != nil {
					t.Errorf("%s: %v", name, err)
				}
			case types.VolumeTypeVolume:
				if _, found := p.Volumes[v.Source]; !found {
					t.Errorf("%s: no volume %s", name, v.Source)
				}
			}
		}
		if isOurs(s) {
			if _, err := os.Stat(s.Build.Context + "/" + s.Build.Dockerfile); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
	}
}

func TestPostgresDecodesItsWAL(t *testing.T) {
	s := project(t).Services["postgres"]
	if !slices.Contains(s.Command, "wal_level=logical") {
		t.Errorf("the command is %v", s.Command)
	}
	// Version 18 keeps its data in a folder named after itself, below this one.
	if len(s.Volumes) != 1 || s.Volumes[0].Target != "/var/lib/postgresql" {
		t.Errorf("the volumes are %v", s.Volumes)
	}
}

func TestKafkaWorksAsOneNode(t *testing.T) {
	s := project(t).Services["kafka"]
	for name, want := range map[string]string{
		"KAFKA_AUTO_CREATE_TOPICS_ENABLE":                "false",
		"KAFKA_OFFSETS_TOPIC_REPLICATION_FACTOR":         "1",
		"KAFKA_TRANSACTION_STATE_LOG_REPLICATION_FACTOR": "1",
		"KAFKA_TRANSACTION_STATE_LOG_MIN_ISR":            "1",
	} {
		if got := env(s, name); got != want {
			t.Errorf("%s: got %q, want %q", name, got, want)
		}
	}
}

// An environment variable that no flag reads does nothing, silently.
func TestVariablesAreFlags(t *testing.T) {
	known := regexp.MustCompile(`\$(LIVEDB_[A-Z_]+)`)
	for name, s := range project(t).Services {
		if !isOurs(s) {
			continue
		}
		help := output(t, append(slices.Clone([]string(s.Command)), "--help")...)
		var flags []string
		for _, found := range known.FindAllStringSubmatch(help, -1) {
			flags = append(flags, found[1])
		}
		for variable := range s.Environment {
			if !slices.Contains(flags, variable) {
				t.Errorf("%s: livedb %s reads no %s, but %v", name, strings.Join(s.Command, " "), variable, flags)
			}
		}
	}
}

func TestTablesAreTheDemosOwn(t *testing.T) {
	sql, err := os.ReadFile("../migrations/00001_shop.sql")
	if err != nil {
		t.Fatal(err)
	}
	for _, table := range strings.Split(env(project(t).Services["livedb"], "LIVEDB_TABLES"), ",") {
		_, name, _ := strings.Cut(table, ".")
		if !regexp.MustCompile(`(?i)CREATE TABLE (\S+\.)?` + name + `\b`).Match(sql) {
			t.Errorf("the migrations make no table %s", table)
		}
	}
}

func TestDockerfileBuildsWithTheModulesGo(t *testing.T) {
	dockerfile, err := os.ReadFile("Dockerfile")
	if err != nil {
		t.Fatal(err)
	}
	module, err := os.ReadFile("../go.mod")
	if err != nil {
		t.Fatal(err)
	}
	image := regexp.MustCompile(`FROM golang:(\d+\.\d+)`).FindSubmatch(dockerfile)
	version := regexp.MustCompile(`(?m)^go (\d+\.\d+)`).FindSubmatch(module)
	if image == nil || version == nil || string(image[1]) != string(version[1]) {
		t.Errorf("the Dockerfile has Go %s, go.mod has %s", image, version)
	}
}

// targetGroup is an entry of targets.yml.
type targetGroup struct {
	Targets []string          `yaml:"targets"`
	Labels  map[string]string `yaml:"labels"`
}

func TestPrometheusAsksWhoListens(t *testing.T) {
	text, err := os.ReadFile("prometheus/targets.yml")
	if err != nil {
		t.Fatal(err)
	}
	var groups []targetGroup
	if err := yaml.Unmarshal(text, &groups); err != nil {
		t.Fatal(err)
	}
	services := project(t).Services
	var asked []string
	for _, group := range groups {
		for _, target := range group.Targets {
			host, port, err := net.SplitHostPort(target)
			if err != nil {
				t.Fatal(err)
			}
			s := services[host]
			if listen := env(s, "LIVEDB_LISTEN") + env(s, "LIVEDB_OPS_LISTEN"); !strings.HasSuffix(listen, ":"+port) {
				t.Errorf("Prometheus asks %s and LiveDB listens on %q", target, listen)
			}
			asked = append(asked, host)
		}
	}
	for name, s := range services {
		if listens := env(s, "LIVEDB_LISTEN")+env(s, "LIVEDB_OPS_LISTEN") != ""; listens && !slices.Contains(asked, name) {
			t.Errorf("Prometheus does not ask %s", name)
		}
	}
}
