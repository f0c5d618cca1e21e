package model

import (
	"encoding/json"
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"tacit/nn"
	"tacit/nn/internal/zoo"
)

// layerData is a Layer as the golden scripts read it: lower-case names, no zeros.
func layerData(layers []nn.Layer) []map[string]any {
	out := []map[string]any{}
	for _, l := range layers {
		m := map[string]any{}
		v := reflect.ValueOf(l)
		for i := range v.NumField() {
			if v.Field(i).IsZero() {
				continue
			}
			value := v.Field(i).Interface()
			if inner, ok := value.([]nn.Layer); ok {
				value = layerData(inner)
			}
			m[strings.ToLower(v.Type().Field(i).Name)] = value
		}
		out = append(out, m)
	}
	return out
}

// PyTorch loads a file of every kind of layer as it is, computes what nn computes, and
// what it saves comes back as the same parameters.
func TestTorchLoads(t *testing.T) {
	const python = "/usr/bin/python3"
	if err := exec.Command(python, "-c", "import torch").Run(); err != nil {
		if os.Getenv("TACIT_REQUIRE_TORCH") == "1" {
			t.Fatal("python3-torch is not installed: apt-get install python3-torch")
		}
		t.Skip("python3-torch is not installed: apt-get install python3-torch")
	}
	type example struct {
		File   string           `json:"file"`
		Shape  []int            `json:"shape"`
		Layers []map[string]any `json:"layers"`
		X      []float32        `json:"x"`
	}
	dir := t.TempDir()
	var cases []example
	nets := zoo.Nets()
	want := make([][]float32, len(nets))
	for i, n := range nets {
		p, err := n.Program()
		if err != nil {
			t.Fatal(n.Name, err)
		}
		m := &Model{Params: n.Params}
		z := append([]float32{}, n.X...)
		if len(n.Spec.Shape) == 0 { // a mean of each input
			for j := range n.Spec.Inputs {
				m.Mean, m.Std = append(m.Mean, float64(j)/4), append(m.Std, 0.5+float64(j)/8)
			}
			for j := range z {
				k := j % n.Spec.Inputs
				z[j] = float32((float64(z[j]) - m.Mean[k]) / (m.Std[k] + 1e-9))
			}
		}
		y, err := p.Forward(z)
		if err != nil {
			t.Fatal(n.Name, err)
		}
		want[i] = append(want[i], y...)
		b, err := Append(nil, p.Layout(), m)
		if err != nil {
			t.Fatal(n.Name, err)
		}
		c := example{File: fmt.Sprintf("%02d.safetensors", i), Shape: n.Spec.InputShape(), Layers: layerData(n.Spec.Layers), X: n.X}
		cases = append(cases, c)
		if err := os.WriteFile(filepath.Join(dir, c.File), b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	b, err := json.Marshal(cases)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "cases.json"), b, 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(python, "testdata/load.py", dir)
	cmd.Env = append(os.Environ(), "OMP_NUM_THREADS=1", "PYTHONDONTWRITEBYTECODE=1")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	for i, n := range nets {
		b, err := os.ReadFile(filepath.Join(dir, cases[i].File+".json"))
		if err != nil {
			t.Fatal(err)
		}
		var got []float64
		if err := json.Unmarshal(b, &got); err != nil || len(got) != len(want[i]) {
			t.Fatalf("%s: %d outputs of torch, %d of nn, %v", n.Name, len(got), len(want[i]), err)
		}
		for j, v := range got {
			// float32's rounding through some layers, against float64
			if d := math.Abs(v - float64(want[i][j])); !(d <= 4e-6*(1+math.Abs(v))) {
				t.Errorf("%s: output %d is %v, torch's %v", n.Name, j, want[i][j], v)
				break
			}
		}
		b, err = os.ReadFile(filepath.Join(dir, cases[i].File+".back"))
		if err != nil {
			t.Fatal(err)
		}
		layout, err := n.Spec.Layout()
		if err != nil {
			t.Fatal(err)
		}
		back, err := Parse(layout, b)
		if err != nil {
			t.Fatalf("%s: %v", n.Name, err)
		}
		if !reflect.DeepEqual(back.Params, n.Params) || back.Metadata["from"] != "torch" {
			t.Errorf("%s: torch's file is another model", n.Name)
		}
	}
}
