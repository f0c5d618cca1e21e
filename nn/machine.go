package nn

import "tacit/nn/internal/kernel"

// Kernel names the instructions that the inner loops use on this machine: "avx512",
// "avx2", "neon" or "go". The environment variable TACIT_KERNEL may name a lesser one.
// No result depends on it.
func Kernel() string { return kernel.Name() }

// Peak measures, in some 20 ms, what one core of this machine can do at most with those
// instructions, in GFLOP/s of float32, an FMA counted as two; 0 where it cannot tell.
func Peak() float64 { return kernel.Peak() }
