package bench

import (
	"bufio"
	"context"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// recvLogical is the party pg_recvlogical, which comes with Postgres and throws away what it reads. It acknowledges what it
// has read. name is the program.
func recvLogical(name string) Party {
	return Party{Name: "recvlogical", Drain: func(ctx context.Context, t Task) (Figures, error) {
		f := unknown()
		dsn, password := withoutPassword(t.Source)
		cmd := exec.Command(name, "--dbname", dsn, "--slot", t.Slot, "--start", "--no-loop", "--endpos", t.End.String(), "--file", os.DevNull,
			"--option", "proto_version=1", "--option", "publication_names="+t.Publication, "--verbose")
		cmd.Env = append(os.Environ(), "LC_ALL=C")
		if password != "" {
			cmd.Env = append(cmd.Env, "PGPASSWORD="+password)
		}
		said, err := cmd.StderrPipe()
		if err != nil {
			return f, err
		}
		began := time.Now()
		if err := fork(cmd); err != nil {
			return f, fmt.Errorf("start %s: %w", name, err)
		}
		// The kernel counts the memory of the whole life: what is asked for last is the most.
		var words []string
		for s := bufio.NewScanner(said); s.Scan(); {
			if strings.Contains(s.Text(), "streaming initiated") {
				began = time.Now()
			}
			words = append(words, s.Text())
			if rss := peakRSS(cmd.Process.Pid); rss > 0 {
				f.PeakRSS = rss
			}
		}
		if err := await(ctx, cmd); err != nil {
			return f, fmt.Errorf("%w: %s", err, strings.Join(words, "; "))
		}
		f.Rows, f.Seconds = t.Rows, time.Since(began).Seconds()
		f.ClientCPU = (cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()).Seconds()
		return f, nil
	}}
}

// withoutPassword takes the password out of a URL: what stands in a command line is for everyone to see.
func withoutPassword(source string) (dsn, password string) {
	u, err := url.Parse(source)
	if err != nil || u.User == nil {
		return source, ""
	}
	password, _ = u.User.Password()
	u.User = url.User(u.User.Username())
	return u.String(), password
}

// FindRecvLogical looks for pg_recvlogical in a folder, then on PATH, then where packages put it; empty if it is nowhere.
func FindRecvLogical(dir string) string {
	const name = "pg_recvlogical"
	if dir != "" {
		if path, err := exec.LookPath(filepath.Join(dir, name)); err == nil {
			return path
		}
	}
	if path, err := exec.LookPath(name); err == nil {
		return path
	}
	found, _ := filepath.Glob("/usr/lib/postgresql/*/bin/" + name) // the only error is a bad pattern
	if len(found) == 0 {
		return ""
	}
	return found[len(found)-1]
}
