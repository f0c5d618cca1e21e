package dataset

import "testing"

func BenchmarkStreamImages(b *testing.B) {
	const n = 4096
	p := &pixels{width: 784, b: make([]byte, n*784), labels: make([]int32, n)}
	for i := range p.b {
		p.b[i] = byte(i * 7)
	}
	t := &Table{layout: layout{width: 784, stat: 1, labels: 1}, n: n, indexed: p}
	std, err := t.Standardisation()
	if err != nil {
		b.Fatal(err)
	}
	e, _ := t.Examples(std)
	s, _ := e.Stream(1, 64, 0)
	b.ReportAllocs()
	b.SetBytes(64 * 784)
	for b.Loop() {
		if _, err := s.Next(); err != nil {
			b.Fatal(err)
		}
	}
}
