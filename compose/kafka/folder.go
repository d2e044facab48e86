//go:build darwin || dragonfly || freebsd || linux || netbsd || openbsd

package kafka

import (
	"fmt"
	"os"
	"path/filepath"
	"syscall"
)

const (
	folderPrefix = "livedb-kafka-"
	ownerFile    = "owner" // locked as long as the cluster's parent lives
)

// folder holds a cluster's data. The kernel drops its lock with its owner, however that one ends.
type folder struct {
	path string
	lock *os.File
	keep bool // the user's own
}

// openFolder takes the user's folder or, for "", makes one, after removing those whose owners are dead.
func openFolder(dir string) (*folder, error) {
	if dir == "" {
		sweep(os.TempDir())
		path, err := os.MkdirTemp("", folderPrefix)
		if err != nil {
			return nil, fmt.Errorf("no data folder for Kafka: %w; set TMPDIR to one that may be written", err)
		}
		// No sweep may ever see the owner file without its lock.
		lock, err := lockFile(filepath.Join(path, ownerFile+".new"))
		if err == nil {
			err = os.Rename(lock.Name(), filepath.Join(path, ownerFile))
		}
		if err != nil {
			return nil, err
		}
		return &folder{path: path, lock: lock}, nil
	}
	path, err := filepath.Abs(dir)
	if err == nil {
		err = os.MkdirAll(path, 0o755)
	}
	if err != nil {
		return nil, fmt.Errorf("no data folder for Kafka: %w; name one that may be written", err)
	}
	lock, err := lockFile(filepath.Join(path, ownerFile))
	if err != nil {
		return nil, fmt.Errorf("the folder %s is in use by another Kafka: stop that one or name another folder: %w", path, err)
	}
	return &folder{path: path, lock: lock, keep: true}, nil
}

// close gives the folder up and, unless it is the user's, removes it.
func (f *folder) close() error {
	defer f.lock.Close()
	if f.keep {
		return nil
	}
	if err := os.RemoveAll(f.path); err != nil {
		return fmt.Errorf("the data folder of Kafka stays behind: %w; delete %s", err, f.path)
	}
	return nil
}

// sweep removes the folders in parent whose owners were killed. One that cannot be removed is no reason not to start.
func sweep(parent string) {
	owners, _ := filepath.Glob(filepath.Join(parent, folderPrefix+"*", ownerFile)) // the only error is a bad pattern
	for _, owner := range owners {
		if lock, err := lockFile(owner); err == nil {
			_ = os.RemoveAll(filepath.Dir(owner))
			_ = lock.Close()
		}
	}
}

// lockFile takes the file's lock or fails at once. Children do not inherit it.
func lockFile(path string) (*os.File, error) {
	file, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		_ = file.Close()
		return nil, fmt.Errorf("lock %s: %w", path, err)
	}
	return file, nil
}
