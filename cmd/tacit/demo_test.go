package main

import (
	"archive/zip"
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"

	"filippo.io/age"

	"tacit/audit"
	"tacit/nn/safetensors"
	"tacit/server"
	heartdisease "tacit/testdata/heart-disease"
)

// demonstrated is one run of `tacit demo --output json --keep` and what it printed,
// shared by the tests below.
var demonstrated = sync.OnceValues(func() (*demonstration, error) {
	dir, err := os.MkdirTemp(filepath.Dir(binary), "demo")
	if err != nil {
		return nil, err
	}
	d := &demonstration{dir: filepath.Join(dir, "out")}
	cmd := exec.Command(binary, "demo", "--out", d.dir, "--output", "json", "--keep")
	cmd.Dir = dir
	var out, progress bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &progress
	if err := cmd.Run(); err != nil {
		return nil, errors.Join(err, errors.New(progress.String()))
	}
	d.stdout, d.progress = out.Bytes(), progress.String()
	if d.file, err = os.ReadFile(filepath.Join(d.dir, "result.json")); err != nil {
		return nil, err
	}
	return d, json.Unmarshal(d.file, &d.result)
})

type demonstration struct {
	dir      string
	stdout   []byte
	progress string
	file     []byte
	result   demoResult
}

func demonstrate(t *testing.T) *demonstration {
	t.Helper()
	d, err := demonstrated()
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func TestDemoResult(t *testing.T) {
	d := demonstrate(t)
	var e struct {
		Schema string
		OK     bool
		Data   json.RawMessage
	}
	if err := json.Unmarshal(d.stdout, &e); err != nil {
		t.Fatalf("standard output is no envelope: %v", err)
	}
	var inEnvelope, inFile any
	if json.Unmarshal(e.Data, &inEnvelope) != nil || json.Unmarshal(d.file, &inFile) != nil {
		t.Fatal("result.json or the envelope's data does not parse")
	}
	a, _ := json.Marshal(inEnvelope)
	b, _ := json.Marshal(inFile)
	if !e.OK || e.Schema != envelopeSchema || !bytes.Equal(a, b) {
		t.Error("the envelope does not hold result.json")
	}
	r := d.result
	if r.Rounds != 34 || r.Branches != 4 || r.DroppedRecovered != 1 || r.ServerRestarts != 1 || r.AgentRestarts["hungarian"] != 1 || r.AgentRestarts["va"] != 1 {
		t.Errorf("rounds %d, branches %d, recovered %d, server restarts %d, agent restarts %v", r.Rounds, r.Branches, r.DroppedRecovered, r.ServerRestarts, r.AgentRestarts)
	}
	best, sum := 0.0, 0.0
	for _, site := range heartdisease.Sites() {
		alone, ok := r.Accuracy.Alone[site.Name]
		if !ok || alone <= 0 || alone > 1 {
			t.Errorf("accuracy of %s alone: %v", site.Name, alone)
		}
		best, sum = max(best, alone), sum+alone
		out := r.BytesOut[site.Name]
		if len(out) != 5 || out["rows"] != 0 || out["plaintext_updates"] != 0 || out["masked_updates"] == 0 || out["keys_and_shares"] == 0 || out["control"] == 0 {
			t.Errorf("bytes out of %s: %v", site.Name, out)
		}
	}
	if f := r.Accuracy.Federated; f < 0.77 || f < best-0.02 || f <= sum/4 {
		t.Errorf("federated accuracy %.3f, best hospital alone %.3f, mean %.3f", f, best, sum/4)
	}
	if r.Accuracy.Pooled < 0.77 || r.Accuracy.FederatedMLP < 0.75 {
		t.Errorf("pooled %.3f, federated_mlp %.3f", r.Accuracy.Pooled, r.Accuracy.FederatedMLP)
	}
	if r.Seconds <= 0 || r.Seconds > 30 {
		t.Errorf("%.1f s", r.Seconds)
	}
	// readme.txtar holds a second demo to the same hashes.
	if len(r.Models) != 2 || len(r.Models["heart-logreg"]) != 64 || len(r.Models["heart-mlp"]) != 64 {
		t.Errorf("models %v", r.Models)
	}
	for _, f := range []string{r.Files.Model, r.Files.ModelMLP, r.Files.Report, r.Files.Evidence, r.Files.Metrics} {
		if st, err := os.Stat(f); err != nil || st.Size() == 0 {
			t.Errorf("%s: %v", f, err)
		}
	}
	if st, err := os.Stat(r.Files.OwnerKey); err != nil || st.Mode().Perm() != 0o600 {
		t.Errorf("owner-key.txt: %v, %v", st.Mode(), err)
	}
	for _, want := range []string{"hungarian  killed in round 3, before its report", "va         killed in round 6, after its report", "server     killed in round 9",
		"round  6  train       4 of 4", "output privacy: none", "a small cohort"} {
		if !strings.Contains(d.progress, want) {
			t.Errorf("the console does not say %q", want)
		}
	}
	lines := 0
	metrics, err := os.ReadFile(r.Files.Metrics)
	if err != nil {
		t.Fatal(err)
	}
	for line := range bytes.Lines(metrics) {
		var m metricsLine
		if err := json.Unmarshal(line, &m); err != nil {
			t.Fatal(err)
		}
		lines++
	}
	if lines != r.Rounds {
		t.Errorf("metrics.jsonl has %d lines", lines)
	}
}

// TestDemoInterrupted stops a demo in the middle: its processes end, and so does
// the directory.
func TestDemoInterrupted(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("no interrupt for a child process")
	}
	dir := filepath.Join(t.TempDir(), "out")
	cmd := exec.Command(binary, "demo", "--out", dir, "--output", "jsonl")
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	var complaints bytes.Buffer
	cmd.Stderr = &complaints
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		var ev server.Event
		if err := json.Unmarshal(lines.Bytes(), &ev); err != nil {
			t.Fatal(err)
		}
		if ev.Kind == "committed" && ev.Round == 2 {
			break
		}
	}
	if err := cmd.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(io.Discard, out); err != nil {
		t.Fatal(err)
	}
	var exit *exec.ExitError
	if err := cmd.Wait(); !errors.As(err, &exit) || exit.ExitCode() != exitInterrupted {
		t.Errorf("%v: %s", err, complaints.String())
	}
	if _, err := os.Stat(dir); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the directory is still there: %v", err)
	}
	if !strings.Contains(complaints.String(), "tacit: error: interrupted") {
		t.Errorf("standard error: %s", complaints.String())
	}
}

// TestDemoBranchesAreApart holds each branch's directory to its own hospital's rows.
func TestDemoBranchesAreApart(t *testing.T) {
	d := demonstrate(t)
	for _, site := range heartdisease.Sites() {
		names, err := os.ReadDir(filepath.Join(d.dir, "branches", site.Name, "data"))
		if err != nil || len(names) != 2 {
			t.Fatalf("%s: %v, %v", site.Name, names, err)
		}
		split, err := os.ReadFile(filepath.Join(d.dir, "branches", site.Name, "data", "split.csv"))
		if err != nil {
			t.Fatal(err)
		}
		for i, line := range strings.Split(strings.TrimSpace(string(split)), "\n") {
			if i > 0 && !strings.HasPrefix(line, site.Name+",") {
				t.Fatalf("%s: split line %q", site.Name, line)
			}
		}
	}
}

// TestDemoModelsOpenWithAge opens the exports as their owner does: with age and the
// identity file, without a line of this project's code.
func TestDemoModelsOpenWithAge(t *testing.T) {
	d := demonstrate(t)
	key, err := os.Open(d.result.Files.OwnerKey)
	if err != nil {
		t.Fatal(err)
	}
	defer key.Close()
	identities, err := age.ParseIdentities(key)
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range []string{d.result.Files.Model, d.result.Files.ModelMLP} {
		f, err := os.Open(file)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		r, err := age.Decrypt(f, identities...)
		if err != nil {
			t.Fatal(err)
		}
		payload, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		tensors, meta, err := safetensors.Parse(payload)
		if err != nil || len(tensors) < 4 || meta["format"] != "tacit" {
			t.Errorf("%s: %d tensors, %v, %v", file, len(tensors), meta, err)
		}
	}
}

// TestDemoEvidence verifies the archive with the printed command, and refutes it
// with any byte changed: the first and last of every file and a sample of the rest.
func TestDemoEvidence(t *testing.T) {
	d := demonstrate(t)
	words := strings.Fields(d.result.Verify)
	if len(words) != 6 || words[5] != d.result.LogKey {
		t.Fatalf("verify: %q", d.result.Verify)
	}
	cmd := exec.Command(binary, words[1:]...)
	cmd.Dir = filepath.Dir(d.dir) // where the demo ran
	if out, err := cmd.CombinedOutput(); err != nil || !bytes.Contains(out, []byte("pinned")) {
		t.Fatalf("%v: %s", err, out)
	}
	archive, err := os.ReadFile(d.result.Files.Evidence)
	if err != nil {
		t.Fatal(err)
	}
	z, err := zip.NewReader(bytes.NewReader(archive), int64(len(archive)))
	if err != nil {
		t.Fatal(err)
	}
	positions := map[int]string{0: "first byte", len(archive) - 1: "last byte"}
	for _, f := range z.File {
		at, err := f.DataOffset()
		if err != nil {
			t.Fatal(err)
		}
		positions[int(at)] = f.Name + ", first byte"
		positions[int(at)+int(f.UncompressedSize64)-1] = f.Name + ", last byte"
	}
	random := rand.New(rand.NewPCG(1, 2))
	for range 120 {
		positions[random.IntN(len(archive))] = "somewhere"
	}
	opt := server.VerifyOptions(d.result.LogKey)
	for at, what := range positions {
		damaged := bytes.Clone(archive)
		damaged[at] ^= 1 << random.IntN(8)
		_, err := audit.Verify(damaged, opt)
		var refuted *audit.Refuted
		if !errors.As(err, &refuted) {
			t.Errorf("byte %d (%s) changed: %v", at, what, err)
		} else if refuted.File == "" && refuted.Entry < 0 {
			t.Errorf("byte %d (%s) changed: neither entry nor file is named: %v", at, what, err)
		}
	}
	damaged := bytes.Clone(archive)
	damaged[len(archive)/2] ^= 1
	path := filepath.Join(t.TempDir(), "evidence.zip")
	if err := os.WriteFile(path, damaged, 0o600); err != nil {
		t.Fatal(err)
	}
	var exit *exec.ExitError
	if err := exec.Command(binary, "audit", "verify", path, "--log-key", d.result.LogKey).Run(); !errors.As(err, &exit) || exit.ExitCode() != exitRefuted {
		t.Errorf("damaged archive: %v", err)
	}
}

// TestDemoLeavesNothingOpen scans every file of the demo but the branches' own
// sources for rows and for the models that its owner can open.
func TestDemoLeavesNothingOpen(t *testing.T) {
	d := demonstrate(t)
	c := newCanaries()
	c.addRows()
	key, err := os.ReadFile(d.result.Files.OwnerKey)
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range []string{d.result.Files.Model, d.result.Files.ModelMLP} {
		c.addModel(t, file, key)
	}
	c.scan(t, d.dir, 100)
}

// canaries are byte strings that must not be found, by their first bytes.
type canaries struct {
	by map[[canaryBytes]byte]string
}

const canaryBytes = 16

func newCanaries() *canaries { return &canaries{by: map[[canaryBytes]byte]string{}} }

// add watches for any window of secret that starts at a multiple of its length.
func (c *canaries) add(name string, secret []byte) {
	for ; len(secret) >= canaryBytes; secret = secret[canaryBytes:] {
		if w := [canaryBytes]byte(secret); bytes.Count(secret[:canaryBytes], secret[:1]) < canaryBytes {
			c.by[w] = name
		}
	}
}

// addRows watches for the beginnings of the hospitals' rows.
func (c *canaries) addRows() {
	for _, site := range heartdisease.Sites() {
		for line := range bytes.Lines(heartdisease.Rows(site.Name)) {
			if len(line) > canaryBytes {
				c.by[[canaryBytes]byte(line)] = "a row of " + site.Name
			}
		}
	}
}

// scan reads every file below dir but the branches' sources.
func (c *canaries) scan(t *testing.T, dir string, atLeast int) {
	t.Helper()
	files := 0
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if e.IsDir() {
			if e.Name() == "data" && strings.Contains(path, "branches") {
				return fs.SkipDir // the branch's own rows
			}
			return nil
		}
		if !e.Type().IsRegular() {
			return nil
		}
		b, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		files++
		for i := 0; i+canaryBytes <= len(b); i++ {
			if name, found := c.by[[canaryBytes]byte(b[i:])]; found {
				t.Errorf("%s holds %s at byte %d", path, name, i)
				break
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if files < atLeast || len(c.by) < 10 {
		t.Errorf("scanned %d files for %d canaries", files, len(c.by))
	}
}
