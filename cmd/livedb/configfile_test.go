package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/alecthomas/kong"
	"github.com/google/go-cmp/cmp"
)

// shopGrammar is a small command line with what the real one has.
type shopGrammar struct {
	Config   string `name:"config" placeholder:"FILE"`
	LogLevel string `name:"log-level" enum:"info,debug" default:"info"`

	Sell struct {
		Source sourceURL     `name:"source" env:"LIVEDB_SOURCE,DATABASE_URL"`
		Kafka  []string      `name:"kafka"`
		Rate   int           `name:"rate" default:"500"`
		For    time.Duration `name:"for" default:"20s"`
		JSON   bool          `name:"json"`
	} `cmd:""`
	Buy struct {
		Rate int `name:"rate" default:"7"`
		Must int `name:"must" required:""`
	} `cmd:""`
	ShowConfig struct {
		JSON bool `name:"json"`
		Rate int  `name:"rate" default:"500"`
	} `cmd:"" name:"config"`
}

// parseShop reads a command line with a file and an environment; neither if empty.
func parseShop(t *testing.T, file string, env map[string]string, args ...string) (*shopGrammar, *kong.Kong, *kong.Context, error) {
	t.Helper()
	for _, name := range []string{"LIVEDB_SOURCE", "DATABASE_URL", "LIVEDB_KAFKA", "LIVEDB_RATE", "LIVEDB_FOR", "LIVEDB_CONFIG"} {
		t.Setenv(name, "") // which restores it afterwards
		os.Unsetenv(name)
	}
	for name, value := range env {
		t.Setenv(name, value)
	}
	if file != "" {
		path := filepath.Join(t.TempDir(), "livedb.yaml")
		if err := os.WriteFile(path, []byte(file), 0o600); err != nil {
			t.Fatal(err)
		}
		args = append([]string{"--config", path}, args...)
	}
	var cli shopGrammar
	parser, err := kong.New(&cli, kong.Name("shop"), kong.DefaultEnvars("LIVEDB"), configFile())
	if err != nil {
		t.Fatal(err)
	}
	ctx, err := parser.Parse(args)
	return &cli, parser, ctx, err
}

func TestPrecedenceIsFlagEnvironmentFileDefault(t *testing.T) {
	file, section := "rate: 3", "sell:\n  rate: 4\nrate: 3"
	env := map[string]string{"LIVEDB_RATE": "2"}
	for _, c := range []struct {
		name   string
		file   string
		env    map[string]string
		args   []string
		want   int
		origin string
	}{
		{"default", "", nil, nil, 500, "default"},
		{"file over default", file, nil, nil, 3, "file livedb.yaml:1"},
		{"section over file", section, nil, nil, 4, "file livedb.yaml:2"},
		{"environment over default", "", env, nil, 2, "env LIVEDB_RATE"},
		{"environment over file", file, env, nil, 2, "env LIVEDB_RATE"},
		{"environment over section", section, env, nil, 2, "env LIVEDB_RATE"},
		{"flag over default", "", nil, []string{"--rate=1"}, 1, "flag"},
		{"flag over file", section, nil, []string{"--rate=1"}, 1, "flag"},
		{"flag over environment", "", env, []string{"--rate=1"}, 1, "flag"},
		{"flag over all", section, env, []string{"--rate=1"}, 1, "flag"},
	} {
		t.Run(c.name, func(t *testing.T) {
			cli, parser, ctx, err := parseShop(t, c.file, c.env, append([]string{"sell"}, c.args...)...)
			if err != nil {
				t.Fatal(err)
			}
			if cli.Sell.Rate != c.want {
				t.Errorf("got %d, want %d", cli.Sell.Rate, c.want)
			}
			settings, err := effective(parser, ctx)
			if err != nil {
				t.Fatal(err)
			}
			for _, s := range settings {
				if (s.Name == "rate" || s.Name == "sell.rate") && s.Origin != c.origin {
					t.Errorf("origin: got %q, want %q", s.Origin, c.origin)
				}
			}
		})
	}
}

func TestFirstVariableThatIsSetWins(t *testing.T) {
	file := "source: postgres://file/db"
	for _, c := range []struct {
		name string
		env  map[string]string
		want sourceURL
	}{
		{"neither", nil, "postgres://file/db"},
		{"the second", map[string]string{"DATABASE_URL": "postgres://second/db"}, "postgres://second/db"},
		{"both", map[string]string{"LIVEDB_SOURCE": "postgres://first/db", "DATABASE_URL": "postgres://second/db"}, "postgres://first/db"},
		{"the first, empty", map[string]string{"LIVEDB_SOURCE": "", "DATABASE_URL": "postgres://second/db"}, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			cli, _, _, err := parseShop(t, file, c.env, "sell")
			if err != nil {
				t.Fatal(err)
			}
			if cli.Sell.Source != c.want {
				t.Errorf("got %s, want %s", cli.Sell.Source.Reveal(), c.want.Reveal())
			}
		})
	}
}

func TestFileHoldsEveryKindOfValue(t *testing.T) {
	file := `# the shop
source: &s "postgres://u:p@h/db"
log-level: debug
sell:
  kafka: [ "a:1", "b:2" ]
  for: 1m
  json: true
  source: *s
buy: {must: 5}
`
	cli, _, _, err := parseShop(t, file, nil, "sell")
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"a:1", "b:2"}, cli.Sell.Kafka); diff != "" {
		t.Error(diff)
	}
	if cli.LogLevel != "debug" || cli.Sell.For != time.Minute || !cli.Sell.JSON || cli.Sell.Source.Reveal() != "postgres://u:p@h/db" {
		t.Errorf("got %+v", cli)
	}
	if cli, _, _, err = parseShop(t, file, nil, "buy"); err != nil || cli.Buy.Must != 5 || cli.Buy.Rate != 7 {
		t.Errorf("got %+v, %v", cli.Buy, err)
	}
	if cli, _, _, err = parseShop(t, "kafka: a:1,b:2", nil, "sell"); err != nil || len(cli.Sell.Kafka) != 2 {
		t.Errorf("got %v, %v", cli.Sell.Kafka, err)
	}
}

func TestFileIsRefused(t *testing.T) {
	for _, c := range []struct{ name, file, want string }{
		{"an unknown key", "rates: 1", "line 1: there is no setting rates; the nearest is rate"},
		{"an underscore", "log_level: info", "line 1: there is no setting log_level; the nearest is log-level"},
		{"an unknown key of a section", "buy:\n  raet: 1", "line 2: there is no setting raet; the nearest is rate"},
		{"a flag of another command in a section", "buy:\n  kafka: a:1", "line 2: there is no setting kafka; the nearest is rate"},
		{"an unknown section", "sel:\n  rate: 1", "line 2: there is no setting sel; the nearest is sell"},
		{"the file itself", "config: other.yaml", "there is no setting config"},
		{"a key twice", "rate: 1\nrate: 2", "line 2: rate is given twice"},
		{"a value of another kind", "rate: fast", `line 1: --rate: expected a valid 64 bit int but got "fast"`},
		{"a value of another kind, of another command", "buy:\n  must: no", `line 2: --must`},
		{"a list where one value belongs", "rate: [1, 2]", "line 1: rate takes one plain value"},
		{"a list of lists", "kafka: [[a]]", "line 1: kafka takes a list of plain values"},
		{"a command with a value", "sell: 3", "line 1: there is no setting sell"},
		{"nothing", "rate:", "line 1: rate takes one plain value"},
		{"no mapping", "- rate", "line 1: there must be lines of the form flag: value"},
		{"no YAML", "rate: [", "is not YAML"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, _, _, err := parseShop(t, c.file, nil, "sell")
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Fatalf("got %v, want %s", err, c.want)
			}
			if exitCode(err) != exitUsage {
				t.Errorf("exit code %d", exitCode(err))
			}
		})
	}
}

func TestFileMustExist(t *testing.T) {
	want := "the configuration file /no/such.yaml cannot be read (no such file or directory)"
	_, _, _, err := parseShop(t, "", nil, "--config=/no/such.yaml", "sell")
	if err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
	_, _, _, err = parseShop(t, "", map[string]string{"LIVEDB_CONFIG": "/no/such.yaml"}, "sell")
	if err == nil || err.Error() != want {
		t.Errorf("from the environment: got %v, want %s", err, want)
	}
	if _, _, _, err = parseShop(t, "# nothing yet\n", nil, "sell"); err != nil {
		t.Errorf("an empty file: %v", err)
	}
}

func TestEffectiveSettings(t *testing.T) {
	file := "source: postgres://u:hunter2@h/db\nbuy:\n  must: 5\nkafka: [a:1, b:2]"
	_, parser, ctx, err := parseShop(t, file, map[string]string{"LIVEDB_FOR": "3s"}, "config", "--log-level=debug")
	if err != nil {
		t.Fatal(err)
	}
	got, err := effective(parser, ctx)
	if err != nil {
		t.Fatal(err)
	}
	want := []Setting{
		{"for", "3s", "env LIVEDB_FOR"},
		{"json", "false", "default"},
		{"kafka", "a:1,b:2", "file livedb.yaml:4"},
		{"log-level", "debug", "flag"},
		{"must", "5", "file livedb.yaml:3"},
		{"buy.rate", "7", "default"},
		{"sell.rate", "500", "default"},
		{"source", "postgres://u:****@h/db", "file livedb.yaml:1"},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}

	var table, asJSON bytes.Buffer
	if err := printSettings(&table, got, false); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(table.String(), "\nsource     postgres://u:****@h/db  file livedb.yaml:1\n") {
		t.Errorf("got\n%s", &table)
	}
	if err := printSettings(&asJSON, got, true); err != nil {
		t.Fatal(err)
	}
	var read []Setting
	if err := json.Unmarshal(asJSON.Bytes(), &read); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, read); diff != "" {
		t.Error(diff)
	}
}

func TestFlagGivenToConfigCountsForEveryCommand(t *testing.T) {
	_, parser, ctx, err := parseShop(t, "rate: 3", nil, "config", "--rate=9")
	if err != nil {
		t.Fatal(err)
	}
	settings, err := effective(parser, ctx)
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range settings {
		if strings.HasSuffix(s.Name, "rate") && s != (Setting{"rate", "9", "flag"}) {
			t.Errorf("got %v", s)
		}
	}
}

func TestEffectiveSettingsRefuseABadVariable(t *testing.T) {
	_, parser, ctx, err := parseShop(t, "", map[string]string{"LIVEDB_FOR": "soon"}, "config")
	if err != nil {
		t.Fatal(err)
	}
	if _, err = effective(parser, ctx); exitCode(err) != exitUsage || !strings.Contains(err.Error(), "LIVEDB_FOR") {
		t.Errorf("got %v", err)
	}
}
