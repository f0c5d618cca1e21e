package ctr

import (
	"fmt"
	"testing"
)

// BenchmarkApply counts bytes of stream: those of the vector times the keys.
func BenchmarkApply(b *testing.B) {
	for _, c := range []struct{ words, keys int }{{31, 100}, {4096, 1}, {4096, 100}, {1_000_000, 1}, {1_000_000, 100}, {1_000_000, 570}} {
		keys := make([]Key, c.keys)
		for i := range keys {
			keys[i].Set(&[32]byte{byte(i), byte(i >> 8)})
		}
		for _, r := range rings {
			if r != &ring32 && (c.words < 1e6 || c.keys != 100) {
				continue
			}
			for level = range bestLevel + 1 {
				b.Run(fmt.Sprintf("%v/%d×%d/%s", r, c.words, c.keys, levelNames[level]), func(b *testing.B) {
					b.SetBytes(int64(c.words * c.keys * r.width()))
					switch r {
					case &ring16:
						benchmark(b, r, make([]uint16, c.words), keys)
					case &ring24, &ring32:
						benchmark(b, r, make([]uint32, c.words), keys)
					case &ring64:
						benchmark(b, r, make([]uint64, c.words), keys)
					}
				})
			}
			level = bestLevel
		}
	}
}

func benchmark[W uint16 | uint32 | uint64](b *testing.B, r *ring, dst []W, keys []Key) {
	half := len(keys) / 2
	for b.Loop() {
		apply(r, dst, 0, 0, keys[half:], keys[:half])
	}
}

func BenchmarkSet(b *testing.B) {
	var k Key
	for b.Loop() {
		k.Set(&[32]byte{1})
	}
}
