//go:build darwin || dragonfly || freebsd || linux || netbsd || openbsd

package devstack

import (
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"syscall"
)

// account is whom the server's processes run as. Postgres refuses to run as root.
type account struct {
	name     string
	uid, gid int
	other    bool // not our own account: processes need its credential, folders its ownership
}

// serverAccount is our own account or, for root, the first unprivileged one there is.
func serverAccount() (account, error) {
	if os.Geteuid() != 0 {
		return account{name: "this user", uid: os.Geteuid(), gid: os.Getegid()}, nil
	}
	for _, name := range []string{"postgres", "nobody"} {
		found, err := user.Lookup(name)
		if err != nil {
			continue
		}
		uid, err := strconv.Atoi(found.Uid)
		if err != nil || uid == 0 {
			continue
		}
		gid, err := strconv.Atoi(found.Gid)
		if err != nil {
			continue
		}
		return account{name: name, uid: uid, gid: gid, other: true}, nil
	}
	return account{}, fmt.Errorf("postgres refuses to run as root and this machine has neither a user postgres nor a user nobody; " +
		"run livedb as a normal user, or use --source with a server of your own")
}

// run lets the command run as the account, in a process group of its own: a terminal's Ctrl-C must reach us only.
func (a account) run(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if a.other {
		// Groups stays empty, which drops root's supplementary groups.
		cmd.SysProcAttr.Credential = &syscall.Credential{Uid: uint32(a.uid), Gid: uint32(a.gid)}
	}
}

// give makes the account the owner of path.
func (a account) give(path string) error {
	if !a.other {
		return nil
	}
	return os.Chown(path, a.uid, a.gid)
}

// owns reports whether the file is the account's or our own.
func (a account) owns(info os.FileInfo) bool {
	stat, ok := info.Sys().(*syscall.Stat_t)
	return ok && (int(stat.Uid) == a.uid || int(stat.Uid) == os.Geteuid())
}

// canEnter reports whether the account may use what lies inside dir, going by the permission bits up to the root.
func (a account) canEnter(dir string) bool {
	if !a.other {
		return true
	}
	for {
		info, err := os.Stat(dir)
		if err != nil || !info.IsDir() || !a.hasExecute(info) {
			return false
		}
		parent := filepath.Dir(dir)
		if parent == dir {
			return true
		}
		dir = parent
	}
}

func (a account) hasExecute(info os.FileInfo) bool {
	stat, ok := info.Sys().(*syscall.Stat_t)
	switch mode := info.Mode().Perm(); {
	case !ok:
		return false
	case int(stat.Uid) == a.uid:
		return mode&0o100 != 0
	case int(stat.Gid) == a.gid:
		return mode&0o010 != 0
	default:
		return mode&0o001 != 0
	}
}
