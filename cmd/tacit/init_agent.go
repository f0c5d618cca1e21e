package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"tacit/client"
	"tacit/dataset"
	"tacit/internal/durable"
)

type initAgentCommand struct {
	File        string   `arg:"" optional:"" default:"agent.yaml" help:"File to write; by default agent.yaml."`
	Site        string   `required:"" help:"This branch's name in the federation."`
	Data        string   `required:"" type:"path" help:"A file, or folder of images, of this branch. The agent's file holds as many data sets as you add to it."`
	Name        string   `default:"rows" help:"What plans and --data call this data set."`
	Format      string   `help:"csv, idx, npy, images, text or parquet; by default as the file's name ends."`
	Split       string   `type:"path" help:"Which row trains and which tests."`
	Center      string   `help:"This branch's name in the split file, where that lists several."`
	State       string   `default:"state" help:"Directory of keys, journal and evidence; a relative path is relative to FILE."`
	Allow       []string `help:"Plan hash or model family that may run here; repeat for more. Nothing by default."`
	MinBranches int      `help:"Smallest epoch to take part in; 0 leaves it to the charter."`
}

func (x *initAgentCommand) Run(c *console) error {
	cfg := &client.Config{
		Site: x.Site, State: x.State,
		Data:   map[string]dataset.Source{x.Name: {Format: x.Format, Path: x.Data, Split: x.Split, Center: x.Center}},
		Policy: client.Policy{Allow: x.Allow, MinBranches: x.MinBranches},
	}
	text := []byte(cfg.YAML())
	if _, err := client.ParseConfig(text, x.File); err != nil {
		return misconfigured("", "%w", err)
	}
	if err := writeNew(x.File, text, 0o644); err != nil {
		return err
	}
	return c.result(map[string]string{"config": x.File}, func(w io.Writer) {
		fmt.Fprintf(w, "wrote %s\n", x.File)
		for _, path := range []string{x.Data, x.Split} {
			if _, err := os.Stat(path); path != "" && err != nil {
				fmt.Fprintf(w, "note: %s is not there yet; the agent refuses plans until it is\n", path)
			}
		}
		fmt.Fprintf(w, "next: tacit agent join STRING --config %s\n", x.File)
	})
}

// mustBeNew fails if something is at path.
func mustBeNew(path string) error {
	_, err := os.Lstat(path)
	switch {
	case err == nil:
		return misconfigured("choose another name, or move that file away", "%s is there already", path)
	case !errors.Is(err, fs.ErrNotExist):
		return err
	}
	return nil
}

// writeNew writes a file that must not be there yet.
func writeNew(path string, data []byte, mode fs.FileMode) error {
	if err := mustBeNew(path); err != nil {
		return err
	}
	if err := durable.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	return durable.WriteFile(path, data, mode)
}
