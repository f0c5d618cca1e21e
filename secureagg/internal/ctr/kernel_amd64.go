//go:build amd64 && !purego

package ctr

import (
	"syscall"
	"unsafe"

	"golang.org/x/sys/cpu"
)

// The levels of instructions that the assembly is written for.
const (
	levelGo = iota
	levelAESNI
	levelVAES
)

var levelNames = []string{levelGo: "go", levelAESNI: "aesni", levelVAES: "vaes"}

// bestLevel is what this machine can do. level is what runs: bestLevel, or what the
// environment variable TACIT_AES lowers it to (a name that is unknown or above
// bestLevel changes nothing). Nothing but a test writes it after start.
var (
	bestLevel = available()
	level     = lowered(bestLevel)
)

func available() int {
	x := &cpu.X86
	switch {
	case !x.HasAES || !x.HasAVX:
		return levelGo
	case x.HasAVX512F && x.HasAVX512BW && x.HasAVX512DQ && x.HasAVX512VAES:
		return levelVAES
	default:
		return levelAESNI
	}
}

// lowered asks syscall, not os, of which secureagg stays clear.
func lowered(best int) int {
	name, _ := syscall.Getenv("TACIT_AES")
	for l := range best {
		if levelNames[l] == name {
			return l
		}
	}
	return best
}

// groupBytes is the number of bytes of the vector that the kernel takes at a time, or
// 0 where the twin runs.
func groupBytes(kind int) int {
	switch level {
	case levelVAES:
		return groupVAES[kind]
	case levelAESNI:
		return groupAESNI[kind]
	}
	return 0
}

// kernel adds to b, whole groups, the streams of keys from counter block hi ‖ lo on.
// With flip = 2^64 − 1 it subtracts them: x − w = ¬(¬x + w).
func kernel(kind int, b []byte, hi, lo uint64, keys []Key, flip uint64) {
	n, dst := len(b)/groupBytes(kind), unsafe.Pointer(&b[0])
	if level == levelVAES {
		switch kind {
		case ring16.kind:
			add16VAES(dst, n, hi, lo, &keys[0], len(keys), flip)
		case ring24.kind:
			add24VAES(dst, n, hi, lo, &keys[0], len(keys), flip)
		case ring32.kind:
			add32VAES(dst, n, hi, lo, &keys[0], len(keys), flip)
		case ring64.kind:
			add64VAES(dst, n, hi, lo, &keys[0], len(keys), flip)
		}
		return
	}
	switch kind {
	case ring16.kind:
		add16AESNI(dst, n, hi, lo, &keys[0], len(keys), flip)
	case ring24.kind:
		add24AESNI(dst, n, hi, lo, &keys[0], len(keys), flip)
	case ring32.kind:
		add32AESNI(dst, n, hi, lo, &keys[0], len(keys), flip)
	case ring64.kind:
		add64AESNI(dst, n, hi, lo, &keys[0], len(keys), flip)
	}
}
