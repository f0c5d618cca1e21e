//go:build amd64 && !purego

package kernel

import (
	"syscall"

	"golang.org/x/sys/cpu"
)

// The levels of instructions that the assembly is written for, each a superset
// of those before it.
const (
	levelGo = iota
	levelAVX2
	levelAVX512
)

var levelNames = [...]string{levelGo: "go", levelAVX2: "avx2", levelAVX512: "avx512"}

// bestLevel is what this machine can do. level is what runs: bestLevel, or what
// the environment variable TACIT_KERNEL lowers it to (a name that is unknown or
// above bestLevel changes nothing). Nothing but a test writes it after start.
var (
	bestLevel = available()
	level     = lowered(bestLevel)
)

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

// lowered asks syscall, not os: rooms that must stay clear of os import nn.
func lowered(best int) int {
	name, _ := syscall.Getenv("TACIT_KERNEL")
	for l := range best {
		if levelNames[l] == name {
			return l
		}
	}
	return best
}

// Name says which instructions the inner loops use: "avx512", "avx2" or "go".
func Name() string { return levelNames[level] }
