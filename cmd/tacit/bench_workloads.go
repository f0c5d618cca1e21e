package main

import (
	"fmt"
	"strconv"
	"strings"

	"tacit/internal/nearest"
	"tacit/nn"
)

// workload is a network, a batch and the multiplications and additions of its forward
// pass; three times that is counted for a step.
type workload struct {
	spec  nn.Spec
	batch int
	flops float64
}

// workloads are the names before a batch's size, with the sizes that bench nn runs when
// nothing is chosen.
var workloads = []struct {
	name    string
	batches []int
	spec    func() nn.Spec
	macs    int // of one example's forward pass
}{
	{"mlp", []int{32, 128}, func() nn.Spec { return nn.MLP(784, []int{512, 512}, 10) }, 784*512 + 512*512 + 512*10},
	{"cnn", []int{32, 64}, cnnWorkload, 26*26*9*32 + 24*24*9*32*64 + 9216*128 + 1280},
	{"resnet", []int{64}, resnetWorkload, 32*32*27*16 + 6*32*32*144*16 + 16*16*144*32 + 5*16*16*288*32 + 8*8*288*64 + 5*8*8*576*64 + 640},
	{"lstm", []int{32}, lstmWorkload, 80*(4*256*(8+256)+4*256*512) + 256*80},
	{"rnn", []int{64}, func() nn.Spec { return rowsWorkload(nn.RNN) }, 28*128*(28+128) + 1280},
	{"gru", []int{64}, func() nn.Spec { return rowsWorkload(nn.GRU) }, 28*3*128*(28+128) + 1280},
	{"tab", []int{32}, func() nn.Spec { return nn.MLP(30, []int{64, 32}, 1) }, 30*64 + 64*32 + 32},
	{"logreg", []int{32}, func() nn.Spec { return nn.LogReg(30) }, 30},
	{"gpt", []int{16}, gptWorkload, 128 * (4*(12*128*128+2*128*128) + 128*96)},
}

// cnnWorkload is two convolutions, a pool and two dense layers on 28×28 grey values.
func cnnWorkload() nn.Spec {
	three, two := [2]int{3, 3}, [2]int{2, 2}
	return nn.Spec{Inputs: 784, Shape: []int{28, 28, 1}, Loss: nn.CrossEntropy, Layers: []nn.Layer{
		{Kind: nn.Conv2D, Units: 32, Kernel: three}, {Kind: nn.ReLU},
		{Kind: nn.Conv2D, Units: 64, Kernel: three}, {Kind: nn.ReLU},
		{Kind: nn.MaxPool, Kernel: two}, {Kind: nn.Flatten},
		{Kind: nn.Dense, Units: 128}, {Kind: nn.ReLU}, {Kind: nn.Dense, Units: 10}}}
}

// resnetWorkload is ResNet-20 for 32×32 colour images (He et al. 2015,
// https://arxiv.org/abs/1512.03385, §4.2) with projections where a stage begins: option
// B, a little more work than the peer's option A, which pads channels with zeros.
func resnetWorkload() nn.Spec {
	conv := func(units, kernel, stride int) nn.Layer {
		return nn.Layer{Kind: nn.Conv2D, Units: units, Kernel: [2]int{kernel, kernel}, Stride: [2]int{stride, stride},
			Padding: [2]int{kernel / 2, kernel / 2}, NoBias: true}
	}
	norm, relu := nn.Layer{Kind: nn.BatchNorm}, nn.Layer{Kind: nn.ReLU}
	layers := []nn.Layer{conv(16, 3, 1), norm, relu}
	for stage, units := range []int{16, 32, 64} {
		for i := range 3 {
			stride := 1
			if stage > 0 && i == 0 {
				stride = 2
			}
			r := nn.Layer{Kind: nn.Residual, Body: []nn.Layer{conv(units, 3, stride), norm, relu, conv(units, 3, 1), norm}}
			if stride > 1 {
				r.Shortcut = []nn.Layer{conv(units, 1, stride)}
			}
			layers = append(layers, r, relu)
		}
	}
	layers = append(layers, nn.Layer{Kind: nn.GlobalAvgPool}, nn.Layer{Kind: nn.Dense, Units: 10})
	return nn.Spec{Inputs: 32 * 32 * 3, Shape: []int{32, 32, 3}, Loss: nn.CrossEntropy, Layers: layers}
}

// lstmWorkload reads 80 characters and predicts the next.
func lstmWorkload() nn.Spec {
	return nn.Spec{Inputs: 80, Loss: nn.CrossEntropy, Layers: []nn.Layer{
		{Kind: nn.Embedding, Vocab: 80, Units: 8}, {Kind: nn.LSTM, Units: 256, Depth: 2, Last: true}, {Kind: nn.Dense, Units: 80}}}
}

// rowsWorkload reads an image of 28×28 a row at a time.
func rowsWorkload(kind string) nn.Spec {
	return nn.Spec{Inputs: 784, Shape: []int{28, 28}, Loss: nn.CrossEntropy, Layers: []nn.Layer{
		{Kind: kind, Units: 128, Last: true}, {Kind: nn.Dense, Units: 10}}}
}

// gptWorkload is a transformer of 4 layers, 4 heads and width 128 over 128 characters.
func gptWorkload() nn.Spec {
	residual := func(l ...nn.Layer) nn.Layer { return nn.Layer{Kind: nn.Residual, Body: l} }
	norm := nn.Layer{Kind: nn.LayerNorm}
	layers := []nn.Layer{{Kind: nn.Embedding, Vocab: 96, Units: 128}, {Kind: nn.Positional}}
	for range 4 {
		layers = append(layers, residual(norm, nn.Layer{Kind: nn.Attention, Heads: 4, Causal: true}),
			residual(norm, nn.Layer{Kind: nn.Dense, Units: 512}, nn.Layer{Kind: nn.GELU}, nn.Layer{Kind: nn.Dense, Units: 128}))
	}
	layers = append(layers, norm, nn.Layer{Kind: nn.Dense, Units: 96})
	return nn.Spec{Inputs: 128, Loss: nn.CrossEntropy, Layers: layers}
}

// workloadNames returns what bench nn runs when nothing is chosen.
func workloadNames() []string {
	var out []string
	for _, w := range workloads {
		for _, b := range w.batches {
			out = append(out, w.name+strconv.Itoa(b))
		}
	}
	return out
}

// maxWorkloadBatch bounds the batch that a workload's name may end with.
const maxWorkloadBatch = 1 << 16

// parseWorkload returns the workload of a name: a network's and its batch's size. The
// error of an unknown name says which known one is near.
func parseWorkload(name string) (workload, error) {
	kind := strings.TrimRight(name, "0123456789")
	digits := name[len(kind):]
	batch, err := strconv.Atoi(digits)
	fits := err == nil && batch >= 1 && batch <= maxWorkloadBatch
	var known []string
	for _, w := range workloads {
		if w.name == kind && fits {
			return workload{w.spec(), batch, 2 * float64(w.macs) * float64(batch)}, nil
		}
		if fits {
			known = append(known, w.name+digits)
		}
	}
	names, near := workloadNames(), ""
	if n := nearest.Name(name, append(known, names...)); n != "" {
		near = fmt.Sprintf(" (did you mean %q?)", n)
	}
	return workload{}, misused("tacit bench nn --only "+strings.Join(names, ","), "unknown workload %q%s", name, near)
}
