//go:build darwin || dragonfly || freebsd || linux || netbsd || openbsd

package devstack

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"syscall"

	embedded "github.com/fergusstrange/embedded-postgres"
)

// downloadVersion is what is fetched where there is no Postgres.
const downloadVersion = embedded.V18

// download gives the bin folder of a Postgres fetched from Maven Central, once per machine and user. When ctx ends, the
// download goes on alone, for the next start: the library takes no context and must not lose its files while it works.
func download(ctx context.Context, as account, log *slog.Logger) (string, error) {
	cache, err := cacheFolder(as)
	if err != nil {
		return "", err
	}
	var bin string
	result := make(chan error, 1)
	go func() {
		var err error
		bin, err = downloadTo(cache, log)
		result <- err
	}()
	select {
	case err := <-result:
		return bin, err
	case <-ctx.Done():
		return "", fmt.Errorf("download of Postgres %s: %w", downloadVersion, ctx.Err())
	}
}

// downloadTo fills the cache folder, unless it is filled, and gives the bin folder in it.
func downloadTo(cache string, log *slog.Logger) (string, error) {
	home := filepath.Join(cache, "postgres-"+string(downloadVersion))
	bin := filepath.Join(home, "bin")
	if _, err := os.Stat(bin); err == nil {
		return bin, nil
	}

	// Of several processes one downloads, and the others wait for it.
	lock, err := os.OpenFile(filepath.Join(cache, "download.lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return "", err
	}
	defer lock.Close()
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX); err != nil {
		return "", fmt.Errorf("lock %s: %w", lock.Name(), err)
	}
	if _, err := os.Stat(bin); err == nil {
		return bin, nil
	}

	log.Warn("no Postgres on this machine: downloading one, once", "version", downloadVersion, "from", "Maven Central", "to", home)
	temp, err := os.MkdirTemp(cache, "download-")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(temp)
	if err := fetch(temp); err != nil {
		return "", err
	}
	if err := makeReadable(temp); err != nil {
		return "", err
	}
	if err := os.Rename(filepath.Join(temp, "postgres"), home); err != nil {
		return "", err
	}
	return bin, nil
}

// fetch downloads and unpacks a Postgres into temp/postgres. The library can do that only as the first part of its Start,
// which would go on to initdb and a server of its own (as root initdb fails, elsewhere a stray server would run). So it is
// given a data folder that it must clean first and cannot: os.RemoveAll refuses every path that ends in a dot. Start then
// fails right after unpacking, always, and whether the binaries are there is the true result.
func fetch(temp string) error {
	target := filepath.Join(temp, "postgres")
	library := embedded.NewDatabase(embedded.DefaultConfig().
		Version(downloadVersion).
		Port(0). // it insists on a free one
		CachePath(filepath.Join(temp, "archive")).
		BinariesPath(target).
		RuntimePath(filepath.Join(temp, "run")).
		DataPath(temp + "/.").
		Logger(io.Discard))

	err := library.Start()
	for _, name := range []string{"initdb", "postgres"} {
		if _, missing := os.Stat(filepath.Join(target, "bin", name)); missing != nil {
			return fmt.Errorf("download of Postgres %s: %w", downloadVersion, cmp.Or(err, missing))
		}
	}
	return nil
}

// cacheFolder is the user's cache folder or, where the account may not enter that (root's), the system's.
func cacheFolder(as account) (string, error) {
	var parents []string
	if dir, err := os.UserCacheDir(); err == nil {
		parents = append(parents, dir)
	}
	if as.other {
		parents = append(parents, "/var/cache")
	}
	var failed error
	for _, parent := range parents {
		dir := filepath.Join(parent, "livedb")
		if err := os.MkdirAll(dir, 0o755); err != nil {
			failed = errors.Join(failed, err)
			continue
		}
		if as.canEnter(dir) {
			return dir, nil
		}
		failed = errors.Join(failed, fmt.Errorf("user %s cannot enter %s", as.name, dir))
	}
	if failed == nil {
		failed = errors.New("HOME is not set")
	}
	return "", fmt.Errorf("no folder to keep a download in: %w", failed)
}

// makeReadable opens the folder to every user: the server's may be another one than ours, and our umask strict.
func makeReadable(dir string) error {
	return filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.Type()&fs.ModeSymlink != 0 {
			return err
		}
		info, err := entry.Info()
		if err != nil {
			return err
		}
		mode := info.Mode().Perm() | 0o444
		if info.IsDir() || mode&0o100 != 0 {
			mode |= 0o111
		}
		return os.Chmod(path, mode)
	})
}
