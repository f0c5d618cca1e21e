//go:build amd64 && !purego

package kernel

import "golang.org/x/sys/cpu"

// The levels of instructions that the assembly is written for, each a superset
// of those before it.
const (
	levelGo = iota
	levelAVX2
	levelAVX512
)

var levelNames = [...]string{levelGo: "go", levelAVX2: "avx2", levelAVX512: "avx512"}

func available() int {
	x := &cpu.X86
	switch {
	case !x.HasAVX2 || !x.HasFMA:
		return levelGo
	case x.HasAVX512F && x.HasAVX512BW && x.HasAVX512DQ && x.HasAVX512VL:
		return levelAVX512
	default:
		return levelAVX2
	}
}
