package main

import (
	"cmp"
	"slices"

	"tacit/nn/internal/kernel/asm/a64"
)

// A round is straight-line code, so registers are given out in one pass: from v0 up, a
// value's register is free after its last use. From v31 down lie the values that are
// kept and as many constants as leave enough, the most used first; the others are loaded
// when they are needed and stay while nothing else wants their register. A constant that
// a register begins with (the addend of an FMLA) is always loaded: that is no slower than
// a copy.

// round takes what has been recorded.
func (l *neon) round() []step {
	s := l.steps
	l.steps = nil
	return s
}

// registers gives registers to the rounds of one loop and loads the constants that are kept.
// It returns the lines of each round.
func (l *neon) registers(rounds ...[]step) [][]string {
	count := map[*value]int{}
	var constants []*value
	for _, r := range rounds {
		for _, s := range r {
			for _, v := range s.in {
				if v.constant {
					if count[v] == 0 {
						constants = append(constants, v)
					}
					count[v]++
				}
			}
		}
	}
	slices.SortStableFunc(constants, func(a, b *value) int { return cmp.Compare(count[b], count[a]) })
	for keep := len(constants); keep >= 0; keep-- {
		kept := map[*value]int{}
		for v, r := range l.kept {
			kept[v] = r
		}
		for _, v := range constants[:keep] {
			kept[v] = 31 - len(kept)
		}
		var out [][]string
		ok := len(kept) < 32
		for _, r := range rounds {
			if ok {
				var lines []string
				lines, ok = assign(l.f, r, kept)
				out = append(out, lines)
			}
		}
		if ok {
			if len(l.bit) > 0 {
				l.f.Put("MOVD $lanes<>(SB), %s", pool)
			}
			for _, v := range constants[:keep] {
				l.f.Put("%s", constant(l.f, v, kept[v]))
			}
			return out
		}
	}
	panic("not enough registers")
}

// pool is the register that points to the constants.
const pool = "R17"

func constant(f *a64.File, v *value, r int) string { return a64.LoadQuad(pool, f.Lanes(v.bits), r) }

// assign returns the lines of a round, or false where registers do not suffice.
func assign(f *a64.File, steps []step, kept map[*value]int) (lines []string, ok bool) {
	uses := map[*value][]int{}
	for i, s := range steps {
		for _, v := range s.in {
			uses[v] = append(uses[v], i)
		}
		if s.from != nil {
			uses[s.from] = append(uses[s.from], i)
		}
	}
	// next is the first use of v after step i, or past the end.
	next := func(v *value, i int) int {
		for _, u := range uses[v] {
			if u > i {
				return u
			}
		}
		return len(steps)
	}
	var holds [32]*value
	at := map[*value]int{}
	for v, r := range kept {
		holds[r], at[v] = v, r
	}
	take := func(i int, v *value) int {
		victim := -1
		for r, h := range holds {
			if h == nil {
				holds[r], at[v] = v, r
				return r
			}
			if _, is := kept[h]; h.constant && !is && !slices.Contains(steps[i].in, h) && (victim < 0 || next(h, i) > next(holds[victim], i)) {
				victim = r
			}
		}
		if victim >= 0 {
			delete(at, holds[victim])
			holds[victim], at[v] = v, victim
		}
		return victim
	}
	dies := func(i int, v *value) bool {
		_, is := kept[v]
		return !is && next(v, i) == len(steps)
	}
	free := func(i int, v *value) {
		if r, is := at[v]; is && dies(i, v) {
			holds[r] = nil
			delete(at, v)
		}
	}
	for i, s := range steps {
		var in []int
		for _, v := range s.in {
			r, is := at[v]
			if !is {
				if r = take(i, v); r < 0 {
					return nil, false
				}
				lines = append(lines, constant(f, v, r))
			}
			in = append(in, r)
		}
		out := -1
		if s.out != nil {
			if r, is := at[s.out]; is { // kept
				out = r
			} else if r, is := at[s.from]; is && dies(i, s.from) && !s.from.constant {
				out = r
				delete(at, s.from)
				holds[r], at[s.out] = s.out, r
			} else {
				if s.from == nil {
					for _, v := range s.in {
						free(i, v)
					}
				}
				if out = take(i, s.out); out < 0 {
					return nil, false
				}
				switch {
				case s.from == nil:
				case s.from.constant:
					lines = append(lines, constant(f, s.from, out))
				default:
					lines = append(lines, a64.Move(out, at[s.from]))
				}
			}
		}
		lines = append(lines, s.line(out, in))
		for _, v := range s.in {
			free(i, v)
		}
		free(i, s.from)
		if s.out != nil {
			free(i, s.out)
		}
	}
	return lines, true
}
