package kernel

// The generators are a module of their own, so that what they need is not in this
// one's go.mod. What they write is committed.

//go:generate go run -C asm ./gemm -out ../tiles_amd64.s -neon ../tiles_arm64
//go:generate go run -C asm ./vector -out ../vector_amd64.s -choose ../vector_amd64.go -other ../vector_other.go -neon ../vector_arm64
