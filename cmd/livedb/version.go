package main

import (
	"encoding/json"
	"fmt"
	"runtime"
	"runtime/debug"
)

// versionCommand shows the version.
type versionCommand struct {
	JSON bool `name:"json" help:"Print one JSON object."`
}

// Run implements the command.
func (c *versionCommand) Run(i *invocation) error {
	version, revision := build()
	if !c.JSON {
		_, err := fmt.Fprintf(i.out, "livedb %s (%s, %s/%s, %s)\n", version, revision, runtime.GOOS, runtime.GOARCH, runtime.Version())
		return err
	}
	return json.NewEncoder(i.out).Encode(map[string]string{"version": version, "revision": revision, "go": runtime.Version(), "platform": runtime.GOOS + "/" + runtime.GOARCH})
}

// build returns the module's version and the commit it was built from, as far as the build knows them.
func build() (version, revision string) {
	version, revision = "devel", "unknown"
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return version, revision
	}
	if v := info.Main.Version; v != "" && v != "(devel)" {
		version = v
	}
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" {
			revision = s.Value
		}
	}
	return version, revision
}
