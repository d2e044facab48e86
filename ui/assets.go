package ui

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"embed"
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"mime"
	"net/http"
	"os"
	"path"
	"regexp"
	"strings"
)

//go:embed all:static
var embedded embed.FS

// asset is one file of the page. Its ETag is the hash of its content: an embedded file has no time.
type asset struct {
	body []byte
	gzip []byte // nil if it saves nothing
	kind string
	etag string
}

// assets serves the page's files: from memory, compressed once at the start, or from a folder, read at each request.
type assets struct {
	files map[string]*asset // by path without the leading slash; nil with a folder
	dir   fs.FS
	csp   string
}

func newAssets(dir string) (*assets, error) {
	if dir != "" {
		a := &assets{dir: os.DirFS(dir)}
		_, err := a.policy()
		if err != nil {
			return nil, fmt.Errorf("the folder %q does not hold the dashboard's page (%w): name the folder ui/static of the source", dir, err)
		}
		return a, nil
	}
	root, err := fs.Sub(embedded, "static")
	if err != nil {
		return nil, err
	}
	a := &assets{dir: root, files: map[string]*asset{}}
	err = fs.WalkDir(root, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		a.files[name], err = load(root, name)
		return err
	})
	if err != nil {
		return nil, err
	}
	a.csp, err = a.policy()
	return a, err
}

func load(dir fs.FS, name string) (*asset, error) {
	body, err := fs.ReadFile(dir, name)
	if err != nil {
		return nil, err
	}
	sum := sha256.Sum256(body)
	a := &asset{body: body, kind: kindOf(name), etag: `"` + base64.RawURLEncoding.EncodeToString(sum[:12]) + `"`}
	var b bytes.Buffer
	z, _ := gzip.NewWriterLevel(&b, gzip.BestCompression) // the level is valid
	z.Write(body)                                         // into memory: never fails
	z.Close()
	if b.Len() < len(body)*9/10 {
		a.gzip = b.Bytes()
	}
	return a, nil
}

// kindOf names the content type. The types a page's safety rests on do not depend on the machine's own table.
func kindOf(name string) string {
	switch path.Ext(name) {
	case ".js", ".mjs":
		return "text/javascript; charset=utf-8"
	case ".css":
		return "text/css; charset=utf-8"
	case ".html":
		return "text/html; charset=utf-8"
	case ".svg":
		return "image/svg+xml"
	case ".woff2":
		return "font/woff2"
	case ".json":
		return "application/json; charset=utf-8"
	case "", ".yaml":
		return "text/plain; charset=utf-8"
	}
	if kind := mime.TypeByExtension(path.Ext(name)); kind != "" {
		return kind
	}
	return "application/octet-stream"
}

var importMap = regexp.MustCompile(`(?s)<script type="importmap">(.*?)</script>`)

// policy returns the Content-Security-Policy: everything from this server, and the one inline script, the import map,
// by its hash.
func (a *assets) policy() (string, error) {
	if a.csp != "" {
		return a.csp, nil
	}
	index, err := fs.ReadFile(a.dir, "index.html")
	if err != nil {
		return "", err
	}
	inline := importMap.FindSubmatch(index)
	if inline == nil {
		return "", errors.New("index.html has no import map")
	}
	sum := sha256.Sum256(inline[1])
	return "default-src 'self'; script-src 'self' 'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'; " +
		"img-src 'self' data:; object-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'", nil
}

// ServeHTTP answers with a file.
func (a *assets) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	name := strings.TrimPrefix(path.Clean(r.URL.Path), "/")
	if name == "" {
		name = "index.html"
	}
	file, err := a.file(name)
	if err != nil {
		writeError(w, http.StatusNotFound, "there is no "+r.URL.Path+" here: the dashboard is at /, its data at /api/v1/status")
		return
	}
	h := w.Header()
	h.Set("Content-Type", file.kind)
	h.Set("ETag", file.etag)
	h.Set("Cache-Control", "no-cache") // ask each time; the answer is mostly 304
	h.Set("Vary", "Accept-Encoding")
	if matches(r.Header.Get("If-None-Match"), file.etag) {
		w.WriteHeader(http.StatusNotModified)
		return
	}
	body := file.body
	if file.gzip != nil && strings.Contains(r.Header.Get("Accept-Encoding"), "gzip") {
		h.Set("Content-Encoding", "gzip")
		body = file.gzip
	}
	h.Set("Content-Length", fmt.Sprint(len(body)))
	if r.Method != http.MethodHead {
		w.Write(body) // the client may have gone
	}
}

func (a *assets) file(name string) (*asset, error) {
	if a.files == nil {
		return load(a.dir, name)
	}
	if file := a.files[name]; file != nil {
		return file, nil
	}
	return nil, fs.ErrNotExist
}

// matches reports whether a list of ETags holds one, by the weak comparison.
func matches(list, etag string) bool {
	for one := range strings.SplitSeq(list, ",") {
		if one = strings.TrimPrefix(strings.TrimSpace(one), "W/"); one == etag || one == "*" {
			return true
		}
	}
	return false
}
