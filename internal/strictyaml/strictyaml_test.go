package strictyaml

import (
	"strings"
	"testing"
)

type sample struct {
	Listen string `yaml:"listen"`
	Port   int    `yaml:"port"`
	TLS    struct {
		Key string `yaml:"key"`
	} `yaml:"tls"`
	List []string `yaml:"list"`
	Sets map[string]struct {
		Path string `yaml:"path"`
	} `yaml:"sets"`
}

func TestDecode(t *testing.T) {
	var s sample
	if err := Decode([]byte("listen: a:1\nport: 3\ntls:\n  key: k\nlist: [x, y]\n"), "f.yaml", &s); err != nil {
		t.Fatal(err)
	}
	if s.Listen != "a:1" || s.Port != 3 || s.TLS.Key != "k" || len(s.List) != 2 {
		t.Errorf("got %+v", s)
	}
	if err := Decode(nil, "empty.yaml", &s); err != nil {
		t.Errorf("an empty file: %v", err)
	}
	reject := map[string]struct{ src, want string }{
		"unknown key":      {"lisen: a\n", "f.yaml:1:1: unknown key \"lisen\"; did you mean \"listen\"?\n    lisen: a\n    ^"},
		"nested unknown":   {"tls:\n  kye: a\n", "f.yaml:2:3: unknown key \"tls.kye\"; did you mean \"tls.key\"?"},
		"two unknown keys": {"lisen: a\nprot: 1\n", "f.yaml:2:1: unknown key \"prot\"; did you mean \"port\"?"},
		"unknown in a map": {"sets:\n  one: {path: a}\n  two: {paht: b}\n", "f.yaml:3:9: unknown key \"sets.two.paht\"; did you mean \"sets.two.path\"?"},
		"nothing near":     {"zzzzzzzzz: a\n", "f.yaml:1:1: unknown key \"zzzzzzzzz\"\n"},
		"wrong type":       {"port: many\n", "f.yaml:1:7: "},
		"duplicate":        {"port: 1\nport: 2\n", "f.yaml:2:1: "},
		"not YAML":         {"a: [1\n", "f.yaml:1:"},
		"two documents":    {"port: 1\n---\nport: 2\n", "more than one document"},
		"too large":        {strings.Repeat("#", MaxBytes+1), "more than"},
	}
	for name, c := range reject {
		var s sample
		err := Decode([]byte(c.src), "f.yaml", &s)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want %q", name, err, c.want)
		}
	}
}

func FuzzDecode(f *testing.F) {
	f.Add([]byte("listen: a:1\nport: 3\ntls:\n  key: k\nlist: [x, y]\n"))
	f.Add([]byte("tls: &a {key: *a}\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		var s sample
		_ = Decode(b, "f", &s)
	})
}
