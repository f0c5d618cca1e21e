//go:build (amd64 || arm64) && !purego

package kernel

// levels runs f with the instructions of each level that this machine has.
func levels(f func(name string)) {
	defer func(l int) { level = l }(level)
	for l := levelGo; l <= bestLevel; l++ {
		level = l
		f(levelNames[l])
	}
}

// inGo runs f with the loops in Go.
func inGo(f func()) {
	defer func(l int) { level = l }(level)
	level = levelGo
	f()
}
