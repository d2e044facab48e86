//go:build darwin || dragonfly || freebsd || linux || netbsd || openbsd

package devstack

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// minMajor is the oldest Postgres whose pgoutput has messages, which LiveDB needs.
const minMajor = 14

const otherWays = "install Postgres, set LIVEDB_PG_BIN to the folder that holds initdb and postgres, " +
	"or use --source with a server of your own"

// binaries is a folder with a Postgres that the account can run.
type binaries struct {
	dir     string
	version string // such as 17.6
}

// findBinaries takes the folder that was named, by the caller or by LIVEDB_PG_BIN, and no other; if none was, the first
// usable one on this machine, and if there is none, a download.
func findBinaries(ctx context.Context, named string, as account, log *slog.Logger) (binaries, error) {
	if named == "" {
		named = os.Getenv("LIVEDB_PG_BIN")
	}
	if named != "" {
		found, err := checkBinaries(ctx, named, as)
		if err != nil {
			return binaries{}, fmt.Errorf("no usable Postgres in %s: %w; name the folder that holds initdb and postgres", named, err)
		}
		return found, nil
	}

	var refused error
	for _, dir := range usualFolders() {
		found, err := checkBinaries(ctx, dir, as)
		if err == nil {
			return found, nil
		}
		refused = errors.Join(refused, fmt.Errorf("%s: %w", dir, err))
	}
	if err := ctx.Err(); err != nil {
		return binaries{}, fmt.Errorf("look for a Postgres on this machine: %w", err)
	}
	if refused != nil {
		log.Warn("no usable Postgres on this machine", "error", refused)
	}

	dir, err := download(ctx, as, log)
	if err != nil {
		return binaries{}, fmt.Errorf("no Postgres on this machine and none to be had: %w; %s", err, otherWays)
	}
	found, err := checkBinaries(ctx, dir, as)
	if err != nil {
		return binaries{}, fmt.Errorf("the downloaded Postgres in %s does not run here: %w; %s", dir, err, otherWays)
	}
	return found, nil
}

// usualFolders lists the folders of this machine that hold an initdb: PATH first, then where packages put it, newest first.
func usualFolders() []string {
	var dirs []string
	if path, err := exec.LookPath("initdb"); err == nil {
		dirs = append(dirs, filepath.Dir(path))
	}
	for _, pattern := range []string{
		"/usr/lib/postgresql/*/bin",         // Debian, Ubuntu
		"/usr/pgsql-*/bin",                  // the PostgreSQL project's RPMs
		"/opt/homebrew/opt/postgresql*/bin", // Homebrew on Apple silicon
		"/usr/local/opt/postgresql*/bin",    // Homebrew on Intel
		"/home/linuxbrew/.linuxbrew/opt/postgresql*/bin",
		"/Applications/Postgres.app/Contents/Versions/*/bin",
		"/usr/local/pgsql/bin", // built from source
	} {
		found, _ := filepath.Glob(pattern + "/initdb") // the only error is a bad pattern
		slices.SortFunc(found, func(a, b string) int { return majorIn(b) - majorIn(a) })
		for _, path := range found {
			dirs = append(dirs, filepath.Dir(path))
		}
	}
	return dirs
}

var numbers = regexp.MustCompile(`\d+`)

// majorIn is the version number in a path such as /usr/lib/postgresql/17/bin/initdb; 0 if there is none.
func majorIn(path string) int {
	n, _ := strconv.Atoi(numbers.FindString(path)) // no digits is 0, as said
	return n
}

var versionText = regexp.MustCompile(`\(PostgreSQL\) (\d+)(\.\d+|\w*)`)

// checkBinaries runs the server's --version as the account, which proves that both exist and that it may run them.
func checkBinaries(ctx context.Context, dir string, as account) (binaries, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return binaries{}, err
	}
	for _, name := range []string{"initdb", "postgres"} {
		if info, err := os.Stat(filepath.Join(dir, name)); err != nil || !info.Mode().IsRegular() {
			return binaries{}, fmt.Errorf("%s is missing there", name)
		}
	}

	cmd := exec.CommandContext(ctx, filepath.Join(dir, "postgres"), "--version")
	cmd.Dir, cmd.Env, cmd.WaitDelay = "/", serverEnv(), 5*time.Second
	as.run(cmd)
	out, err := cmd.CombinedOutput()
	if err != nil {
		return binaries{}, fmt.Errorf("%s cannot run it: %w%s", as.name, err, quoteLines(string(out)))
	}
	match := versionText.FindStringSubmatch(string(out))
	if match == nil {
		return binaries{}, fmt.Errorf("its --version makes no sense: %q", strings.TrimSpace(string(out)))
	}
	if major, _ := strconv.Atoi(match[1]); major < minMajor {
		return binaries{}, fmt.Errorf("version %s is too old, LiveDB needs %d", match[1]+match[2], minMajor)
	}
	return binaries{dir: dir, version: match[1] + match[2]}, nil
}

// serverEnv is our environment without what would change a server or its messages.
func serverEnv() []string {
	env := slices.DeleteFunc(os.Environ(), func(entry string) bool {
		return strings.HasPrefix(entry, "PG") || strings.HasPrefix(entry, "LC_") || strings.HasPrefix(entry, "LANG")
	})
	return append(env, "LC_ALL=C", "TZ=UTC") // TZ also saves initdb from trying every time zone there is
}

// quoteLines sets what a program said under the sentence that speaks of it.
func quoteLines(text string) string {
	text = strings.TrimSpace(text)
	if text == "" {
		return ""
	}
	return "\n    " + strings.ReplaceAll(text, "\n", "\n    ")
}
