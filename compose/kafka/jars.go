//go:build darwin || dragonfly || freebsd || linux || netbsd || openbsd

package kafka

import (
	"context"
	"crypto/sha256"
	_ "embed"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
)

//go:embed pom.xml
var pom []byte

// Fetch makes sure that Start has what it needs: Java, and Kafka's jars in the user's cache.
func Fetch(ctx context.Context, log *slog.Logger) error {
	_, _, err := programs(ctx, log)
	return err
}

func programs(ctx context.Context, log *slog.Logger) (java, jarFolder string, err error) {
	return Programs(ctx, log, "kafka", pom)
}

// Programs gives the Java to run with and the folder with the jars that pom names: in the user's cache, where Maven puts
// them the first time that this content of pom is asked for. name is of the program, for its folder and for errors.
func Programs(ctx context.Context, log *slog.Logger, name string, pom []byte) (java, jarFolder string, err error) {
	if java, err = findJava(name); err != nil {
		return "", "", err
	}
	jarFolder, err = jars(ctx, log, name, pom)
	return java, jarFolder, err
}

// findJava gives the Java to run with: that of JAVA_HOME, else that of PATH.
func findJava(name string) (string, error) {
	if home := os.Getenv("JAVA_HOME"); home != "" {
		if found, err := exec.LookPath(filepath.Join(home, "bin", "java")); err == nil {
			return found, nil
		}
	}
	found, err := exec.LookPath("java")
	if err != nil {
		return "", fmt.Errorf("%s needs Java: install a JRE of 17 or later, or set JAVA_HOME", name)
	}
	return found, nil
}

// jars gives the folder with the jars that pom names.
func jars(ctx context.Context, log *slog.Logger, name string, pom []byte) (string, error) {
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("no folder for the jars of %s: %w; set XDG_CACHE_HOME or HOME", name, err)
	}
	hash := sha256.Sum256(pom)
	dir := filepath.Join(cache, "livedb", fmt.Sprintf("%s-%x", name, hash[:6]))
	if _, err := os.Stat(dir); err == nil {
		return dir, nil
	}
	mvn, err := exec.LookPath("mvn")
	if err != nil {
		return "", fmt.Errorf("%s needs Maven to fetch its jars the first time: install mvn", name)
	}

	// One at a time, whatever for: two Mavens would write into the same repository of the user.
	if err := os.MkdirAll(filepath.Dir(dir), 0o755); err != nil {
		return "", fmt.Errorf("no folder for the jars of %s: %w; set XDG_CACHE_HOME to one that may be written", name, err)
	}
	lock, err := os.OpenFile(filepath.Join(filepath.Dir(dir), "maven.lock"), os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return "", err
	}
	defer lock.Close()
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX); err != nil {
		return "", fmt.Errorf("lock %s: %w", lock.Name(), err)
	}
	if _, err := os.Stat(dir); err == nil {
		return dir, nil
	}
	log.Info("fetching jars with Maven, once", "of", name, "to", dir)
	return dir, fetch(ctx, mvn, name, pom, dir)
}

// fetch has Maven copy the jars into a folder that gets its name when it is whole.
func fetch(ctx context.Context, mvn, name string, pom []byte, dir string) error {
	work, err := os.MkdirTemp(filepath.Dir(dir), name+"-fetch-")
	if err != nil {
		return fmt.Errorf("no folder for the jars of %s: %w", name, err)
	}
	defer os.RemoveAll(work)
	if err := os.WriteFile(filepath.Join(work, "pom.xml"), pom, 0o644); err != nil {
		return err
	}
	copied := filepath.Join(work, "jars")
	cmd := exec.CommandContext(ctx, mvn, "--batch-mode", "--quiet", "dependency:copy-dependencies",
		"-DincludeScope=runtime", "-DoutputDirectory="+copied)
	cmd.Dir = work
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("maven could not fetch the jars of %s: %w; run it in a folder with compose/%s/pom.xml to see more:\n%s",
			name, err, name, strings.TrimSpace(string(out)))
	}
	return os.Rename(copied, dir)
}
