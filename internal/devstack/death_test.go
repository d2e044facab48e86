//go:build linux || darwin

package devstack

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

const (
	helperEnv   = "LIVEDB_DEVSTACK_HELPER" // the folder that the helper's server is to be in
	helperGuard = "LIVEDB_DEVSTACK_GUARDED"
)

// helper is the test binary run as another process: it starts a server, tells its pid, and waits to be killed.
func helper() {
	p, err := StartPostgres(context.Background(), PostgresConfig{
		Dir:     os.Getenv(helperEnv),
		guarded: os.Getenv(helperGuard) != "",
	})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	guardPID := 0
	if p.guard != nil {
		guardPID = p.guard.cmd.Process.Pid
	}
	fmt.Println(p.PID(), guardPID, p.DataDir())
	<-p.Done()
	fmt.Fprintln(os.Stderr, p.Err())
	os.Exit(1)
}

// startHelper gives the running helper, the pids that must end with it, and its data folder.
func startHelper(t *testing.T, dir string, guarded bool) (cmd *exec.Cmd, pids []int, dataDir string) {
	t.Helper()
	cmd = exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), helperEnv+"="+dir)
	if guarded {
		cmd.Env = append(cmd.Env, helperGuard+"=1")
	}
	cmd.Stderr = os.Stderr
	stdout, err := cmd.StdoutPipe()
	must(t, err)
	must(t, cmd.Start())
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})

	line, err := bufio.NewReader(stdout).ReadString('\n')
	must(t, err)
	fields := strings.SplitN(strings.TrimSpace(line), " ", 3)
	for _, field := range fields[:2] {
		pid, err := strconv.Atoi(field)
		must(t, err)
		if pid != 0 {
			pids = append(pids, pid)
		}
	}
	return cmd, pids, fields[2]
}

// lives reports whether the process is there and no zombie: whoever inherits it may be slow to bury it.
func lives(pid int) bool {
	if errors.Is(syscall.Kill(pid, 0), syscall.ESRCH) {
		return false
	}
	out, err := exec.Command("ps", "-o", "stat=", "-p", strconv.Itoa(pid)).Output()
	return err == nil && !strings.HasPrefix(strings.TrimSpace(string(out)), "Z")
}

func TestPostgresDiesWithItsKilledParent(t *testing.T) {
	for _, guarded := range []bool{false, true} {
		t.Run(fmt.Sprintf("guarded=%v", guarded), func(t *testing.T) {
			t.Parallel()
			dir := openFolder(t)
			parent, pids, dataDir := startHelper(t, dir, guarded)
			if want := guarded || !kernelGuards; (len(pids) == 2) != want {
				t.Fatalf("got processes %v, want a guard: %v", pids, want)
			}
			pids = append(pids, childrenOf(t, pids[0])...)
			if len(pids) < 5 {
				t.Fatalf("got only processes %v", pids)
			}

			must(t, parent.Process.Kill())
			for _, pid := range pids {
				eventually(t, time.Minute, fmt.Sprintf("process %d of %v ended", pid, pids), func() bool { return !lives(pid) })
			}
			if !exists(dataDir) {
				t.Fatal("its data folder is gone already: what is there to remove?")
			}
			p := startPostgres(t, PostgresConfig{Dir: dir})
			if exists(filepath.Dir(dataDir)) {
				t.Error("the next start left its folder")
			}
			must(t, p.Stop(t.Context()))
		})
	}
}

func childrenOf(t *testing.T, pid int) []int {
	t.Helper()
	out, err := exec.Command("ps", "-A", "-o", "pid=,ppid=").Output()
	must(t, err)
	var children []int
	for line := range strings.Lines(string(out)) {
		var child, parent int
		if _, err := fmt.Sscan(line, &child, &parent); err == nil && parent == pid {
			children = append(children, child)
		}
	}
	return children
}

// If the guard was killed too, the next start finds the orphan, ends it and removes its folder.
func TestPostgresOrphanIsEndedByTheNextStart(t *testing.T) {
	dir := openFolder(t)
	parent, pids, dataDir := startHelper(t, dir, true)
	must(t, syscall.Kill(pids[1], syscall.SIGKILL)) // the guard
	must(t, parent.Process.Kill())
	_ = parent.Wait()
	if !runsIn(pids[0], dataDir) {
		t.Fatal("there is no orphan")
	}
	startPostgres(t, PostgresConfig{Dir: dir})
	if exists(filepath.Dir(dataDir)) || runsIn(pids[0], dataDir) {
		t.Error("the next start left the orphan")
	}
}

// A pid file outlives its server, and the pid may be another's by then.
func TestPostgresSweepSparesOtherProcesses(t *testing.T) {
	dir := openFolder(t)
	other := exec.Command("sleep", "60")
	must(t, other.Start())
	t.Cleanup(func() {
		_ = other.Process.Kill()
		_ = other.Wait()
	})
	left := filepath.Join(dir, folderPrefix+"left")
	must(t, os.MkdirAll(filepath.Join(left, dataFolder), 0o755))
	must(t, os.WriteFile(filepath.Join(left, ownerFile), nil, 0o600))
	pidFile := fmt.Sprintf("%d\n%s\n", other.Process.Pid, filepath.Join(left, dataFolder))
	must(t, os.WriteFile(filepath.Join(left, dataFolder, "postmaster.pid"), []byte(pidFile), 0o600))

	as, err := serverAccount()
	must(t, err)
	sweep(dir, as, orDiscard(nil))
	if exists(left) {
		t.Error("the folder of a dead owner stays")
	}
	if !lives(other.Process.Pid) {
		t.Error("a foreign process was killed")
	}
}

func TestPostgresSweepSparesTheLivingAndTheUnborn(t *testing.T) {
	dir := openFolder(t)
	as, err := serverAccount()
	must(t, err)
	living, err := newFolder(dir, as)
	must(t, err)
	unborn := filepath.Join(dir, folderPrefix+"unborn")
	must(t, os.Mkdir(unborn, 0o755))
	stillborn := filepath.Join(dir, folderPrefix+"stillborn")
	must(t, os.Mkdir(stillborn, 0o755))
	old := time.Now().Add(-2 * unownedAge)
	must(t, os.Chtimes(stillborn, old, old))
	foreign := filepath.Join(dir, "something-else")
	must(t, os.Mkdir(foreign, 0o755))

	sweep(dir, as, orDiscard(nil))
	for path, want := range map[string]bool{living.path: true, unborn: true, stillborn: false, foreign: true} {
		if got := exists(path); got != want {
			t.Errorf("%s: exists %v, want %v", path, got, want)
		}
	}
	must(t, living.remove())
}
