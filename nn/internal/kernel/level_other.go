//go:build (!amd64 && !arm64) || purego

package kernel

// Name says which instructions the inner loops use: "avx512", "avx2", "neon" or "go".
func Name() string { return "go" }
