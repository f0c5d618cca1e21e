//go:build (!amd64 && !arm64) || purego

package kernel

// levels runs f with the instructions of each level that this machine has.
func levels(f func(name string)) { f(Name()) }

// inGo runs f with the loops in Go.
func inGo(f func()) { f() }
