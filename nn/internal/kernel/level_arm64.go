//go:build arm64 && !purego

package kernel

// The levels of instructions that the assembly is written for.
const (
	levelGo = iota
	levelNEON
)

var levelNames = [...]string{levelGo: "go", levelNEON: "neon"}

// available: every arm64 that Go runs on has NEON.
func available() int { return levelNEON }
