package onnx

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"tacit/nn"
	"tacit/nn/internal/zoo"
)

// written is a network of the zoo as a file, with what it should give.
type written struct {
	zoo.Net
	file    []byte
	options Options
	want    []float32 // Predict's, after the standardisation
	out     []int     // the last layer's shape
}

func writeAll(t *testing.T) []written {
	t.Helper()
	var all []written
	for i, n := range zoo.Nets() {
		w := written{Net: n, options: Options{Metadata: map[string]string{"plan": "p", "alone": n.Name}}}
		z := append([]float32{}, n.X...)
		if n.Spec.Layers[0].Kind != nn.Embedding && i%3 != 0 {
			places := n.Spec.Inputs
			if shape := n.Spec.InputShape(); i%3 == 1 {
				places = shape[len(shape)-1]
			}
			for j := range places {
				w.options.Mean = append(w.options.Mean, float64(j%5)/4)
				w.options.Std = append(w.options.Std, 0.5+float64(j%7)/8)
			}
			for j := range z {
				k := j % places
				z[j] = float32((float64(z[j]) - w.options.Mean[k]) / (w.options.Std[k] + 1e-9))
			}
		}
		p, err := n.Program()
		if err != nil {
			t.Fatal(n.Name, err)
		}
		w.want = make([]float32, zoo.Examples*n.Spec.Outputs())
		if err := p.Predict(w.want, z); err != nil {
			t.Fatal(n.Name, err)
		}
		layers, err := n.Spec.Describe()
		if err != nil {
			t.Fatal(err)
		}
		for _, l := range layers {
			if l.Nesting == 0 {
				w.out = l.Out
			}
		}
		if w.file, err = Append(nil, n.Spec, n.Params, w.options); err != nil {
			t.Fatal(n.Name, err)
		}
		all = append(all, w)
	}
	return all
}

func TestSameBytes(t *testing.T) {
	for i, w := range writeAll(t) {
		again, err := Append([]byte("before"), w.Spec, w.Params, w.options)
		if err != nil || !bytes.Equal(again, append([]byte("before"), w.file...)) {
			t.Errorf("%d %s: twice is not the same (%v)", i, w.Name, err)
		}
	}
}

// missing skips, or fails where the reader must be there.
func missing(t *testing.T, what string) {
	t.Helper()
	if os.Getenv("TACIT_REQUIRE_ONNX") == "1" {
		t.Fatal(what)
	}
	t.Skip(what)
}

// The ONNX project's checker takes every file, with shape inference, finds the shapes
// that nn has, and writes the same message in the same bytes.
func TestChecker(t *testing.T) {
	const python = "/usr/bin/python3"
	if err := exec.Command(python, "-c", "import onnx").Run(); err != nil {
		missing(t, "python3-onnx is not installed: apt-get install python3-onnx")
	}
	dir := t.TempDir()
	all := writeAll(t)
	for i, w := range all {
		if err := os.WriteFile(filepath.Join(dir, fmt.Sprintf("%02d.onnx", i)), w.file, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.Command(python, "testdata/check.py", dir)
	cmd.Env = append(os.Environ(), "PYTHONDONTWRITEBYTECODE=1")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	for i, w := range all {
		b, err := os.ReadFile(filepath.Join(dir, fmt.Sprintf("%02d.onnx.json", i)))
		if err != nil {
			t.Fatal(err)
		}
		first := "" // nodes of a standardisation
		if w.options.Mean != nil {
			first = "Sub Div"
		}
		var got struct {
			IR     int
			Opset  [][]any
			Meta   map[string]string
			Inputs []string
			First  []string
			Output []any
			Again  bool
		}
		if err := json.Unmarshal(b, &got); err != nil {
			t.Fatal(err)
		}
		if got.IR != IRVersion || fmt.Sprint(got.Opset) != fmt.Sprintf("[[ %d]]", OpsetVersion) || fmt.Sprint(got.Meta) != fmt.Sprint(w.options.Metadata) || fmt.Sprint(got.Inputs) != "["+InputName+"]" {
			t.Errorf("%s: %+v", w.Name, got)
		}
		if f := strings.Join(got.First, " "); (first != "") != (f == "Sub Div") {
			t.Errorf("%s: begins with %s", w.Name, f)
		}
		if want := strings.Replace(fmt.Sprint(append([]int{-1}, w.out...)), "-1", "batch", 1); fmt.Sprint(got.Output) != want {
			t.Errorf("%s: output %v, want %s", w.Name, got.Output, want)
		}
		if !got.Again {
			t.Errorf("%s: the fields are not in the order that protocol buffers write", w.Name)
		}
	}
}

// ONNX Runtime computes what nn does, with its optimisations and without, for batches
// of any size.
func TestRuntime(t *testing.T) {
	node, err := exec.LookPath("node")
	if err != nil {
		missing(t, "node is not installed: apt-get install nodejs npm")
	}
	if _, err := os.Stat("testdata/ort/node_modules/onnxruntime-web"); err != nil {
		missing(t, "ONNX Runtime is not installed: (cd nn/onnx/testdata/ort && npm ci --ignore-scripts)")
	}
	type example struct {
		File     string      `json:"file"`
		Out      string      `json:"out"`
		Optimize bool        `json:"optimize"`
		Inputs   int         `json:"inputs"`
		Shape    []int       `json:"shape"`
		Batches  [][]float32 `json:"batches"`
	}
	dir := t.TempDir()
	all := writeAll(t)
	var cases []example
	for i, w := range all {
		file := fmt.Sprintf("%02d.onnx", i)
		if err := os.WriteFile(filepath.Join(dir, file), w.file, 0o600); err != nil {
			t.Fatal(err)
		}
		for _, optimize := range []bool{false, true} {
			cases = append(cases, example{file, fmt.Sprintf("%02d.%v.json", i, optimize), optimize, w.Spec.Inputs, w.Spec.InputShape(), [][]float32{w.X, w.X[:w.Spec.Inputs]}})
		}
	}
	b, err := json.Marshal(cases)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "cases.json"), b, 0o600); err != nil {
		t.Fatal(err)
	}
	script, err := filepath.Abs("testdata/ort/run.mjs")
	if err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command(node, script, dir).CombinedOutput(); err != nil {
		t.Fatalf("%v\n…%s", err, out[max(0, len(out)-1500):])
	}
	worst := 0.0
	for k, c := range cases {
		w := all[k/2]
		b, err := os.ReadFile(filepath.Join(dir, c.Out))
		if err != nil {
			t.Fatal(err)
		}
		var got []struct {
			Dims []int
			Data []float64
		}
		if err := json.Unmarshal(b, &got); err != nil || len(got) != 2 {
			t.Fatalf("%s: %d outputs, %v", w.Name, len(got), err)
		}
		for i, n := range []int{zoo.Examples, 1} {
			want := w.want[:n*len(w.want)/zoo.Examples]
			if fmt.Sprint(got[i].Dims) != fmt.Sprint(append([]int{n}, w.out...)) || len(got[i].Data) != len(want) {
				t.Errorf("%s: output of shape %v, want %d of %v", w.Name, got[i].Dims, n, w.out)
				continue
			}
			for j, v := range got[i].Data {
				d := math.Abs(v-float64(want[j])) / (1 + math.Abs(v))
				worst = max(worst, d)
				if !(d <= 1e-5) {
					t.Errorf("%s, optimized %v: output %d is %v, nn's %v", w.Name, c.Optimize, j, v, want[j])
					break
				}
			}
		}
	}
	t.Logf("worst: %.2g", worst)
}

func TestRefuses(t *testing.T) {
	s := nn.MLP(4, []int{3}, 2)
	params := make([]float32, s.NumParams())
	tokens := nn.Spec{Inputs: 3, Shape: []int{3}, Layers: []nn.Layer{{Kind: nn.Embedding, Vocab: 5, Units: 2}, {Kind: nn.Dense, Units: 2}}, Loss: nn.CrossEntropy}
	for _, c := range []struct {
		spec   nn.Spec
		params []float32
		o      Options
		want   string
	}{
		{nn.Spec{}, nil, Options{}, "inputs is 0"},
		{s, params[1:], Options{}, "22 parameters, the network has 23"},
		{s, params, Options{Mean: []float64{1, 2, 3, 4}}, "4 means and 0 deviations"},
		{s, params, Options{Mean: []float64{1}, Std: []float64{1}}, "standardisation of 1 inputs, the network has 4"},
		{s, params, Options{Mean: []float64{1, 2, math.NaN(), 4}, Std: []float64{1, 1, 1, 1}}, "input 2 is NaN ± 1"},
		{s, params, Options{Mean: []float64{1, 2, 3, 1e300}, Std: []float64{1, 1, 1, 1}}, "input 3 is 1e+300 ± 1"},
		{s, params, Options{Mean: []float64{1, 2, 3, 4}, Std: []float64{1, -1, 1, 1}}, "input 1 is 2 ± -1"},
		{tokens, make([]float32, tokens.NumParams()), Options{Mean: []float64{1, 2, 3}, Std: []float64{1, 1, 1}}, "token ids are not standardised"},
	} {
		if b, err := Append(nil, c.spec, c.params, c.o); err == nil || b != nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%v, want %q", err, c.want)
		}
	}
}

// Every kind has a writer: a new one cannot be forgotten.
func TestEveryKind(t *testing.T) {
	for _, k := range nn.LayerKinds() {
		if writers[k] == nil {
			t.Errorf("%s has no form in ONNX", k)
		}
	}
}
