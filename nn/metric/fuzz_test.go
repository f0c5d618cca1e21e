package metric

import (
	"encoding/binary"
	"math"
	"slices"
	"testing"
)

// FuzzFromVector: no vector panics; what is taken comes out again, adds, and gives
// values whose weights say when there is none.
func FuzzFromVector(f *testing.F) {
	kinds := targets()
	for i, target := range kinds {
		s := newSet(f, target)
		if target.Kind == KindSurvival {
			observe(f, s, batch{pred: f32(1, 2, 3), targets: f32(1, 1, 2, 0, 3, 1)})
		}
		var seed []byte
		for _, x := range s.Vector() {
			seed = binary.LittleEndian.AppendUint64(seed, math.Float64bits(x))
		}
		f.Add(uint8(i), seed)
		f.Add(uint8(i), append(seed[:len(seed)-8:len(seed)-8], 0, 0, 0, 0, 0, 0, 0xf8, 0x7f)) // NaN
		for j := range len(seed) / 8 {
			binary.LittleEndian.PutUint64(seed[8*j:], math.Float64bits(float64(j*j%97)))
		}
		f.Add(uint8(i), slices.Clone(seed))
		for j := range len(seed) / 8 {
			binary.LittleEndian.PutUint64(seed[8*j:], math.Float64bits(0x1p53))
		}
		f.Add(uint8(i), seed)
	}
	f.Fuzz(func(t *testing.T, kind uint8, b []byte) {
		target := kinds[int(kind)%len(kinds)]
		empty := newSet(t, target)
		v := make([]float64, min(len(b)/8, empty.Len()+1))
		for i := range v {
			v[i] = math.Float64frombits(binary.LittleEndian.Uint64(b[8*i:]))
		}
		s, err := FromVector(target, v)
		if err != nil {
			if s != nil {
				t.Fatal("a Set beside an error")
			}
			return
		}
		back := s.Vector()
		for i, x := range v {
			if !(back[i] <= x && x-back[i] < 0x1p-64) {
				t.Fatalf("coordinate %d: %v became %v", i, x, back[i])
			}
		}
		again, err := FromVector(target, back)
		if err != nil || !slices.Equal(again.sums, s.sums) {
			t.Fatalf("its own vector was not taken: %v", err)
		}
		for _, value := range s.Values() {
			if value.Weight == 0 && !math.IsNaN(value.Value) || math.IsNaN(value.Error) || value.Error < 0 {
				t.Fatalf("%+v", value)
			}
		}
		s.Confusion()
		s.Reliability()
		sum := newSet(t, target)
		if err := sum.Add(s); err != nil || !slices.Equal(sum.sums, s.sums) {
			t.Fatalf("0 + s: %v", err)
		}
		if err := sum.Add(s); err == nil {
			for i, x := range sum.Vector() {
				if x != 2*back[i] {
					t.Fatalf("coordinate %d: twice %v is %v", i, back[i], x)
				}
			}
		}
	})
}
