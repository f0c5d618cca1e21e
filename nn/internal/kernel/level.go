//go:build (amd64 || arm64) && !purego

package kernel

import "syscall"

// bestLevel is what this machine can do. level is what runs: bestLevel, or what
// the environment variable TACIT_KERNEL lowers it to (a name that is unknown or
// above bestLevel changes nothing). Nothing but a test writes it after start.
var (
	bestLevel = available()
	level     = lowered(bestLevel)
)

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

// Name says which instructions the inner loops use: "avx512", "avx2", "neon" or "go".
func Name() string { return levelNames[level] }
