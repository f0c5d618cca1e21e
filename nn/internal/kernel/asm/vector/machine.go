package main

import (
	"math"

	. "github.com/mmcloughlin/avo/operand"
)

// machine writes a loop for one set of instructions. A method is one instruction for
// every lane, rounded as Go rounds it, and returns a new vector. Operands are vectors in
// registers; the last two of fma and the last of the others may be constants of bits.
type machine interface {
	load(m Op) Op
	store(v, m Op)
	bits(b uint32) Op // a vector of the pattern b
	zero() Op
	move(a Op) Op // a copy in a register

	add(a, b Op) Op
	sub(a, b Op) Op
	mul(a, b Op) Op
	div(a, b Op) Op
	max(a, b Op) Op // of a NaN: anything
	min(a, b Op) Op
	sqrt(a Op) Op
	fma(a, b, c Op) Op    // a·b + c
	fnma(a, b, c Op) Op   // −a·b + c
	horner(p, x, c Op) Op // p·x + c; p may hold it afterwards

	timesPow2(y, n Op) Op // y·2^n for a whole n and y about 1, rounded once

	and(a, b Op) Op
	andNot(a, b Op) Op // a &^ b
	or(a, b Op) Op
	xor(a, b Op) Op

	choose(p predicate, a, b, yes, no Op) Op // yes where a ⋚ b holds, else no

	toInt(a Op) Op               // towards zero; of a NaN: anything
	shiftRight(a Op, n uint8) Op // keeps the sign
	shiftLeft(a Op, n uint8) Op
	addInt(a, b Op) Op
	subInt(a, b Op) Op
}

// predicate compares, as VCMPPS encodes it. All but unordered are false with a NaN.
type predicate uint8

const (
	lessOrEqual    predicate = 0x12
	less           predicate = 0x11
	greater        predicate = 0x1e
	greaterOrEqual predicate = 0x1d
	unordered      predicate = 0x03
	equal          predicate = 0x00
)

// lanes is a machine with what the loops are made of.
type lanes struct{ machine }

func (l lanes) num(f float64) Op { return l.bits(math.Float32bits(float32(f))) }
