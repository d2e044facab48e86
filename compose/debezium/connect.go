//go:build darwin || dragonfly || freebsd || linux || netbsd || openbsd

package debezium

import (
	"context"
	_ "embed"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"

	apachekafka "github.com/livedb/livedb/compose/kafka"
	"github.com/livedb/livedb/internal/devstack"
)

var (
	//go:embed pom.xml
	pom []byte
	//go:embed log4j2.properties
	log4j []byte
)

// Connect is a running Kafka Connect with the connector in it. It ends with this process at the latest.
type Connect struct {
	*devstack.Child
	dir string
}

// Fetch makes sure that Start has what it needs: Java, and Debezium's jars in the user's cache.
func Fetch(ctx context.Context, log *slog.Logger) error {
	_, _, err := programs(ctx, log)
	return err
}

func programs(ctx context.Context, log *slog.Logger) (java, jars string, err error) {
	return apachekafka.Programs(ctx, log, "debezium", pom)
}

// Start starts the process and does not wait for the connector, which takes seconds: whoever needs to know asks Postgres
// whether the slot is active. The first time ever, Maven fetches the jars (41 MB) into the user's cache. A connector that
// fails leaves the process running: see Failed.
func Start(ctx context.Context, c Config) (_ *Connect, err error) {
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	database, err := database(c.Source)
	if err != nil {
		return nil, err
	}
	java, jars, err := programs(ctx, c.Log)
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "livedb-debezium-")
	if err != nil {
		return nil, fmt.Errorf("no folder for Debezium: %w; set TMPDIR to one that may be written", err)
	}
	defer func() {
		if err != nil {
			_ = os.RemoveAll(dir) // the first error tells more
		}
	}()

	all := settings(c, database, dir)
	worker, connector, logging := filepath.Join(dir, "worker.properties"), filepath.Join(dir, "connector.properties"), filepath.Join(dir, "log4j2.properties")
	for file, content := range map[string]string{
		worker: properties(all, Worker), connector: properties(all, Connector), logging: string(log4j),
	} {
		if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
			return nil, err
		}
	}
	arguments := append(flags(all), "-XX:-UsePerfData", "-Djava.io.tmpdir="+dir, "-Dlog4j2.configurationFile="+logging,
		"-cp", filepath.Join(jars, "*"), "org.apache.kafka.connect.cli.ConnectStandalone", worker, connector)
	cmd := exec.Command(java, arguments...)
	cmd.Dir = dir
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + dir, "LC_ALL=C"}
	child, err := devstack.StartChild(cmd)
	if err != nil {
		return nil, fmt.Errorf("debezium: %w", err)
	}
	return &Connect{Child: child, dir: dir}, nil
}

// Close kills the process and removes its files.
func (c *Connect) Close() error {
	c.Kill()
	if err := os.RemoveAll(c.dir); err != nil {
		return fmt.Errorf("the folder of Debezium stays behind: %w; delete %s", err, c.dir)
	}
	return nil
}
