package model

import (
	"bytes"
	"fmt"
	"math"
	"reflect"
	"strings"
	"testing"

	"tacit/nn"
	"tacit/nn/internal/zoo"
	"tacit/nn/safetensors"
)

func layout(t testing.TB, s nn.Spec) nn.Layout {
	t.Helper()
	l, err := s.Layout()
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func TestRoundTrip(t *testing.T) {
	for _, n := range zoo.Nets() {
		l := layout(t, n.Spec)
		for _, m := range []*Model{
			{Params: n.Params, Metadata: map[string]string{}},
			{Params: n.Params, Mean: []float64{0.5, -2}, Std: []float64{0, 3}, Metadata: map[string]string{"format": "tacit", "model": "m"}},
		} {
			b, err := Append([]byte("before"), l, m)
			if err != nil {
				t.Fatal(n.Name, err)
			}
			again, err := Append(nil, l, m)
			if err != nil || !bytes.Equal(append([]byte("before"), again...), b) {
				t.Errorf("%s: twice is not the same (%v)", n.Name, err)
			}
			back, err := Parse(l, again)
			if err != nil || !reflect.DeepEqual(back, m) {
				t.Errorf("%s: another model came back, %v", n.Name, err)
			}
		}
	}
}

// The order of values, in full: a 2×3 map, and a dense layer behind an image.
func TestTorchOrder(t *testing.T) {
	s := nn.Spec{Inputs: 4, Shape: []int{1, 2, 2}, Layers: []nn.Layer{{Kind: nn.Flatten}, {Kind: nn.Dense, Units: 1}, {Kind: nn.Dense, Units: 2}}, Loss: nn.MSE}
	flat := []float32{1, 2, 3, 4, 5, 6, 7, 8, 9}
	tensors, err := Tensors(layout(t, s), flat)
	if err != nil {
		t.Fatal(err)
	}
	want := []safetensors.Tensor{
		{Name: "1.weight", Shape: []int{1, 4}, Data: []float32{1, 3, 2, 4}}, // [w][c] to [c][w]
		{Name: "1.bias", Shape: []int{1}, Data: []float32{5}},
		{Name: "2.weight", Shape: []int{2, 1}, Data: []float32{6, 7}},
		{Name: "2.bias", Shape: []int{2}, Data: []float32{8, 9}},
	}
	if !reflect.DeepEqual(tensors, want) {
		t.Errorf("got %v", tensors)
	}
}

func TestRefuses(t *testing.T) {
	s := nn.MLP(3, []int{4}, 2)
	l := layout(t, s)
	flat := make([]float32, l.Len())
	good, err := Tensors(l, flat)
	if err != nil {
		t.Fatal(err)
	}
	torch := map[string]string{LayoutKey: LayoutTorch}
	tensor := func(name string, shape []int, fill float32) safetensors.Tensor {
		n := 1
		for _, d := range shape {
			n *= d
		}
		x := safetensors.Tensor{Name: name, Shape: shape, Data: make([]float32, n)}
		for i := range x.Data {
			x.Data[i] = fill
		}
		return x
	}
	with := func(more ...safetensors.Tensor) []safetensors.Tensor {
		return append(append([]safetensors.Tensor{}, good...), more...)
	}
	swapped := with()
	swapped[0] = tensor("0.weight", []int{3, 4}, 0)
	ints := with()
	ints[1] = safetensors.Tensor{Name: "0.bias", Shape: []int{4}, Ints: make([]int64, 4)}
	var many []safetensors.Tensor
	for i := range 100 {
		many = append(many, tensor(fmt.Sprintf("x%d", i), []int{0}, 0))
	}
	nan := float32(math.NaN())
	for _, c := range []struct {
		name    string
		tensors []safetensors.Tensor
		meta    map[string]string
		want    []string
	}{
		{"no metadata", good, nil, []string{`does not say "layout": "torch"`, "export the model again"}},
		{"our order", good, map[string]string{LayoutKey: "weights are [in][out]"}, []string{`but "weights are [in][out]"`}},
		{"missing", good[1:], torch, []string{"no tensor 0.weight, of shape [4,3]"}},
		{"renamed", append(good[1:len(good):len(good)], tensor("fc.weight", []int{4, 3}, 0)), torch, []string{"no tensor 0.weight, of shape [4,3]", `tensor "fc.weight" of the file, of shape [4,3], is none`}},
		{"shape", swapped, torch, []string{"tensor 0.weight has shape [3,4] in the file, [4,3] in this network (it stands [in][out]"}},
		{"type", ints, torch, []string{"tensor 0.bias is of int64"}},
		{"counter without a batch norm", with(safetensors.Tensor{Name: "1.num_batches_tracked", Shape: []int{}, Ints: []int64{1}}), torch, []string{`"1.num_batches_tracked"`}},
		{"many", many, torch, []string{"and 84 more"}},
		{"mean alone", with(tensor(MeanName, []int{3}, 0)), torch, []string{"3 means and 0 deviations"}},
		{"deviation below zero", with(tensor(MeanName, []int{1}, 0), tensor(StdName, []int{1}, -1)), torch, []string{"input 0 is 0 ± -1"}},
		{"mean is no number", with(tensor(MeanName, []int{1}, nan), tensor(StdName, []int{1}, 1)), torch, []string{"input 0 is NaN ± 1"}},
	} {
		b, err := safetensors.Append(nil, c.tensors, c.meta)
		if err != nil {
			t.Fatal(err)
		}
		m, err := Parse(l, b)
		if err == nil || m != nil {
			t.Errorf("%s: accepted", c.name)
			continue
		}
		for _, w := range c.want {
			if !strings.Contains(err.Error(), w) {
				t.Errorf("%s: %v, want %q", c.name, err, w)
			}
		}
	}
	for _, m := range []*Model{{Params: flat[1:]}, {Params: flat, Mean: []float64{1}}} {
		if _, err := Append(nil, l, m); err == nil {
			t.Errorf("%d parameters, %d means, no deviation: written", len(m.Params), len(m.Mean))
		}
	}
	if _, err := Parse(l, []byte("not a file")); err == nil {
		t.Error("not a file: accepted")
	}
}

func FuzzParse(f *testing.F) {
	l := layout(f, nn.MLP(2, []int{2}, 2))
	b, err := Append(nil, l, &Model{Params: make([]float32, l.Len()), Mean: []float64{1, 2}, Std: []float64{1, 2}})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := Parse(l, b)
		if err != nil {
			return
		}
		again, err := Append(nil, l, m)
		if err != nil {
			t.Fatal(err)
		}
		if back, err := Parse(l, again); err != nil || len(back.Params) != len(m.Params) || len(back.Mean) != len(m.Mean) {
			t.Fatal(err)
		}
	})
}
