//go:build amd64 && !purego

package kernel

func matmuls() map[string]matmulFunc {
	all := map[string]matmulFunc{"go": matmulGo}
	if hasAVX2 {
		all["avx2"] = matmulAVX2
	}
	return all
}
