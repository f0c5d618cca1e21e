//go:build (!amd64 && !arm64) || purego

package kernel

import "testing"

// forLevels runs f once for each level that this machine has.
func forLevels(t *testing.T, f func(t *testing.T)) { t.Run(Name(), f) }

// inGo runs f with the loops in Go.
func inGo(f func()) { f() }
