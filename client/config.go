package client

import (
	"errors"
	"fmt"
	"net/url"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"tacit/dataset"
	"tacit/id"
	"tacit/internal/strictyaml"
)

// Format is the value of agent.yaml's first key.
const Format = "agent/v1"

// Config is what agent.yaml says.
type Config struct {
	Site   string                    // this branch's name; joining must name the same one
	Server ServerRef                 // zero: what joining left in the state directory
	State  string                    // directory of keys, journal and evidence
	Data   map[string]dataset.Source // this branch's own data sets, by name
	Policy Policy
}

// ServerRef is a server and all that pins it.
type ServerRef struct {
	URL     string         `json:"url"`     // wss://host:port/tacit/v1
	TLS     id.Digest      `json:"tls"`     // SHA-256 of the certificate's public key; zero: the system's authorities decide
	Channel id.Digest      `json:"channel"` // SHA-256 of the server's channel key
	Charter id.CharterHash `json:"charter"` // the federation's rules
}

// IsZero reports whether r names no server.
func (r ServerRef) IsZero() bool { return r == ServerRef{} }

// Validate reports what is missing for the server to be pinned.
func (r ServerRef) Validate() error {
	u, err := url.Parse(r.URL)
	switch {
	case err != nil || u.Scheme != "wss" || u.Host == "":
		return fmt.Errorf("server: url %q is no wss:// address", r.URL)
	case r.Channel.IsZero():
		return errors.New("server: channel is missing: without it the server is not pinned")
	case r.Charter.IsZero():
		return errors.New("server: charter is missing: without it the federation's rules are not pinned")
	}
	return nil
}

// Validate reports every problem of c that its text alone does not show.
func (c *Config) Validate() error {
	var errs []error
	if err := id.CheckName(c.Site); err != nil {
		errs = append(errs, fmt.Errorf("site: %w", err))
	}
	if c.State == "" {
		errs = append(errs, errors.New("state: no directory"))
	}
	if !c.Server.IsZero() {
		errs = append(errs, c.Server.Validate())
	}
	errs = append(errs, c.Policy.Validate())
	return errors.Join(errs...)
}

// file is agent.yaml as it is written.
type file struct {
	Tacit  string                `yaml:"tacit"`
	Site   string                `yaml:"site"`
	State  string                `yaml:"state"`
	Data   map[string]sourceFile `yaml:"data"`
	Server struct {
		URL     string `yaml:"url"`
		TLS     string `yaml:"tls"`
		Channel string `yaml:"channel"`
		Charter string `yaml:"charter"`
	} `yaml:"server"`
	Policy struct {
		Allow       []string `yaml:"allow"`
		MinBranches int      `yaml:"min_branches"`
		MaxRounds   int      `yaml:"max_rounds"`
		Hours       string   `yaml:"hours"`
	} `yaml:"policy"`
}

// ParseConfig reads agent.yaml strictly: an unknown key or a wrong type is an error
// with file, line, column and the nearest known key. Paths in it are relative to the
// file.
func ParseConfig(src []byte, filename string) (*Config, error) {
	var f file
	if err := strictyaml.Decode(src, filename, &f); err != nil {
		return nil, err
	}
	if f.Tacit != Format {
		return nil, fmt.Errorf("%s: tacit: %q is not a file for an agent of this version; its first key is tacit: %s", filename, f.Tacit, Format)
	}
	c := &Config{Site: f.Site, Policy: Policy(f.Policy)}
	c.State = resolve(filename, f.State)
	c.Server.URL = f.Server.URL
	var errs []error
	pin := func(key, text string, into interface{ UnmarshalText([]byte) error }) {
		if text == "" {
			return
		}
		if err := into.UnmarshalText([]byte(text)); err != nil {
			errs = append(errs, fmt.Errorf("server: %s: %w", key, err))
		}
	}
	pin("tls", f.Server.TLS, &c.Server.TLS)
	pin("channel", f.Server.Channel, &c.Server.Channel)
	pin("charter", f.Server.Charter, &c.Server.Charter)
	data, err := sources(f.Data, filename)
	c.Data = data
	errs = append(errs, err, c.Validate())
	if err := errors.Join(errs...); err != nil {
		lines := strings.Split(err.Error(), "\n")
		return nil, errors.New(filename + ": " + strings.Join(lines, "\n"+filename+": "))
	}
	return c, nil
}

// YAML returns c as a commented agent.yaml that [ParseConfig] reads back. Paths are
// written as they are.
func (c *Config) YAML() string {
	var b strings.Builder
	line := func(text, comment string) {
		if comment != "" {
			text = fmt.Sprintf("%-32s # %s", text, comment)
		}
		b.WriteString(text + "\n")
	}
	line("tacit: "+Format, "")
	line("site: "+quoteYAML(c.Site), "this branch's name in the federation")
	line("state: "+quoteYAML(c.State), "directory of this agent's keys, journal and evidence")
	sourcesYAML(line, c.Data)
	if !c.Server.IsZero() {
		line("server:", "pinned by the joining string")
		line("  url: "+quoteYAML(c.Server.URL), "")
		if !c.Server.TLS.IsZero() {
			line("  tls: "+quoteYAML(c.Server.TLS.String()), "")
		}
		line("  channel: "+quoteYAML(c.Server.Channel.String()), "")
		line("  charter: "+quoteYAML(c.Server.Charter.String()), "")
	}
	line("policy:", "this branch's own will; never sent")
	if len(c.Policy.Allow) == 0 {
		line("  allow: []", "hashes of plans, or model families such as logreg; empty refuses all")
	} else {
		line("  allow:", "hashes of plans, or model families such as logreg; all else is refused")
		for _, a := range c.Policy.Allow {
			line("    - "+quoteYAML(a), "")
		}
	}
	line(fmt.Sprintf("  min_branches: %d", c.Policy.MinBranches), "smallest epoch to take part in; 0: the charter decides")
	line(fmt.Sprintf("  max_rounds: %d", c.Policy.MaxRounds), "longest run; 0: no limit")
	line("  hours: "+quoteYAML(c.Policy.Hours), "when to train, local time, such as \"22:00-06:00\"; empty: always")
	return b.String()
}

// resolve makes a path of the file absolute to the file's directory.
func resolve(filename, path string) string {
	if path == "" || filepath.IsAbs(path) {
		return path
	}
	return filepath.Join(filepath.Dir(filename), path)
}

// quoteYAML writes s as a double-quoted scalar, or plain where that reads the same.
func quoteYAML(s string) string {
	plain := s != "" && s[0] != '-' && !slices.Contains([]string{"true", "false", "null", "yes", "no", "on", "off"}, strings.ToLower(s))
	for _, r := range s {
		plain = plain && (r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r == '/' || r == '.' || r == '_' || r == '-')
	}
	if plain {
		return s
	}
	return strconv.Quote(s)
}
