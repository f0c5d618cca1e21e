package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"tacit/vault"
)

// binary is the program under test, built once.
var binary string

func TestMain(m *testing.M) {
	os.Exit(func() int {
		dir, err := os.MkdirTemp("", "tacit-test")
		if err != nil {
			panic(err)
		}
		defer os.RemoveAll(dir)
		binary = filepath.Join(dir, "tacit")
		if out, err := exec.Command("go", "build", "-o", binary, ".").CombinedOutput(); err != nil {
			fmt.Fprintf(os.Stderr, "build: %v\n%s", err, out)
			return 1
		}
		os.Setenv("PATH", dir+string(filepath.ListSeparator)+os.Getenv("PATH"))
		return m.Run()
	}())
}

// TestScripts runs the sessions in testdata/script: what a person types, and what
// the program answers.
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir: "testdata/script",
		Setup: func(env *testscript.Env) error {
			repo, err := filepath.Abs("../..")
			if err != nil {
				return err
			}
			env.Setenv("REPO", repo)
			// The control socket's path must stay short.
			for _, name := range []string{"PORT", "PORT2"} {
				addr, err := freeAddress()
				if err != nil {
					return err
				}
				_, port, _ := net.SplitHostPort(addr)
				env.Setenv(name, port)
			}
			owner, err := vault.GenerateOwner()
			if err != nil {
				return err
			}
			env.Setenv("RECIPIENT", owner.Recipient())
			return os.WriteFile(filepath.Join(env.WorkDir, "owner-key.txt"), owner.IdentityFile(), 0o600)
		},
		Cmds: map[string]func(ts *testscript.TestScript, neg bool, args []string){
			// sh runs a line as a shell does.
			"sh": func(ts *testscript.TestScript, neg bool, args []string) {
				if err := ts.Exec("sh", "-c", strings.Join(args, " ")); (err != nil) != neg {
					ts.Fatalf("sh: %v", err)
				}
			},
			// exits CODE COMMAND… wants that exit code.
			"exits": func(ts *testscript.TestScript, _ bool, args []string) {
				want, err := strconv.Atoi(args[0])
				ts.Check(err)
				got := 0
				var exit *exec.ExitError
				if err := ts.Exec("sh", "-c", strings.Join(args[1:], " ")); errors.As(err, &exit) {
					got = exit.ExitCode()
				} else {
					ts.Check(err)
				}
				if got != want {
					ts.Fatalf("exit code %d, want %d", got, want)
				}
			},
			// capture NAME REGEXP sets a variable from the last output.
			"capture": func(ts *testscript.TestScript, _ bool, args []string) {
				m := regexp.MustCompile(args[1]).FindStringSubmatch(ts.ReadFile("stdout"))
				if m == nil {
					ts.Fatalf("no match for %s", args[1])
				}
				ts.Setenv(args[0], m[1])
			},
			// samemodels FILE wants the models of the demo that the other tests share.
			"samemodels": func(ts *testscript.TestScript, _ bool, args []string) {
				var r demoResult
				ts.Check(json.Unmarshal([]byte(ts.ReadFile(args[0])), &r))
				d, err := demonstrated()
				ts.Check(err)
				if len(r.Models) != 2 || !maps.Equal(r.Models, d.result.Models) {
					ts.Fatalf("one seed gave the models %v and %v", d.result.Models, r.Models)
				}
			},
			// eventually COMMAND… repeats a line until it succeeds.
			"eventually": func(ts *testscript.TestScript, _ bool, args []string) {
				var err error
				for range 200 {
					if err = ts.Exec("sh", "-c", strings.Join(args, " ")+" || { sleep 0.05; exit 1; }"); err == nil {
						return
					}
				}
				ts.Fatalf("never: %v", err)
			},
		},
	})
}

// TestDocsAreScripts holds the commands of README and QUICKSTART to the scripts
// that run them.
func TestDocsAreScripts(t *testing.T) {
	block := regexp.MustCompile("(?s)```sh\n(.*?)```")
	spaces := regexp.MustCompile(`\s+`)
	for doc, script := range map[string]string{"../../README.md": "readme.txtar", "../../docs/QUICKSTART.md": "quickstart.txtar"} {
		text, err := os.ReadFile(doc)
		if err != nil {
			t.Fatal(err)
		}
		ran, err := os.ReadFile(filepath.Join("testdata/script", script))
		if err != nil {
			t.Fatal(err)
		}
		have := map[string]bool{}
		normal := strings.NewReplacer("$PORT", "8443", "$REPO/", "", "$RECIPIENT", "RECIPIENT", "$FINGERPRINT", "FINGERPRINT", "$LOGKEY", "LOGKEY", "'", "")
		for line := range strings.Lines(string(ran)) {
			line = strings.TrimSpace(normal.Replace(line))
			for _, prefix := range []string{"sh ", "exec ", "eventually "} {
				line = strings.TrimPrefix(line, prefix)
			}
			if i := strings.Index(line, " &"); i > 0 {
				line = line[:i]
			}
			have[line] = true
		}
		commands := 0
		for _, m := range block.FindAllStringSubmatch(string(text), -1) {
			for line := range strings.Lines(m[1]) {
				line, _, _ = strings.Cut(line, "  #")
				line = spaces.ReplaceAllString(strings.TrimSpace(line), " ")
				line = strings.Replace(line, "go run ./cmd/tacit", "tacit", 1)
				if line == "" || line == "go test ./..." || strings.HasPrefix(line, "go build ") || strings.HasPrefix(line, "export ") || strings.HasPrefix(line, "#") {
					continue
				}
				commands++
				if !have[line] {
					t.Errorf("%s: no line of %s runs %q", doc, script, line)
				}
			}
		}
		if commands == 0 {
			t.Errorf("%s: no commands found", doc)
		}
	}
}
