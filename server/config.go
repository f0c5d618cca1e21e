package server

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"path/filepath"
	"strings"

	"tacit/internal/strictyaml"
)

// Config is server.yaml.
type Config struct {
	// Listen is the address to listen on, host:port.
	Listen string `yaml:"listen"`
	// URL is what branches dial: wss://host:port/tacit/v1.
	URL string `yaml:"url"`
	// Data is the server's directory; relative paths are relative to the file.
	Data string `yaml:"data"`
	// TLS names a certificate and key of the operator's own; empty means the
	// self-signed one that `tacit init server` made and that joining strings pin.
	TLS struct {
		Certificate string `yaml:"certificate"`
		Key         string `yaml:"key"`
	} `yaml:"tls"`
	// KeyFile opens the vault; empty means root.key in the data directory.
	KeyFile string `yaml:"key_file"`
}

// ParseConfig reads server.yaml strictly: an unknown key, a wrong type or a missing
// value is an error with file, line and column.
func ParseConfig(src []byte, filename string) (*Config, error) {
	c := new(Config)
	if err := strictyaml.Decode(src, filename, c); err != nil {
		return nil, err
	}
	var problems []error
	problem := func(key, format string, args ...any) {
		problems = append(problems, fmt.Errorf("%s: %s: %s", filename, key, fmt.Sprintf(format, args...)))
	}
	if _, _, err := net.SplitHostPort(c.Listen); err != nil {
		problem("listen", "%q is no host:port", c.Listen)
	}
	if u, err := url.Parse(c.URL); err != nil || u.Scheme != "wss" || u.Host == "" {
		problem("url", "%q is no wss:// address", c.URL)
	}
	if c.Data == "" {
		problem("data", "no directory")
	}
	if (c.TLS.Certificate == "") != (c.TLS.Key == "") {
		problem("tls", "certificate and key go together")
	}
	if err := errors.Join(problems...); err != nil {
		return nil, err
	}
	base := filepath.Dir(filename)
	for _, p := range []*string{&c.Data, &c.TLS.Certificate, &c.TLS.Key, &c.KeyFile} {
		if *p != "" && !filepath.IsAbs(*p) {
			*p = filepath.Join(base, *p)
		}
	}
	if c.KeyFile == "" {
		c.KeyFile = filepath.Join(c.Data, "root.key")
	}
	return c, nil
}

// yaml writes the file that `tacit init server` leaves.
func (c *Config) yaml() []byte {
	var b strings.Builder
	fmt.Fprintf(&b, "# Tacit server. Start it with: tacit server run --config FILE\n")
	fmt.Fprintf(&b, "listen: %q   # host:port to listen on\n", c.Listen)
	fmt.Fprintf(&b, "url: %q   # what branches dial; joining strings carry it\n", c.URL)
	fmt.Fprintf(&b, "data: %q   # store, sealed models and keys\n", c.Data)
	fmt.Fprintf(&b, "# key_file: root.key   # opens everything sealed in data; keep a copy elsewhere\n")
	fmt.Fprintf(&b, "# tls:                 # a certificate of your own instead of the pinned one\n")
	fmt.Fprintf(&b, "#   certificate: server.crt\n#   key: server.pem\n")
	return []byte(b.String())
}
