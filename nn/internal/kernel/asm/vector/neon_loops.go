package main

import (
	"fmt"
	"strings"

	. "github.com/mmcloughlin/avo/operand"

	"tacit/nn/internal/kernel/asm/a64"
)

// pointersOf loads the parameters names from register R1 on and returns their registers.
func pointersOf(f *a64.File, names []string) map[string]string {
	out := map[string]string{}
	for i, p := range names {
		out[p] = fmt.Sprintf("R%d", i+1)
		f.Put("MOVD %s, %s", f.Arg(p), out[p])
	}
	return out
}

// advance writes pointers, all steps on.
func advance(f *a64.File, names []string, bases map[string]string, step string) {
	for _, p := range names {
		f.Put("ADD %s, %s", step, bases[p])
	}
}

// shortRound is how many steps a round has at most that is written for 16 elements too.
const shortRound = 12

// neon writes the loop over n &^ 3 elements: 16 a round where the round is short, then 4.
func (k loop) neon(f *a64.File) {
	l := openNEON(f, k.name, k.params())
	f.Put("MOVD %s, R0", f.Arg("n"))
	bases := pointersOf(f, k.pointers)
	p := map[string]Op{}
	for _, s := range k.scalars {
		p[s] = l.spread(s)
	}
	body := func(disp int) {
		k.body(lanes{l}, func(name string) Op { return place{bases[name], disp} }, p)
	}
	body(0)
	rounds := [][]step{l.round()}
	if len(rounds[0]) <= shortRound {
		for i := range 4 {
			body(16 * i)
		}
		rounds = append(rounds, l.round())
	}
	text := l.registers(rounds...)
	put := func(label string, elements int, lines []string, exit string) {
		f.Put("SUBS $%d, R0", elements)
		f.Put("BLT %s", exit)
		f.Label(label)
		f.Put("%s", strings.Join(lines, "\n\t"))
		advance(f, k.pointers, bases, fmt.Sprintf("$%d", 4*elements))
		f.Put("SUBS $%d, R0", elements)
		f.Put("BGE %s", label)
	}
	if len(text) == 2 {
		put("wide", 16, text[1], "rest")
		f.Label("rest")
		f.Put("ADD $16, R0")
	}
	put("loop", 4, text[0], "done")
	f.Label("done")
	f.Put("RET")
}
