package main

import (
	"fmt"
	"io"
	"runtime"
	"runtime/debug"

	"tacit/server"
)

type versionCommand struct{}

type versionData struct {
	Version  string `json:"version"`
	Revision string `json:"revision,omitempty"`
	Modified bool   `json:"modified,omitempty"`
	Go       string `json:"go"`
	Platform string `json:"platform"`
}

func (versionCommand) Run(c *console) error {
	v := versionData{Version: server.Version, Go: runtime.Version(), Platform: runtime.GOOS + "/" + runtime.GOARCH}
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, s := range info.Settings {
			switch s.Key {
			case "vcs.revision":
				v.Revision = s.Value
			case "vcs.modified":
				v.Modified = s.Value == "true"
			}
		}
	}
	return c.result(v, func(w io.Writer) {
		fmt.Fprintf(w, "tacit %s", v.Version)
		if v.Revision != "" {
			fmt.Fprintf(w, " (%.12s)", v.Revision)
		}
		fmt.Fprintf(w, " %s %s\n", v.Go, v.Platform)
	})
}
