package ui

import (
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/livedb/livedb/internal/kafka"
	"github.com/livedb/livedb/internal/status"
)

func query(t *testing.T, text string) url.Values {
	t.Helper()
	q, err := url.ParseQuery(text)
	if err != nil {
		t.Fatal(err)
	}
	return q
}

// newTestServer serves a model without Kafka.
func newTestServer(t *testing.T) (*server, *httptest.Server) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	c, err := Config{Kafka: kafka.Config{Brokers: []string{"127.0.0.1:1"}}, Prefix: "livedb", Listener: l,
		Metrics: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "livedb_up 1") })}.complete()
	if err != nil {
		t.Fatal(err)
	}
	m := newModel("livedb", c.Kafka.Brokers)
	m.report(c.Status, "test")
	s, err := newServer(c, m)
	if err != nil {
		t.Fatal(err)
	}
	h := &httptest.Server{Listener: l, Config: &http.Server{Handler: s.handler()}}
	h.Start()
	t.Cleanup(func() {
		select {
		case <-s.closing:
		default:
			close(s.closing)
		}
		h.CloseClientConnections()
		h.Close()
	})
	return s, h
}

func get(t *testing.T, address string, headers ...string) (*http.Response, string) {
	t.Helper()
	r, err := http.NewRequest(http.MethodGet, address, nil)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
		if headers[i] == "Host" {
			r.Host = headers[i+1]
		}
	}
	answer, err := http.DefaultTransport.RoundTrip(r)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer, string(body)
}

func TestVendoredFilesAreExact(t *testing.T) {
	list, err := embedded.ReadFile("static/vendor/CHECKSUMS")
	if err != nil {
		t.Fatal(err)
	}
	listed := map[string]string{"CHECKSUMS": "", "LICENSES": ""}
	for line := range strings.Lines(string(list)) {
		if fields := strings.Fields(line); len(fields) == 4 && fields[0] != "#" {
			listed[fields[1]] = fields[0]
		}
	}
	files, err := fs.ReadDir(embedded, "static/vendor")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		want, known := listed[f.Name()]
		if !known {
			t.Errorf("%s is not in CHECKSUMS", f.Name())
		}
		body, _ := embedded.ReadFile("static/vendor/" + f.Name())
		if sum := sha256.Sum256(body); want != "" && hex.EncodeToString(sum[:]) != want {
			t.Errorf("%s is not the file that CHECKSUMS lists", f.Name())
		}
		delete(listed, f.Name())
	}
	for name := range listed {
		t.Errorf("%s is listed but not there", name)
	}
}

func TestPolicyAllowsTheImportMapAndNothingElse(t *testing.T) {
	_, h := newTestServer(t)
	answer, page := get(t, h.URL+"/")
	_, after, found := strings.Cut(page, `<script type="importmap">`)
	inline, _, closed := strings.Cut(after, "</script>")
	if !found || !closed {
		t.Fatal("the page has no import map")
	}
	sum := sha256.Sum256([]byte(inline))
	policy := answer.Header.Get("Content-Security-Policy")
	if want := "script-src 'self' 'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'"; !strings.Contains(policy, want) {
		t.Errorf("the policy %q lacks %q", policy, want)
	}
	if strings.Contains(policy, "unsafe") || strings.Contains(policy, "http:") || strings.Contains(policy, "https:") {
		t.Errorf("the policy %q is too wide", policy)
	}
	var imports struct{ Imports map[string]string }
	if err := json.Unmarshal([]byte(inline), &imports); err != nil || len(imports.Imports) != 5 {
		t.Errorf("the import map names %v: %v", imports, err)
	}
	for name, path := range imports.Imports {
		if answer, _ := get(t, h.URL+path); answer.StatusCode != http.StatusOK || !strings.HasPrefix(answer.Header.Get("Content-Type"), "text/javascript") {
			t.Errorf("%s at %s: %s", name, path, answer.Status)
		}
	}
}

// The page asks nobody else for anything, and no markup carries a style or a handler of its own.
func TestThePageStaysAtHome(t *testing.T) {
	err := fs.WalkDir(embedded, "static", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || strings.Contains(name, "/vendor/") {
			return err
		}
		body, err := embedded.ReadFile(name)
		if err != nil {
			return err
		}
		text := strings.ReplaceAll(string(body), "http://www.w3.org/2000/svg", "")
		for _, bad := range []string{"http://", "https://", "//cdn", "innerHTML", "eval(", "style=\"", "onclick=\""} {
			if strings.Contains(text, bad) {
				t.Errorf("%s holds %q", name, bad)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestHeaders(t *testing.T) {
	_, h := newTestServer(t)
	for _, path := range []string{"/", "/app/main.js", "/api/v1/status", "/livez", "/nothing"} {
		answer, _ := get(t, h.URL+path)
		for name, want := range map[string]string{"X-Content-Type-Options": "nosniff", "X-Frame-Options": "DENY", "Referrer-Policy": "no-referrer", "Cross-Origin-Opener-Policy": "same-origin"} {
			if got := answer.Header.Get(name); got != want {
				t.Errorf("%s: %s is %q, want %q", path, name, got, want)
			}
		}
		if answer.Header.Get("Content-Security-Policy") == "" {
			t.Errorf("%s has no policy", path)
		}
	}
}

func TestFilesAreCompressedAndCached(t *testing.T) {
	_, h := newTestServer(t)
	plain, body := get(t, h.URL+"/app/main.js", "Accept-Encoding", "identity")
	small, packed := get(t, h.URL+"/app/main.js", "Accept-Encoding", "gzip, br")
	if small.Header.Get("Content-Encoding") != "gzip" || len(packed) >= len(body) {
		t.Fatalf("compressed: %d bytes of %d, %q", len(packed), len(body), small.Header.Get("Content-Encoding"))
	}
	z, err := gzip.NewReader(strings.NewReader(packed))
	if err != nil {
		t.Fatal(err)
	}
	if again, _ := io.ReadAll(z); string(again) != body {
		t.Error("the compressed file is another one")
	}
	tag := plain.Header.Get("ETag")
	for _, list := range []string{tag, "W/" + tag, `"other", ` + tag, "*"} {
		if again, body := get(t, h.URL+"/app/main.js", "If-None-Match", list); again.StatusCode != http.StatusNotModified || body != "" {
			t.Errorf("If-None-Match %s: %s", list, again.Status)
		}
	}
	if again, _ := get(t, h.URL+"/app/main.js", "If-None-Match", `"other"`); again.StatusCode != http.StatusOK {
		t.Errorf("another tag: %s", again.Status)
	}
}

func TestThePageIsLight(t *testing.T) {
	a, err := newAssets("")
	if err != nil {
		t.Fatal(err)
	}
	sum := 0
	for _, f := range a.files {
		if f.gzip != nil {
			sum += len(f.gzip)
		} else {
			sum += len(f.body)
		}
	}
	if sum > 150<<10 {
		t.Errorf("all files of the page take %d kB compressed, want at most 150", sum>>10)
	}
	t.Logf("%d files, %d kB compressed", len(a.files), sum>>10)
}

func TestForeignNamesAreRefused(t *testing.T) {
	s, h := newTestServer(t)
	for host, want := range map[string]int{"localhost:8080": 200, "127.0.0.1": 200, "[::1]:1": 200, "dev.localhost": 200, "evil.example": 421, "evil.example:8080": 421, "10.0.0.1": 421} {
		if answer, _ := get(t, h.URL+"/api/v1/status", "Host", host); answer.StatusCode != want {
			t.Errorf("as %s: %s, want %d", host, answer.Status, want)
		}
	}
	s.hosts = append(s.hosts, "db.example")
	if answer, _ := get(t, h.URL+"/livez", "Host", "db.example"); answer.StatusCode != 200 {
		t.Errorf("as a name that is allowed: %s", answer.Status)
	}
}

func TestOnlyReadingIsAllowed(t *testing.T) {
	_, h := newTestServer(t)
	for _, test := range []struct {
		origin string
		want   int
	}{{"", http.StatusMethodNotAllowed}, {h.URL, http.StatusMethodNotAllowed}, {"http://evil.example", http.StatusForbidden}} {
		r, _ := http.NewRequest(http.MethodPost, h.URL+"/api/v1/status", strings.NewReader("{}"))
		if test.origin != "" {
			r.Header.Set("Origin", test.origin)
		}
		answer, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		answer.Body.Close()
		if answer.StatusCode != test.want {
			t.Errorf("a POST from %q: %s, want %d", test.origin, answer.Status, test.want)
		}
	}
}

func TestOpsHandler(t *testing.T) {
	board := status.NewBoard("v1")
	h := httptest.NewServer(OpsHandler(board, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "metrics") })))
	defer h.Close()
	check := func(path string, code int, has string) {
		t.Helper()
		if answer, body := get(t, h.URL+path); answer.StatusCode != code || !strings.Contains(body, has) {
			t.Errorf("%s: %s, %s", path, answer.Status, body)
		}
	}
	role := board.Role("cdc")
	check("/livez", 200, "ok")
	check("/startupz", 503, "starting")
	check("/readyz", 503, "not ready")
	role.Set(status.Warning, "waits for kafka")
	check("/startupz", 200, "ok")
	check("/readyz?verbose", 503, `"detail":"waits for kafka"`)
	role.Set(status.Healthy, "")
	check("/readyz", 200, "ok")
	check("/healthz", 200, `"role":"cdc"`)
	check("/metrics", 200, "metrics")
}

func TestJSON(t *testing.T) {
	s, h := newTestServer(t)
	for seq := uint64(1); seq <= 30; seq++ {
		s.model.event(item(seq, map[bool]string{true: "u", false: "c"}[seq%10 == 0], "orders"), false, time.Now())
	}
	var tail struct{ Rows []rowJSON }
	_, body := get(t, h.URL+"/api/v1/tail?op=u&limit=2")
	if err := json.Unmarshal([]byte(body), &tail); err != nil || len(tail.Rows) != 2 || tail.Rows[0].Seq != 30 || tail.Rows[1].Seq != 20 {
		t.Errorf("the tail is %s", body)
	}
	for _, bad := range []string{"limit=0", "limit=x", "limit=2001", "op=z", "q=xid:x"} {
		if answer, body := get(t, h.URL+"/api/v1/tail?"+bad); answer.StatusCode != 400 || !strings.Contains(body, "error") {
			t.Errorf("%s: %s %s", bad, answer.Status, body)
		}
	}
	if _, body := get(t, h.URL+"/api/v1/view/orders"); !strings.Contains(body, `"groups":[]`) {
		t.Errorf("the view is %s", body)
	}
	if answer, body := get(t, h.URL+"/api/v1/status"); !json.Valid([]byte(body)) || answer.Header.Get("Cache-Control") != "no-store" {
		t.Errorf("the status is %s", body)
	}
	if answer, _ := get(t, h.URL+"/api/v1/nothing"); answer.StatusCode != 404 {
		t.Errorf("an unknown address: %s", answer.Status)
	}
}

// Every path that the description names is there.
func TestOpenAPI(t *testing.T) {
	_, h := newTestServer(t)
	answer, body := get(t, h.URL+"/openapi.json")
	var api struct{ Paths map[string]any }
	if err := json.Unmarshal([]byte(body), &api); err != nil || !strings.HasPrefix(answer.Header.Get("Content-Type"), "application/json") {
		t.Fatalf("%s: %v", answer.Status, err)
	}
	for path := range api.Paths {
		if path == "/api/v1/stream" {
			continue // it does not end
		}
		if answer, _ := get(t, h.URL+path); answer.StatusCode == http.StatusNotFound {
			t.Errorf("%s is described but not there", path)
		}
	}
}

func TestAPortInUseIsNamed(t *testing.T) {
	l, err := Listen("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	_, err = Listen(l.Addr().String())
	if err == nil || !strings.Contains(err.Error(), l.Addr().String()) || !strings.Contains(err.Error(), "--listen") {
		t.Errorf("the error is %v", err)
	}
	if err := Run(context.Background(), Config{Prefix: "livedb", Listen: l.Addr().String()}); err == nil || !strings.Contains(err.Error(), "--listen") {
		t.Errorf("Run's error is %v", err)
	}
	if err := Run(context.Background(), Config{Prefix: "a b", Listen: "127.0.0.1:0"}); err == nil {
		t.Error("a prefix that Kafka refuses is accepted")
	}
	if err := Run(context.Background(), Config{Prefix: "livedb", Listen: "127.0.0.1:0", Dir: t.TempDir()}); err == nil || !strings.Contains(err.Error(), "ui/static") {
		t.Errorf("a folder without a page: %v", err)
	}
}
