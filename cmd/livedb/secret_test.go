package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"testing"
)

func TestMaskSource(t *testing.T) {
	for _, c := range []struct{ source, want string }{
		{"", ""},
		{"postgres://u:p@h:5432/db", "postgres://u:****@h:5432/db"},
		{"postgres://u:p@h1:1,h2:2/db?sslmode=require", "postgres://u:****@h1:1,h2:2/db?sslmode=require"},
		{"postgres://u:p%40x@h/db", "postgres://u:****@h/db"},
		{"postgres://u:p@x/y?z#1@h/db", "postgres://u:****@h/db"},
		{"postgres://us/er:p@h/db", "postgres://us/er:****@h/db"},
		{"postgres://:p@h/db", "postgres://:****@h/db"},
		{"postgres://u@h:5432/db", "postgres://u@h:5432/db"},
		{"postgres://h:5432/db", "postgres://h:5432/db"},
		{"postgres://u@[::1]:5432/db", "postgres://u@[::1]:5432/db"},
		{"postgres://h/db?user=u&password=p&sslpassword=q&a=b", "postgres://h/db?user=u&password=****&sslpassword=****&a=b"},
		{"postgres://h/db?Pass%77ord=p", "postgres://h/db?Pass%77ord=****"},
		{"postgres://h/db?password=p q", "postgres://h/db?password=****"},
		{"host=h password=p user=u", "host=h password=**** user=u"},
		{"host=h password = 'p q\\' r' user=u", "host=h password = **** user=u"},
		{"host=h password='p q", "host=h password=****"},
		{`password=p\ q&r user=u`, "password=**** user=u"},
	} {
		if got := maskSource(c.source); got != c.want {
			t.Errorf("maskSource(%q)\n got %s\nwant %s", c.source, got, c.want)
		}
	}
}

func TestSourceURLHidesItsPassword(t *testing.T) {
	u := sourceURL("postgres://u:hunter2@h/db?password=hunter2")
	held := struct{ Source sourceURL }{u}
	asJSON, err := json.Marshal(held)
	if err != nil {
		t.Fatal(err)
	}
	var log bytes.Buffer
	slog.New(slog.NewTextHandler(&log, nil)).Info("start", "source", u, "held", held)
	slog.New(slog.NewJSONHandler(&log, nil)).Info("start", "source", u, "held", held)

	for _, shown := range []string{
		fmt.Sprint(u), fmt.Sprintf("%s %q %v %+v %#v %x", u, u, u, u, u, u), fmt.Sprintf("%v %+v %#v", held, held, held),
		string(asJSON), log.String(),
	} {
		if strings.Contains(shown, "hunter2") {
			t.Errorf("the password shows: %s", shown)
		}
		if !strings.Contains(shown, mask) && !strings.Contains(shown, "2a2a2a2a") {
			t.Errorf("no mask: %s", shown)
		}
	}
	if u.Reveal() != string(u) {
		t.Errorf("Reveal gives %s", u.Reveal())
	}
}

func TestSecretHidesItself(t *testing.T) {
	s := secret("hunter2")
	held := struct{ Password secret }{s}
	asJSON, err := json.Marshal(held)
	if err != nil {
		t.Fatal(err)
	}
	var log bytes.Buffer
	slog.New(slog.NewTextHandler(&log, nil)).Info("start", "password", s, "held", held)
	for _, shown := range []string{fmt.Sprintf("%s %q %v %+v %#v", s, s, s, s, s), fmt.Sprintf("%v %+v %#v", held, held, held), string(asJSON), log.String()} {
		if strings.Contains(shown, "hunter2") || !strings.Contains(shown, mask) {
			t.Errorf("got %s", shown)
		}
	}
	if s.Reveal() != "hunter2" || secret("").String() != "" {
		t.Error("a secret can be revealed, and one that is not given is not shown as one")
	}
}
