package main

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"tacit/plan"
	"tacit/secureagg"
	"tacit/wire"
)

func readDoc(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// TestProtocolListsEveryKind holds the table of PROTOCOL.md to the code's.
func TestProtocolListsEveryKind(t *testing.T) {
	doc := readDoc(t, "../../docs/PROTOCOL.md")
	way := map[wire.Direction]string{wire.Up: "up", wire.Down: "down", wire.Both: "both"}
	for _, k := range wire.Kinds() {
		if row := fmt.Sprintf("| %s | %s | %s | %d |", k, way[k.Direction()], k.Class(), k.Limit()); !strings.Contains(doc, row) {
			t.Errorf("PROTOCOL.md lacks %s", row)
		}
		if k.Class() == wire.ClassRows || k.Class() == wire.ClassPlaintextUpdates {
			t.Errorf("%s carries %s", k, k.Class())
		}
	}
}

// TestProtocolSegments holds the vector's table to the plan's.
func TestProtocolSegments(t *testing.T) {
	doc := readDoc(t, "../../docs/PROTOCOL.md")
	words := 0
	for _, s := range mustPlan("heart-logreg").Segments(plan.Train) {
		words += s.Length
		power := 0
		for v := s.Scale; v > 1; v /= 2 {
			power++
		}
		if row := fmt.Sprintf("| %s | %d | %g | 2^%d |", s.Name, s.Length, s.Bound, power); !strings.Contains(doc, row) {
			t.Errorf("PROTOCOL.md lacks %s", row)
		}
	}
	if !strings.Contains(doc, fmt.Sprintf("a train report is %d words", words)) {
		t.Errorf("PROTOCOL.md does not say %d words", words)
	}
}

// TestWorkedExample computes the numbers of PROTOCOL.md's example.
func TestWorkedExample(t *testing.T) {
	doc := readDoc(t, "../../docs/PROTOCOL.md")
	update := mustPlan("heart-logreg").Segments(plan.Train)[0]
	x := make([]uint32, 3)
	if n := secureagg.Quantize(x, []float64{0.25, -0.125, 0.0625}, update.Scale, update.Bound); n != 0 {
		t.Fatalf("%d values were clamped", n)
	}
	self := []uint32{0x0a0a0a0a, 0x0b0b0b0b, 0x0c0c0c0c}
	pair := func(i, j int) uint32 { return []uint32{0, 0x11111111, 0x22222222, 0x33333333}[i+j] }
	var y [3]uint32
	var sum uint32
	for i := range y {
		y[i] = x[i] + self[i]
		for j := range y {
			switch {
			case i < j:
				y[i] += pair(i, j)
			case i > j:
				y[i] -= pair(i, j)
			}
		}
		sum += y[i]
	}
	opened := []uint32{sum - self[0] - self[1] - self[2]}
	without := []uint32{y[0] + y[1] - self[0] - self[1] - pair(0, 2) - pair(1, 2)}
	for _, word := range []uint32{x[0], x[1], x[2], y[0], y[1], y[2], sum, opened[0], y[0] + y[1], without[0]} {
		if !strings.Contains(doc, fmt.Sprintf("%08x", word)) {
			t.Errorf("PROTOCOL.md lacks %08x", word)
		}
	}
	v := make([]float64, 1)
	if secureagg.Dequantize(v, opened, update.Scale); v[0] != 0.1875 {
		t.Errorf("the sum is %g", v[0])
	}
	if secureagg.Dequantize(v, without, update.Scale); v[0] != 0.125 {
		t.Errorf("the sum without C is %g", v[0])
	}
}

// TestThreatsParameters holds THREATS.md's table of cohort sizes to the code.
func TestThreatsParameters(t *testing.T) {
	doc := readDoc(t, "../../docs/THREATS.md")
	for _, n := range []int{3, 4, 5, 10, 20, 100} {
		p, err := secureagg.CohortParams(n, min(n, 5), 0, n < 5)
		if err != nil {
			t.Fatal(err)
		}
		if row := fmt.Sprintf("| %d | %d | %d | %d | %d |", n, p.Quorum, p.MinRelease, p.Private, p.MinRelease-p.Private); !strings.Contains(doc, row) {
			t.Errorf("THREATS.md lacks %s", row)
		}
		if p.Quorum != p.Threshold {
			t.Errorf("%d branches: quorum %d, threshold %d", n, p.Quorum, p.Threshold)
		}
	}
}
