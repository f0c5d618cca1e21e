package plan

import (
	"hash/fnv"
	"iter"
	"strings"
	"unicode"
)

// Words yields the words of a cell of a [FreeText] column: its longest runs of
// letters and digits, in lower case.
func Words(cell string) iter.Seq[string] {
	return func(yield func(string) bool) {
		for word := range strings.FieldsFuncSeq(cell, func(r rune) bool { return !unicode.IsLetter(r) && !unicode.IsDigit(r) }) {
			if !yield(strings.ToLower(word)) {
				return
			}
		}
	}
}

// Bucket returns the feature, 0 … buckets−1, that a word sets to 1: its 32-bit
// FNV-1a hash modulo buckets (feature hashing, Weinberger et al. 2009,
// https://arxiv.org/abs/0902.2206, without signs: a bucket says whether one of its
// words is there).
func Bucket(word string, buckets int) int {
	h := fnv.New32a()
	h.Write([]byte(word))
	return int(h.Sum32() % uint32(buckets))
}
