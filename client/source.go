package client

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/dustin/go-humanize"
	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"

	"tacit/dataset"
	"tacit/id"
)

// SourceError says that a branch has no such data set. Names of data sets stay at
// the branch: only the reason code of a refusal leaves.
type SourceError struct {
	Name string   // that was asked for; "": none, where there are several
	Have []string // sorted
}

func (e *SourceError) Error() string {
	if e.Name == "" {
		return fmt.Sprintf("there are several data sets (%s), and none of them is named", strings.Join(e.Have, ", "))
	}
	return fmt.Sprintf("there is no data set %q here, only %s", e.Name, strings.Join(e.Have, ", "))
}

// Hint is the advice printed under the error.
func (e *SourceError) Hint() string {
	return "name one of them in the plan's data.source or with --data, or add it under data: in the agent's file"
}

// Source returns the data set of that name; "" is the only one.
func (c *Config) Source(name string) (dataset.Source, error) {
	have := slices.Sorted(maps.Keys(c.Data))
	if name == "" && len(have) == 1 {
		name = have[0]
	}
	s, ok := c.Data[name]
	if !ok {
		return dataset.Source{}, &SourceError{Name: name, Have: have}
	}
	s.Name = name
	return s, nil
}

// sourceFile is a data set as agent.yaml has it.
type sourceFile struct {
	Format     string `yaml:"format"`
	Path       string `yaml:"path"`
	Labels     string `yaml:"labels"`
	Test       string `yaml:"test"`
	TestLabels string `yaml:"test_labels"`
	Split      string `yaml:"split"`
	Center     string `yaml:"center"`
	Query      string `yaml:"query"`
	DSNEnv     string `yaml:"dsn_env"`
	DSNFile    string `yaml:"dsn_file"`
	Memory     string `yaml:"memory"`
}

// UnmarshalYAML says what to do where a set has no name.
func (f *sourceFile) UnmarshalYAML(n ast.Node) error {
	if _, ok := n.(*ast.MappingNode); !ok {
		return &yaml.SyntaxError{Message: "data sets have names: data: {rows: {path: …}}", Token: n.GetToken()}
	}
	type plain sourceFile
	return yaml.NodeToValue(n, (*plain)(f), yaml.Strict())
}

// source reads f; paths are relative to the file that it stands in.
func (f *sourceFile) source(filename string) (dataset.Source, error) {
	s := dataset.Source{Format: f.Format, Center: f.Center, Query: f.Query}
	for to, path := range map[*string]string{&s.Path: f.Path, &s.Labels: f.Labels, &s.Test: f.Test, &s.TestLabels: f.TestLabels, &s.Split: f.Split} {
		*to = resolve(filename, path)
	}
	switch {
	case f.DSNEnv != "" && f.DSNFile != "":
		return s, errors.New("dsn_env and dsn_file say the same twice")
	case f.DSNEnv != "":
		s.DSN = "env:" + f.DSNEnv
	case f.DSNFile != "":
		s.DSN = "file:" + resolve(filename, f.DSNFile)
	}
	if (f.Format == "postgres" || f.Format == "mysql") && s.DSN == "" {
		return s, fmt.Errorf("%s needs dsn_env, the environment variable that holds the connection string, or dsn_file, a file that holds it", f.Format)
	}
	if f.Memory != "" {
		n, err := humanize.ParseBytes(f.Memory)
		if err != nil || n < 1 || n > 1<<50 {
			return s, fmt.Errorf("memory: %q is no size such as 512MiB", f.Memory)
		}
		s.Memory = int64(n)
	}
	if err := s.Validate(); err != nil {
		return s, errors.New(strings.TrimPrefix(err.Error(), "dataset: "))
	}
	return s, nil
}

// sources reads the section data.
func sources(sets map[string]sourceFile, filename string) (map[string]dataset.Source, error) {
	if len(sets) == 0 {
		return nil, errors.New("data: no data set; name one, as in data: {rows: {path: rows.csv}}")
	}
	out := map[string]dataset.Source{}
	var errs []error
	for _, name := range slices.Sorted(maps.Keys(sets)) {
		f := sets[name]
		s, err := f.source(filename)
		if err == nil {
			err = id.CheckName(name)
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("data: %s: %w", name, err))
		}
		out[name] = s
	}
	return out, errors.Join(errs...)
}

// sourcesYAML writes the section data.
func sourcesYAML(line func(text, comment string), sets map[string]dataset.Source) {
	line("data:", "this branch's data sets by name; they never leave this machine")
	for _, name := range slices.Sorted(maps.Keys(sets)) {
		s := sets[name]
		line("  "+quoteYAML(name)+":", "what a plan calls data.source")
		field := func(key, value, comment string) {
			if value != "" {
				line("    "+key+": "+quoteYAML(value), comment)
			}
		}
		field("format", s.Format, "")
		field("path", s.Path, "as the plan's schema describes it")
		field("labels", s.Labels, "")
		field("test", s.Test, "test examples; without it the plan's evaluation.holdout chooses them")
		field("test_labels", s.TestLabels, "")
		field("split", s.Split, "which row trains and which tests")
		field("center", s.Center, "this branch's name in the split file")
		field("query", s.Query, "")
		kind, where, _ := strings.Cut(s.DSN, ":")
		switch kind {
		case "env":
			field("dsn_env", where, "the environment variable that holds the connection string")
		case "file":
			field("dsn_file", where, "the file that holds the connection string")
		}
		if s.Memory != 0 {
			field("memory", fmt.Sprintf("%d", s.Memory), "bytes; what is larger is read again in every pass")
		}
	}
}
