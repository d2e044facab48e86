package check_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/livedb/livedb/internal/capture"
	"github.com/livedb/livedb/internal/devstack"
)

// Servers that are too old, and one whose newer minor release mends it.
func TestOldServers(t *testing.T) {
	folders := strings.Split(os.Getenv("LIVEDB_OLD_POSTGRES"), ",")
	if len(folders) != 3 {
		t.Skip("set LIVEDB_OLD_POSTGRES to the bin folders of a Postgres 14, of one whose minor release has known bugs, and of a newer minor release of that")
	}
	t.Run("major", func(t *testing.T) {
		r := rigOn(t, devstack.TestPostgresWith(t, devstack.PostgresConfig{BinDir: folders[0]}).URL(), "CREATE TABLE a (id int PRIMARY KEY)")
		r.has("server_version_unsupported", "")
		if name := refusalOf(capture.Preflight(t.Context(), r.config.Stream)); name != "server_version_unsupported" {
			t.Errorf("the start refuses with %q", name)
		}
	})
	t.Run("minor", func(t *testing.T) {
		folder, err := os.MkdirTemp("", "livedb-old-") // a test's own is closed to the user whom Postgres runs as
		if err == nil {
			err = os.Chmod(folder, 0o755)
		}
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { os.RemoveAll(folder) })
		installed := filepath.Join(folder, "installed")
		install := func(bin string) {
			t.Helper()
			os.Remove(installed) // the first time it is not there, and Symlink tells of the rest
			if err := os.Symlink(filepath.Dir(bin), installed); err != nil {
				t.Fatal(err)
			}
		}
		install(folders[1])
		server := devstack.TestPostgresWith(t, devstack.PostgresConfig{BinDir: filepath.Join(installed, "bin")})
		r := rigOn(t, server.URL(), "CREATE TABLE a (id int PRIMARY KEY)").brokers()
		r.has("server_minor_old", "")
		if err = capture.Preflight(t.Context(), r.config.Stream); err != nil {
			t.Errorf("the start refuses: %v", err)
		}
		install(folders[2])
		r.restart(server)
		r.gone("server_minor_old", "")
	})
}
