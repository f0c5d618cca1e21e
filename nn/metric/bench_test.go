package metric

import (
	"math/rand/v2"
	"testing"
)

func BenchmarkObserve(b *testing.B) {
	r := rand.New(rand.NewPCG(23, 24))
	for _, target := range []Target{Binary(), Class(10), Token(65), Number(0, 1), Survival()} {
		data := randomBatch(r, target, 1000, 0, 0)
		s := newSet(b, target)
		b.Run(target.Kind, func(b *testing.B) {
			for range b.N {
				if err := s.Observe(data.pred, data.labels, data.targets); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/1000, "ns/example")
		})
	}
}
