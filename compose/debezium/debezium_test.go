package debezium

import (
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// What a run is given, word by word.
func TestConfiguration(t *testing.T) {
	for name, tuned := range map[string]bool{"default": false, "tuned": true} {
		t.Run(name, func(t *testing.T) {
			c := Config{
				Source: `postgres://repl:p%5Cw%C3%B6@db.example:5433/shop?sslmode=require`, Slot: "copy_1", Publication: "pub", Table: "public.orders",
				Brokers: []string{"k1:9092", "k2:9092"}, Prefix: "run7", Tuned: tuned,
			}
			database, err := database(c.Source)
			if err != nil {
				t.Fatal(err)
			}
			all := settings(c, database, "/run")
			got := "java\n" + strings.Join(flags(all), "\n") + "\n\nworker.properties\n" + properties(all, Worker) +
				"\nconnector.properties\n" + properties(all, Connector)
			file := "testdata/" + name + ".txt"
			want, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(want), got); diff != "" {
				t.Errorf("against %s:\n%s", file, diff)
			}
		})
	}
}

// The list for people has what runs, with a reason for each.
func TestSettings(t *testing.T) {
	for _, tuned := range []bool{false, true} {
		parts := map[Part]int{}
		for _, s := range Settings(tuned) {
			parts[s.Part]++
			if s.Why == "" || (s.Value == "") != (s.Part == Java) {
				t.Errorf("%+v", s)
			}
		}
		if len(parts) != 3 {
			t.Errorf("it is of %v", parts)
		}
	}
}

func TestSocketRefused(t *testing.T) {
	if _, err := database("host=/run/postgresql dbname=shop"); err == nil || !strings.Contains(err.Error(), "postgres://") {
		t.Errorf("a socket gives %v", err)
	}
}

// The versions that are told are those that are fetched.
func TestVersions(t *testing.T) {
	pom, err := os.ReadFile("pom.xml")
	if err != nil {
		t.Fatal(err)
	}
	for _, version := range []string{Version, KafkaVersion} {
		if !strings.Contains(string(pom), "<version>"+version+"</version>") {
			t.Errorf("pom.xml fetches another version than %s", version)
		}
	}
}
