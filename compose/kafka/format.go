//go:build darwin || dragonfly || freebsd || linux || netbsd || openbsd

package kafka

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

const (
	metaFile      = "meta.properties"      // who the data folder belongs to; a folder without it is not formatted
	bootstrapFile = "bootstrap.checkpoint" // the first records of the cluster's metadata: its features and SCRAM users
)

// format makes the data folders of a new cluster, and leaves those of an old one as they are.
func (c *Cluster) format(ctx context.Context) error {
	formatted := 0
	for _, n := range c.nodes {
		if _, err := os.Stat(filepath.Join(n.dataDir(), metaFile)); err == nil {
			formatted++
		}
	}
	_, beyond := os.Stat(filepath.Join(c.folder.path, nodeFolder(len(c.nodes)+1), dataFolder, metaFile))
	switch {
	case formatted == len(c.nodes) && beyond != nil:
		return nil
	case formatted > 0:
		return fmt.Errorf("the folder %s holds a Kafka of another number of nodes than %d: ask for its number or name another folder",
			c.folder.path, len(c.nodes))
	}

	// Kafka's own tool makes the first folder; the others differ by who they are. It is a JVM less for each of them.
	cluster, first := newID(), c.nodes[0]
	arguments := []string{"kafka.tools.StorageTool", "format", "--cluster-id", cluster, "--config", first.file("server.properties")}
	for _, name := range slices.Sorted(maps.Keys(c.config.Security.Users)) {
		for _, mechanism := range []string{"SCRAM-SHA-256", "SCRAM-SHA-512"} {
			arguments = append(arguments, "--add-scram",
				fmt.Sprintf("%s=[name=%s,password=%s]", mechanism, name, c.config.Security.Users[name]))
		}
	}
	cmd := exec.CommandContext(ctx, c.java, append(c.javaFlags(first), arguments...)...)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("kafka's storage tool failed: %w\n%s", err, strings.TrimSpace(string(out)))
	}
	bootstrap, err := os.ReadFile(filepath.Join(first.dataDir(), bootstrapFile))
	if err != nil {
		return err
	}
	for _, n := range c.nodes[1:] {
		if err := os.WriteFile(filepath.Join(n.dataDir(), bootstrapFile), bootstrap, 0o644); err != nil {
			return err
		}
		meta := fmt.Sprintf("version=1\ncluster.id=%s\nnode.id=%d\ndirectory.id=%s\n", cluster, n.id, newID())
		if err := os.WriteFile(filepath.Join(n.dataDir(), metaFile), []byte(meta), 0o644); err != nil {
			return err
		}
	}
	return nil
}

// newID is a random id as Kafka writes them. Its first character is a letter, so that no tool takes it for a flag.
func newID() string {
	var id [16]byte
	rand.Read(id[:]) // never fails
	id[0] &= 0x7f
	return base64.RawURLEncoding.EncodeToString(id[:])
}
