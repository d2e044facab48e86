package kafka

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/livedb/livedb/cdc"
)

// The endpoint is asked as RFC 6749 says, once for many logins, and what it says about a failure decides whether trying
// again may help. It gets the secret; nobody else does.
func TestTokenEndpoint(t *testing.T) {
	t.Parallel()
	const secret = "hunter2+"
	var asked atomic.Int32
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		n := asked.Add(1)
		id, given, _ := r.BasicAuth()
		known := id == "a%3Ab" && given == "hunter2%2B" && r.FormValue("grant_type") == "client_credentials" && r.FormValue("scope") == "kafka"
		switch {
		case r.URL.Path == "/busy":
			http.Error(w, "later", http.StatusServiceUnavailable)
		case r.URL.Path == "/away":
			http.Redirect(w, r, "/token", http.StatusTemporaryRedirect)
		case r.URL.Path == "/page":
			fmt.Fprint(w, "<html>")
		case !known:
			w.WriteHeader(http.StatusUnauthorized)
			fmt.Fprintf(w, `{"error": "invalid_client", "error_description": "not %s"}`, given)
		default:
			fmt.Fprintf(w, `{"access_token": "token %d", "token_type": "Bearer", "expires_in": %s}`, n, r.URL.Query().Get("lives"))
		}
	}))
	t.Cleanup(server.Close)
	from := func(path, secret string) Token {
		return Token{URL: server.URL + path, ClientID: "a:b", ClientSecret: secret, Scope: "kafka"}
	}

	for lives, want := range map[string]int32{"300": 1, "0": 3} { // one that expires at once is asked for anew
		asked.Store(0)
		provider := from("/token?lives="+lives, secret).provider()
		var last string
		for range 3 {
			token, err := provider.Token()
			if err != nil {
				t.Fatal(err)
			}
			last = token.Token
		}
		if asked.Load() != want || last != fmt.Sprint("token ", want) {
			t.Errorf("a token for %s s: asked %d times, the last is %q", lives, asked.Load(), last)
		}
	}
	for path, says := range map[string]string{"/away": "307", "/page": "no token", "/busy": "503", "/token": "invalid_client"} {
		given := secret
		if path == "/token" {
			given += "x"
		}
		_, err := from(path, given).provider().Token()
		if err == nil || !strings.Contains(err.Error(), says) || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: got %v, want %q in it and no secret", path, err, says)
		}
		var refusal *cdc.Refusal
		if permanent := errors.As(err, &refusal); permanent != (path != "/busy") {
			t.Errorf("%s: permanent: %v", path, permanent)
		}
	}
}

// Whoever keeps the file fresh need not tell us.
func TestTokenFileIsReadAnew(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "token")
	provider := Token{File: file}.provider()
	var refusal *cdc.Refusal
	if _, err := provider.Token(); !errors.As(err, &refusal) || refusal.Name != "kafka_token_refused" || !strings.Contains(err.Error(), file) {
		t.Errorf("no file: %v", err)
	}
	for text, want := range map[string]string{"first": "first", " second\n": "second", "\n": ""} {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		token, err := provider.Token()
		switch {
		case want == "" && !errors.As(err, &refusal):
			t.Errorf("an empty file: %v", err)
		case want != "" && (err != nil || token.Token != want):
			t.Errorf("%q: %v, %v", text, token, err)
		}
	}
}
