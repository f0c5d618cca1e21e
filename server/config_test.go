package server

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func readConfig(t testing.TB, dir string) *Config {
	t.Helper()
	path := filepath.Join(dir, "server.yaml")
	src, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	cfg, err := ParseConfig(src, path)
	if err != nil {
		t.Fatal(err)
	}
	return cfg
}

func TestConfigResolvesPaths(t *testing.T) {
	src := "listen: 127.0.0.1:8443\nurl: wss://a.example:8443/tacit/v1\ndata: data\n"
	c, err := ParseConfig([]byte(src), "/etc/tacit/server.yaml")
	if err != nil {
		t.Fatal(err)
	}
	if c.Data != "/etc/tacit/data" || c.KeyFile != "/etc/tacit/data/root.key" || c.TLS.Certificate != "" {
		t.Errorf("%+v", c)
	}
	src += "key_file: /run/keys/root.key\ntls:\n  certificate: a.crt\n  key: a.pem\n"
	if c, err = ParseConfig([]byte(src), "/etc/tacit/server.yaml"); err != nil {
		t.Fatal(err)
	}
	if c.KeyFile != "/run/keys/root.key" || c.TLS.Certificate != "/etc/tacit/a.crt" || c.TLS.Key != "/etc/tacit/a.pem" {
		t.Errorf("%+v", c)
	}
}

// The file that init writes is the file that run reads.
func TestConfigRoundTrip(t *testing.T) {
	c := &Config{Listen: "127.0.0.1:8443", URL: "wss://a.example/tacit/v1", Data: "da\"ta"}
	got, err := ParseConfig(c.yaml(), "/x/server.yaml")
	if err != nil {
		t.Fatal(err)
	}
	if got.Listen != c.Listen || got.URL != c.URL || got.Data != "/x/da\"ta" {
		t.Errorf("%+v", got)
	}
}

func TestConfigErrorsSayWhereAndWhat(t *testing.T) {
	good := "listen: 127.0.0.1:8443\nurl: wss://a.example/tacit/v1\ndata: data\n"
	for _, tt := range []struct{ name, src, want string }{
		{"unknown key", good + "datta: x\n", "server.yaml:4"},
		{"nearest key", good + "datta: x\n", "data"},
		{"wrong type", "listen: [1, 2]\nurl: wss://a.example/\ndata: d\n", "server.yaml:1"},
		{"no address", "url: wss://a.example/\ndata: d\n", "listen"},
		{"no port", "listen: localhost\nurl: wss://a.example/\ndata: d\n", `"localhost" is no host:port`},
		{"plain http", "listen: a:1\nurl: http://a.example/\ndata: d\n", "no wss:// address"},
		{"no directory", "listen: a:1\nurl: wss://a.example/\n", "data: no directory"},
		{"half a certificate", good + "tls:\n  certificate: a.crt\n", "go together"},
		{"not yaml", "listen: [", "server.yaml:1"},
		{"two documents", good + "---\n" + good, "server.yaml"},
		{"the same key twice", good + "data: e\n", "server.yaml:4"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c, err := ParseConfig([]byte(tt.src), "server.yaml")
			if err == nil || c != nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %+v, %v; want an error with %q", c, err, tt.want)
			}
		})
	}
	// Every problem at once.
	_, err := ParseConfig([]byte("listen: x\nurl: y\n"), "server.yaml")
	for _, want := range []string{"listen", "url", "data"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v does not name %s", err, want)
		}
	}
}
