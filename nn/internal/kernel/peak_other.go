//go:build (!amd64 && !arm64) || purego

package kernel

// Peak returns what this core can do at most, in GFLOP/s of float32; 0: no loop is
// written for this machine.
func Peak() float64 { return 0 }
