package kernel

import (
	"testing"
	"time"
)

// BenchmarkGemm measures the shapes that training meets. peak% is of Peak, measured
// beside it; best is of blocks of some milliseconds.
func BenchmarkGemm(b *testing.B) {
	for _, s := range []struct {
		name                                   string
		m, n, segs, k, ars, acs, ass, ldb, bss int
	}{
		{"mlp-forward-32", 32, 512, 1, 784, 784, 1, 0, 512, 0},
		{"mlp-forward-16", 16, 512, 1, 784, 784, 1, 0, 512, 0},
		{"mlp-dw-32", 784, 512, 1, 32, 1, 784, 0, 512, 0},
		{"mlp-dw-128", 784, 512, 1, 128, 1, 784, 0, 512, 0},
		{"mlp-dx-32", 512, 32, 1, 512, 512, 1, 0, 32, 0},
		{"conv-64", 24, 64, 3, 96, 32, 1, 26 * 32, 64, 96 * 64},
		{"conv-32", 16, 32, 3, 96, 32, 1, 18 * 32, 32, 96 * 32},
		{"conv-16", 32, 16, 3, 48, 16, 1, 34 * 16, 16, 48 * 16},
		{"conv-8-64", 8, 64, 3, 192, 64, 1, 10 * 64, 64, 192 * 64},
		{"conv-dw-64", 96, 64, 24, 24, 1, 32, 26 * 32, 64, 24 * 64},
		{"conv-dw-16", 48, 16, 32, 32, 1, 16, 34 * 16, 16, 32 * 16},
		{"lstm-step-32", 32, 1024, 1, 256, 80 * 256, 1, 0, 1024, 0},
		{"lstm-rows", 2560, 1024, 1, 256, 256, 1, 0, 1024, 0},
		{"lstm-dw", 256, 1024, 1, 2560, 1, 256, 0, 1024, 0},
		{"lstm-dx-32", 32, 256, 1, 1024, 80 * 1024, 1, 0, 256, 0},
		{"gpt-384", 2048, 384, 1, 128, 128, 1, 0, 384, 0},
		{"gpt-128", 2048, 128, 1, 512, 512, 1, 0, 128, 0},
		{"gpt-dw-512", 128, 512, 1, 2048, 1, 128, 0, 512, 0},
		{"gpt-dw-128", 512, 128, 1, 2048, 1, 512, 0, 128, 0},
		{"gpt-dx-512", 2048, 128, 1, 512, 512, 1, 0, 128, 0},
		{"head-qk", 32, 128, 1, 32, 384, 1, 0, 128, 0},
		{"head-pv", 32, 32, 1, 128, 128, 1, 0, 384, 0},
		{"tab", 32, 64, 1, 30, 30, 1, 0, 64, 0},
		{"square-1024", 1024, 1024, 1, 1024, 1024, 1, 0, 1024, 0},
		{"square-2048", 2048, 2048, 1, 2048, 2048, 1, 0, 2048, 0},
	} {
		b.Run(s.name, func(b *testing.B) {
			x := make([]float32, (s.m-1)*s.ars+(s.segs-1)*s.ass+(s.k-1)*s.acs+1)
			w := make([]float32, (s.segs-1)*s.bss+(s.k-1)*s.ldb+s.n)
			y := make([]float32, s.m*s.n)
			flops := 2 * float64(s.m*s.n) * float64(s.segs*s.k)
			per := max(1, int(2e8/flops))
			peak, best := Peak(), time.Duration(1<<62)
			for b.Loop() {
				start := time.Now()
				for range per {
					GemmSegments(s.m, s.n, s.segs, s.k, x, s.ars, s.acs, s.ass, w, s.ldb, s.bss, y, s.n, false)
				}
				best = min(best, time.Since(start)/time.Duration(per))
			}
			peak = max(peak, Peak())
			rate := flops / float64(best.Nanoseconds())
			b.ReportMetric(rate, "GFLOP/s")
			if peak > 0 {
				b.ReportMetric(100*rate/peak, "peak%")
			}
		})
	}
}
