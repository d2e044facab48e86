package postgres

import (
	"errors"
	"strings"
	"testing"

	"github.com/livedb/livedb/cdc"
)

func TestParseRefusesBeforeDialling(t *testing.T) {
	for _, c := range []struct{ url, name, says string }{
		{"", "source_missing", "--source or DATABASE_URL"},
		{"localhost:5432", "source_malformed", "postgres://"},
		{"mysql://u:secret@host/db", "source_malformed", "postgres://"},
		{"postgress://u:sec#ret-secret@host/db", "source_malformed", "postgres://"},
		{"mysql://h/db?password=secret", "source_malformed", "postgres://"},
		{"postgres://u:secret@host:port/db", "source_malformed", "percent-encode"},
		{"postgres://u:se%zzcret@host/db", "source_malformed", "percent-encode"},
		{"postgres://u:secret@ep-cool-name-123-pooler.us-east-2.aws.neon.tech/db?sslmode=require", "pooled_endpoint", "ep-cool-name-123.us-east-2.aws.neon.tech"},
		{"host=ep-x-pooler user=u dbname=db", "pooled_endpoint", "ep-x"},
	} {
		_, err := Parse(c.url)
		var refusal *cdc.Refusal
		if !errors.As(err, &refusal) || refusal.Name != c.name || !strings.Contains(err.Error(), c.says) {
			t.Errorf("Parse(%q) = %v, want %s with %q", c.url, err, c.name, c.says)
		}
		if err != nil && strings.Contains(err.Error(), "secret") {
			t.Errorf("Parse(%q) shows the password: %v", c.url, err)
		}
	}
}

func TestParseTakesEveryFormOfAURL(t *testing.T) {
	for _, url := range []string{
		"postgres://u:p@localhost:5432/db", "postgresql://u@localhost/db?sslmode=disable", "host=localhost user=u dbname=db",
		"host=localhost user=u password=a://b dbname=db",
		"postgres://u:p@my-pooler-free-host.example.com/db",
	} {
		if _, err := Parse(url); err != nil {
			t.Errorf("Parse(%q): %v", url, err)
		}
	}
}

func TestMaskHidesEveryFormOfThePassword(t *testing.T) {
	url := "postgres://u:p%40ss%20word@host/db"
	if got := Mask("failed: "+url+" (p@ss word)", url); strings.Contains(got, "ss") {
		t.Errorf("Mask left %q", got)
	}
}
