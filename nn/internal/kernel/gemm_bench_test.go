package kernel

import (
	"testing"
	"time"
)

// BenchmarkGemm measures the products that training meets, the best of blocks of some
// milliseconds. bench/gemm.sh times oneDNN in these and BenchmarkConv's shapes, by their
// names.
func BenchmarkGemm(b *testing.B) {
	for _, s := range []struct {
		name                   string
		m, n, k, ars, acs, ldb int
	}{
		{"mlp-forward-32", 32, 512, 784, 784, 1, 512},
		{"mlp-forward-16", 16, 512, 784, 784, 1, 512},
		{"mlp-dw-32", 784, 512, 32, 1, 784, 512},
		{"mlp-dw-128", 784, 512, 128, 1, 784, 512},
		{"mlp-dx-32", 512, 32, 512, 512, 1, 32},
		{"lstm-step-32", 32, 1024, 256, 80 * 256, 1, 1024},
		{"lstm-rows", 2560, 1024, 256, 256, 1, 1024},
		{"lstm-dw", 256, 1024, 2560, 1, 256, 1024},
		{"lstm-dx-32", 32, 256, 1024, 80 * 1024, 1, 256},
		{"gpt-384", 2048, 384, 128, 128, 1, 384},
		{"gpt-128", 2048, 128, 512, 512, 1, 128},
		{"gpt-dw-512", 128, 512, 2048, 1, 128, 512},
		{"gpt-dw-128", 512, 128, 2048, 1, 512, 128},
		{"head-qk", 32, 128, 32, 384, 1, 128},
		{"head-pv", 32, 32, 128, 128, 1, 384},
		{"tab", 32, 64, 30, 30, 1, 64},
		{"square-1024", 1024, 1024, 1024, 1024, 1, 1024},
		{"square-2048", 2048, 2048, 2048, 2048, 1, 2048},
	} {
		x, w, y := written((s.m-1)*s.ars+(s.k-1)*s.acs+1), written((s.k-1)*s.ldb+s.n), written(s.m*s.n)
		b.Run(s.name, func(b *testing.B) {
			rate(b, 2*float64(s.m*s.n)*float64(s.k), func() { Gemm(s.m, s.n, s.k, x, s.ars, s.acs, w, s.ldb, y, s.n) })
		})
	}
}

// BenchmarkConv measures 3×3 convolutions of 8 images, padded already, as nn makes them:
// a product for each row of outputs, or of the gradient for each row of the kernel.
func BenchmarkConv(b *testing.B) {
	const images = 8
	for _, s := range []struct {
		name          string
		gradient      bool
		size, in, out int
	}{
		{"conv-64", false, 26, 32, 64},
		{"conv-32", false, 18, 32, 32},
		{"conv-16", false, 34, 16, 16},
		{"conv-8-64", false, 10, 64, 64},
		{"conv-dw-64", true, 26, 32, 64},
		{"conv-dw-16", true, 34, 16, 16},
	} {
		rows, run, pitch := s.size-2, 3*s.in, s.size*s.in
		image, outputs := s.size*pitch, rows*rows*s.out
		x, w, y := written(images*image), written(3*run*s.out), written(images*outputs)
		forward := func() {
			for i := range images {
				for r := range rows {
					GemmSegments(rows, s.out, 3, run, x[i*image+r*pitch:], s.in, 1, pitch, w, s.out, run*s.out, y[i*outputs+r*rows*s.out:], s.out, false)
				}
			}
		}
		gradient := func() {
			for i := range images {
				for k := range 3 {
					GemmSegments(run, s.out, rows, rows, x[i*image+k*pitch:], 1, s.in, pitch, y[i*outputs:], s.out, rows*s.out, w[k*run*s.out:], s.out, i > 0)
				}
			}
		}
		f := forward
		if s.gradient {
			f = gradient
		}
		b.Run(s.name, func(b *testing.B) { rate(b, 2*float64(images*outputs)*float64(3*run), f) })
	}
}

// written returns n ones: pages that nobody wrote to would all be one page of zeros.
func written(n int) []float32 {
	x := make([]float32, n)
	for i := range x {
		x[i] = 1
	}
	return x
}

// rate reports the GFLOP/s of f, which makes so many operations, and their share of the
// peak, measured beside it.
func rate(b *testing.B, flops float64, f func()) {
	per := max(1, int(2e8/flops))
	peak, best := Peak(), time.Duration(1<<62)
	for b.Loop() {
		start := time.Now()
		for range per {
			f()
		}
		best = min(best, time.Since(start)/time.Duration(per))
	}
	peak = max(peak, Peak())
	rate := flops / float64(best.Nanoseconds())
	b.ReportMetric(rate, "GFLOP/s")
	if peak > 0 {
		b.ReportMetric(100*rate/peak, "peak%")
	}
}
