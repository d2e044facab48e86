//go:build darwin || dragonfly || freebsd || linux || netbsd || openbsd

package devstack

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"syscall"
	"time"
)

const (
	folderPrefix = "livedb-pg-"
	ownerFile    = "owner" // locked as long as the folder's owner lives; its text is for people
	dataFolder   = "data"

	// A folder without an owner file is one that is being made or removed at this moment, unless it is old.
	unownedAge = 10 * time.Minute
)

// folder is a server's run folder: its lock, its data and its socket. A lock is better than a pid in a file: the kernel
// drops it with the owner, however it ends, and a pid that was given to another process cannot be taken for the owner.
type folder struct {
	path string
	lock *os.File
}

func (f *folder) data() string { return filepath.Join(f.path, dataFolder) }

// newFolder makes a run folder that the account may write in, owned (in the sense of the lock) by this process.
func newFolder(parent string, as account) (_ *folder, err error) {
	path, err := os.MkdirTemp(parent, folderPrefix)
	if err != nil {
		return nil, fmt.Errorf("no data folder for postgres: %w; name a folder that may be written", err)
	}
	defer func() {
		if err != nil {
			_ = os.RemoveAll(path)
		}
	}()

	// The lock is taken under another name: no sweep of another process may ever see an owner file without its lock.
	lock, err := os.OpenFile(filepath.Join(path, ownerFile+".new"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			_ = lock.Close()
		}
	}()
	if err := flock(lock); err != nil {
		return nil, fmt.Errorf("lock %s: %w; name a folder on a local disk", lock.Name(), err)
	}
	if _, err := fmt.Fprintf(lock, "pid %d since %s: %q\n", os.Getpid(), time.Now().Format(time.RFC3339), os.Args); err != nil {
		return nil, err
	}
	if err := os.Rename(lock.Name(), filepath.Join(path, ownerFile)); err != nil {
		return nil, err
	}
	if err := as.give(path); err != nil {
		return nil, fmt.Errorf("give %s to %s: %w", path, as.name, err)
	}
	return &folder{path: path, lock: lock}, nil
}

// remove deletes the folder and ends our ownership. Backends of a killed postmaster may still be leaving, and writing.
func (f *folder) remove() error {
	err := os.RemoveAll(f.path)
	for deadline := time.Now().Add(5 * time.Second); err != nil && time.Now().Before(deadline); err = os.RemoveAll(f.path) {
		time.Sleep(20 * time.Millisecond)
	}
	_ = f.lock.Close() // closing a file that is deleted and was only a lock has nothing to lose
	if err != nil {
		return fmt.Errorf("data folder of postgres stays behind: %w; delete %s", err, f.path)
	}
	return nil
}

// sweep removes the run folders in parent whose owners are dead, and ends what still runs in them. Failing to is not a
// reason not to start.
func sweep(parent string, as account, log *slog.Logger) {
	paths, _ := filepath.Glob(filepath.Join(parent, folderPrefix+"*")) // the only error is a bad pattern
	for _, path := range paths {
		info, err := os.Lstat(path)
		if err != nil || !info.IsDir() || !as.owns(info) {
			continue
		}
		removed, err := sweepFolder(path, info)
		switch {
		case err != nil:
			log.Warn("a data folder of a killed run could not be removed", "folder", path, "error", err)
		case removed:
			log.Info("removed the data folder of a killed run", "folder", path)
		}
	}
}

func sweepFolder(path string, info os.FileInfo) (removed bool, err error) {
	lock, err := os.OpenFile(filepath.Join(path, ownerFile), os.O_RDWR, 0)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		if time.Since(info.ModTime()) < unownedAge {
			return false, nil
		}
	case err != nil:
		return false, err
	default:
		defer lock.Close()
		if flock(lock) != nil {
			return false, nil // its owner lives
		}
	}
	if err := endOrphan(filepath.Join(path, dataFolder)); err != nil {
		return false, err
	}
	return true, os.RemoveAll(path)
}

// flock takes the lock or fails at once. It ends with the last descriptor of the file; children do not inherit it.
func flock(file *os.File) error {
	return syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
}
