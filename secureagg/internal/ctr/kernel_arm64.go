//go:build !purego

package ctr

import (
	"syscall"
	"unsafe"

	"golang.org/x/sys/cpu"
)

// The levels of instructions that the assembly is written for.
const (
	levelGo = iota
	levelAES
)

var levelNames = []string{levelGo: "go", levelAES: "aes"}

// bestLevel is what this machine can do. level is what runs: bestLevel, or the twin if
// the environment variable TACIT_AES is go. Nothing but a test writes it after start.
var (
	bestLevel = available()
	level     = lowered(bestLevel)
)

func available() int {
	if cpu.ARM64.HasAES {
		return levelAES
	}
	return levelGo
}

// lowered asks syscall, not os, of which secureagg stays clear.
func lowered(best int) int {
	if name, _ := syscall.Getenv("TACIT_AES"); name == levelNames[levelGo] {
		return levelGo
	}
	return best
}

// groupBytes is the number of bytes of the vector that the kernel takes at a time, or
// 0 where the twin runs.
func groupBytes(int) int {
	if level == levelGo {
		return 0
	}
	return 128
}

//go:noescape
func add16AES(dst unsafe.Pointer, n int, hi, lo uint64, keys *Key, m int, flip uint64)

//go:noescape
func add24AES(dst unsafe.Pointer, n int, hi, lo uint64, keys *Key, m int, flip uint64)

//go:noescape
func add32AES(dst unsafe.Pointer, n int, hi, lo uint64, keys *Key, m int, flip uint64)

//go:noescape
func add64AES(dst unsafe.Pointer, n int, hi, lo uint64, keys *Key, m int, flip uint64)

// kernel adds to b, whole groups, the streams of keys from counter block hi ‖ lo on.
// With flip = 2^64 − 1 it subtracts them: x − w = ¬(¬x + w).
func kernel(kind int, b []byte, hi, lo uint64, keys []Key, flip uint64) {
	n, dst := len(b)/groupBytes(kind), unsafe.Pointer(&b[0])
	switch kind {
	case ring16.kind:
		add16AES(dst, n, hi, lo, &keys[0], len(keys), flip)
	case ring24.kind:
		add24AES(dst, n, hi, lo, &keys[0], len(keys), flip)
	case ring32.kind:
		add32AES(dst, n, hi, lo, &keys[0], len(keys), flip)
	case ring64.kind:
		add64AES(dst, n, hi, lo, &keys[0], len(keys), flip)
	}
}
