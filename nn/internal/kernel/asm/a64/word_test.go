package a64

import (
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/arch/arm64/arm64asm"
)

// Every word is what its comment says, by Go's own disassembler.
func TestWords(t *testing.T) {
	var lines []string
	for _, o := range []Op{FADD, FSUB, FMUL, FDIV, FMLA, FMLS, FMAX, FMIN, FADDD, FSUBD, FMULD, FMLAD, FCMEQ, FCMGE, FCMGT,
		AND, BIC, ORR, EOR, BSL, ADD, SUB, SMAX, TRN1, TRN2, TRN1D, TRN2D} {
		lines = append(lines, o.Three(0, 1, 2), o.Three(31, 15, 16), o.Three(7, 30, 8))
	}
	for _, o := range []Op{FSQRT, FCVTZS, FCVTL, FCVTL2} {
		lines = append(lines, o.Two(0, 1), o.Two(31, 16), o.Two(8, 29))
	}
	lines = append(lines, Move(3, 4), Move(31, 16), ShiftRight(1, 2, 1), ShiftRight(31, 30, 32), ShiftLeft(1, 2, 23), ShiftLeft(31, 30, 0),
		MulAddFirst(0, 24, 28), MulAddFirst(23, 27, 31), MulAddFirst(1, 2, 15))
	for _, l := range lines {
		check(t, l)
	}
}

// So is every word of the assembly that was written.
func TestWrittenWords(t *testing.T) {
	files, _ := filepath.Glob("../../*_arm64.s")
	for _, name := range files {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		n := 0
		for l := range strings.Lines(string(text)) {
			if l = strings.TrimSpace(l); strings.HasPrefix(l, "WORD") {
				check(t, l)
				n++
			}
		}
		if n == 0 {
			t.Errorf("%s: no word", name)
		}
	}
	if len(files) == 0 {
		t.Error("no assembly found")
	}
}

func check(t *testing.T, line string) {
	t.Helper()
	var word uint32
	head, want, _ := strings.Cut(line, " // ")
	if _, err := fmt.Sscanf(head, "WORD $0x%x", &word); err != nil {
		t.Fatalf("%q: %v", line, err)
	}
	i, err := arm64asm.Decode(binary.LittleEndian.AppendUint32(nil, word))
	if err != nil {
		t.Errorf("%s: %v", line, err)
	} else if got := arm64asm.GNUSyntax(i); got != want {
		t.Errorf("%s: is %s", line, got)
	}
}
