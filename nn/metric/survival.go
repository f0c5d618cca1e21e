package metric

import (
	"cmp"
	"slices"
	"sort"
)

// survival counts comparable pairs: of two examples the one with the earlier time
// had its event, or both times are equal and just one had. A pair is concordant
// where the one with the earlier event has the greater score, tied where the scores
// are equal, else discordant; a pair with an unusable score is discordant. Scores
// are risks, as Cox's log hazard is.
//
//	C = (concordant + ½ tied)/(concordant + tied + discordant)
//
// Harrell, Califf, Pryor, Lee, Rosati 1982, https://doi.org/10.1001/jama.1982.03320430047030.
//
// Pairs are formed within one Observe only: no row of one branch is ever compared
// with one of another, and counts add. C of a sum is therefore C over the pairs
// within; a branch observes its rows in one batch so as to use all of its own.
type survival struct {
	concordant, tied, discordant *sum
}

func (s *Set) observeSurvival(pred, targets []float32) {
	order := make([]int, len(pred)) // latest first; at one time censored before events
	levels := make([]float32, 0, len(pred))
	for i, f := range pred {
		order[i] = i
		if f-f == 0 {
			levels = append(levels, f)
		} else {
			s.unusable.count()
		}
	}
	slices.Sort(levels)
	levels = slices.Compact(levels)
	slices.SortFunc(order, func(a, b int) int {
		if c := cmp.Compare(targets[2*b], targets[2*a]); c != 0 {
			return c
		}
		return cmp.Compare(targets[2*a+1], targets[2*b+1])
	})
	later := fenwick(make([]uint64, len(levels))) // usable scores of those that outlived
	var inserted uint64                           // those and the unusable
	insert := func(i int) {
		inserted++
		if f := pred[i]; f-f == 0 {
			later.add(level(levels, f))
		}
	}
	for i := 0; i < len(order); {
		time := targets[2*order[i]]
		events := i // [i, events) censored at time, [events, end) with their event
		for events < len(order) && targets[2*order[events]] == time && targets[2*order[events]+1] == 0 {
			insert(order[events])
			events++
		}
		end := events
		for end < len(order) && targets[2*order[end]] == time {
			end++
		}
		for _, j := range order[events:end] {
			f := pred[j]
			if f-f != 0 {
				s.survival.discordant.whole += inserted
				continue
			}
			l := level(levels, f)
			less := later.below(l)
			tied := later.below(l+1) - less
			s.survival.concordant.whole += less
			s.survival.tied.whole += tied
			s.survival.discordant.whole += inserted - less - tied
		}
		for _, j := range order[events:end] {
			insert(j)
		}
		i = end
	}
}

// level returns the index of f in the sorted levels, which hold it.
func level(levels []float32, f float32) int {
	return sort.Search(len(levels), func(i int) bool { return levels[i] >= f })
}

func (v survival) value() Value {
	c, t, d := v.concordant.float(), v.tied.float(), v.discordant.float()
	return ratio("concordance", c+t/2, c+t+d)
}

// fenwick counts by index and gives sums of prefixes, both in O(log n)
// (Fenwick 1994, https://doi.org/10.1002/spe.4380240306).
type fenwick []uint64

func (f fenwick) add(i int) {
	for i++; i <= len(f); i += i & -i {
		f[i-1]++
	}
}

// below returns how many were added at indices < i.
func (f fenwick) below(i int) uint64 {
	var n uint64
	for ; i > 0; i -= i & -i {
		n += f[i-1]
	}
	return n
}
