//go:build !amd64 || purego

package kernel

func matmuls() map[string]matmulFunc { return map[string]matmulFunc{"go": matmulGo} }
