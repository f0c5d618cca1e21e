//go:build (amd64 || arm64) && !purego

package kernel

import "testing"

// forLevels runs f once for each level that this machine has.
func forLevels(t *testing.T, f func(t *testing.T)) {
	defer func(l int) { level = l }(level)
	for l := levelGo; l <= bestLevel; l++ {
		level = l
		t.Run(levelNames[l], f)
	}
}

// inGo runs f with the loops in Go.
func inGo(f func()) {
	defer func(l int) { level = l }(level)
	level = levelGo
	f()
}
