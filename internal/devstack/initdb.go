//go:build darwin || dragonfly || freebsd || linux || netbsd || openbsd

package devstack

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"
)

// maxSocketPath is what fits into a socket address on every system here (macOS has 104 bytes, Linux 108, less the final 0).
const maxSocketPath = 103

// initdb makes the data folder and appends the settings to its postgresql.conf, where ALTER SYSTEM can overrule them.
func (p *Postgres) initdb(ctx context.Context, settings map[string]string, segment int) error {
	dataDir := p.folder.data()
	cmd := exec.CommandContext(ctx, filepath.Join(p.binaries.dir, "initdb"),
		"-D", dataDir, "-U", "postgres", "--auth=trust", "-E", "UTF8", "--locale=C", "--no-sync", fmt.Sprintf("--wal-segsize=%d", cmp.Or(segment, 16)))
	cmd.Dir, cmd.Env, cmd.WaitDelay = "/", serverEnv(), 5*time.Second
	var output tail
	cmd.Stdout, cmd.Stderr = &output, &output
	p.account.run(cmd)
	dieWithParent(cmd, syscall.SIGKILL)
	err := start(cmd)
	if err == nil {
		err = cmd.Wait()
	}
	if err != nil {
		return fmt.Errorf("initdb failed as %s: %w%s", p.account.name, err, quoteLines(output.String()))
	}

	return p.configure(settings)
}

// copyStandby makes the data folder a standby's, from a copy of another one.
func (p *Postgres) copyStandby(ctx context.Context, of string, settings map[string]string) error {
	dataDir := p.folder.data()
	if out, err := exec.CommandContext(ctx, "cp", "-a", of, dataDir).CombinedOutput(); err != nil {
		return fmt.Errorf("copy %s for a standby: %w%s", of, err, quoteLines(string(out)))
	}
	// A slot of the copy would stand in the way of the one that is kept in step with the primary's.
	slots, err := filepath.Glob(filepath.Join(dataDir, "pg_replslot", "*"))
	if err != nil {
		return err
	}
	for _, slot := range slots {
		if err := os.RemoveAll(slot); err != nil {
			return err
		}
	}
	signal := filepath.Join(dataDir, "standby.signal")
	if err := os.WriteFile(signal, nil, 0o600); err != nil {
		return err
	}
	if err := p.account.give(signal); err != nil {
		return err
	}
	return p.configure(settings)
}

// configure appends the settings to the data folder's postgresql.conf.
func (p *Postgres) configure(settings map[string]string) error {
	conf, err := os.OpenFile(filepath.Join(p.folder.data(), "postgresql.conf"), os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	defer conf.Close()
	_, err = conf.WriteString(settingsText(p.folder.path, settings))
	return err
}

// settingsText is the end of postgresql.conf: our defaults, overruled by the given settings.
func settingsText(runDir string, settings map[string]string) string {
	all := defaultSettings()
	all["unix_socket_directories"] = runDir
	if len(runDir)+len("/.s.PGSQL.65535") > maxSocketPath || strings.ContainsAny(runDir, `,"`) {
		all["unix_socket_directories"] = "" // TCP is enough
	}
	maps.Copy(all, settings)

	var text strings.Builder
	text.WriteString("\n# LiveDB's\n")
	for _, name := range slices.Sorted(maps.Keys(all)) {
		fmt.Fprintf(&text, "%s = %s\n", name, quoteSetting(all[name]))
	}
	return text.String()
}
