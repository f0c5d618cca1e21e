package nn

import (
	"bytes"
	"encoding/hex"
	"reflect"
	"runtime"
	"strings"
	"testing"

	"golang.org/x/crypto/cryptobyte"
)

// The canonical bytes are hashed: they never change.
func TestSpecBytes(t *testing.T) {
	s := MLP(13, []int{8}, 1)
	s.Layers[2].Init, s.Layers[2].Local = InitZeros, true
	for _, c := range []struct {
		s    Spec
		want string
	}{
		{LogReg(13), "01" + "0000000d" + "14" + hex.EncodeToString([]byte("binary_cross_entropy")) + "0001" + "0564656e7365" + "05" + "0100000001"},
		{s, "01" + "0000000d" + "14" + hex.EncodeToString([]byte("binary_cross_entropy")) + "0003" +
			"0564656e7365" + "05" + "0100000008" +
			"0472656c75" + "00" +
			"0564656e7365" + "0d" + "0100000001" + "02057a65726f73" + "03"},
	} {
		b, err := AppendSpec(nil, c.s)
		if err != nil || hex.EncodeToString(b) != c.want {
			t.Errorf("%x (%v), want %s", b, err, c.want)
		}
		back, err := ParseSpec(b)
		if err != nil || !reflect.DeepEqual(back, c.s) {
			t.Errorf("%+v, %v", back, err)
		}
		for i := range b {
			if _, err := ParseSpec(b[:i]); err == nil {
				t.Errorf("%d of %d bytes are taken", i, len(b))
			}
		}
		if _, err := ParseSpec(append(b, 0)); err == nil {
			t.Error("a trailing byte is taken")
		}
	}
	dense, bce := "0564656e7365", "01"+"0000000d"+"14"+hex.EncodeToString([]byte("binary_cross_entropy"))+"0001"
	for name, bad := range map[string]string{
		"version 2":            "02" + (bce + dense + "05" + "0100000001")[2:],
		"units written twice":  bce + dense + "0a" + "0100000001" + "0100000001",
		"units zero":           bce + dense + "05" + "0100000000",
		"units beyond limit":   bce + dense + "05" + "01ffffffff",
		"empty init":           bce + dense + "07" + "0100000001" + "0200",
		"tags falling":         bce + dense + "06" + "03" + "0100000001",
		"unknown tag":          bce + dense + "06" + "0100000001" + "16",
		"inputs beyond limit":  "01ffffffff" + (bce + dense + "05" + "0100000001")[10:],
		"more layers than are": bce[:len(bce)-4] + "0002" + dense + "05" + "0100000001",
		"too many layers":      bce[:len(bce)-4] + "ffff" + dense + "05" + "0100000001",
		"invalid spec":         bce + dense + "05" + "0100000002",
		"unknown kind":         bce + "0164" + "05" + "0100000001",
	} {
		raw, err := hex.DecodeString(bad)
		if err != nil {
			t.Fatal(name, err)
		}
		if s, err := ParseSpec(raw); err == nil || !reflect.DeepEqual(s, Spec{}) {
			t.Errorf("%s is taken: %+v, %v", name, s, err)
		}
	}
}

// str8 is the hexadecimal of a byte of length and bytes.
func str8(s string) string { return hex.EncodeToString(append([]byte{byte(len(s))}, s...)) }

// optionSpecs have every field of a Spec and of a Layer's encoding.
func optionSpecs() map[string]Spec {
	d := func(n int) Layer { return Layer{Kind: Dense, Units: n} }
	deep := d(2)
	for range MaxNesting {
		deep = Layer{Kind: Residual, Body: []Layer{deep}}
	}
	return map[string]Spec{
		"shape":     {Inputs: 6, Shape: []int{3, 2}, Layers: []Layer{{Kind: Dense, Units: 4, NoBias: true}, {Kind: Dropout, Rate: 0.25}, d(2)}, Loss: CrossEntropy},
		"weights":   {Inputs: 2, Layers: []Layer{d(3)}, Loss: CrossEntropy, ClassWeights: []float64{1, 2.5, 0.125}},
		"smoothing": {Inputs: 2, Layers: []Layer{d(1)}, Loss: BinaryCrossEntropy, LabelSmoothing: 0.1},
		"all":       {Inputs: 6, Shape: []int{3, 2}, Layers: []Layer{d(2)}, Loss: CrossEntropy, ClassWeights: []float64{3, 4}, LabelSmoothing: 0.5},
		"delta":     {Inputs: 2, Layers: []Layer{d(1)}, Loss: Huber, Delta: 1.5},
		"residual":  {Inputs: 2, Layers: []Layer{{Kind: Residual, Body: []Layer{d(3), {Kind: Residual, Body: []Layer{d(3)}}}, Shortcut: []Layer{d(3)}}, {Kind: ReLU}}, Loss: MAE},
		"deepest":   {Inputs: 2, Layers: []Layer{deep}, Loss: MSE},
		"cox":       {Inputs: 2, Layers: []Layer{d(1)}, Loss: Cox},
	}
}

// The same promise for what came later: nested layers and a Spec's own options.
func TestSpecBytesOptions(t *testing.T) {
	dense := func(units string) string { return str8("dense") + "05" + "01000000" + units }
	specs := optionSpecs()
	for name, want := range map[string]string{
		"shape": "01" + "00000006" + str8("cross_entropy") + "0003" +
			str8("dense") + "06" + "0100000004" + "04" + str8("dropout") + "09" + "11" + "3fd0000000000000" + dense("02") +
			"01" + "02" + "00000003" + "00000002",
		"weights":   "01" + "00000002" + str8("cross_entropy") + "0001" + dense("03") + "02" + "00000003" + "3ff0000000000000" + "4004000000000000" + "3fc0000000000000",
		"smoothing": "01" + "00000002" + str8("binary_cross_entropy") + "0001" + dense("01") + "03" + "3fb999999999999a",
		"all": "01" + "00000006" + str8("cross_entropy") + "0001" + dense("02") +
			"01" + "02" + "00000003" + "00000002" + "02" + "00000002" + "4008000000000000" + "4010000000000000" + "03" + "3fe0000000000000",
		"delta": "01" + "00000002" + str8("huber") + "0001" + dense("01") + "04" + "3ff8000000000000",
		"residual": "01" + "00000002" + str8("mae") + "0002" +
			str8("residual") + "06" + "140002" + "150001" + dense("03") + str8("residual") + "03" + "140001" + dense("03") + dense("03") + str8("relu") + "00",
		"deepest": "01" + "00000002" + str8("mse") + "0001" + strings.Repeat(str8("residual")+"03"+"140001", MaxNesting) + dense("02"),
		"cox":     "01" + "00000002" + str8("cox") + "0001" + dense("01"),
	} {
		b, err := AppendSpec(nil, specs[name])
		if err != nil || hex.EncodeToString(b) != want {
			t.Errorf("%s: %x (%v), want %s", name, b, err, want)
			continue
		}
		back, err := ParseSpec(b)
		if err != nil || !reflect.DeepEqual(back, specs[name]) {
			t.Errorf("%s: %+v, %v", name, back, err)
		}
		for i := range b {
			if s, err := ParseSpec(b[:i]); err == nil {
				// Where a list of options begins is the one place to stop.
				if plain := specs[name]; len(s.Layers) != len(plain.Layers) || reflect.DeepEqual(s, plain) {
					t.Errorf("%s: %d of %d bytes are taken", name, i, len(b))
				}
			}
		}
		if _, err := ParseSpec(append(b, 0)); err == nil {
			t.Errorf("%s: a trailing byte is taken", name)
		}
	}
}

// A layer's field of any tag comes back as it was; the numbers of tags never change.
func TestLayerTags(t *testing.T) {
	l := Layer{Kind: "x", Units: 1, Init: "i", Local: true, NoBias: true, Kernel: [2]int{2, 3}, Stride: [2]int{0, 4}, Padding: [2]int{5, 0}, Dilation: [2]int{6, 7},
		Groups: 8, Vocab: 9, Depth: 10, Last: true, Truncate: 11, Heads: 12, Causal: true, Slope: 0.5, Rate: 2, Epsilon: -4, Momentum: 8,
		Body: []Layer{{Kind: "b", Units: 1}}, Shortcut: []Layer{{Kind: "s"}}}
	v := reflect.ValueOf(l)
	for i := range v.NumField() {
		if v.Field(i).IsZero() {
			t.Fatalf("%s has no value here", v.Type().Field(i).Name)
		}
	}
	if got := v.NumField() - 1; got != len(layerTags) {
		t.Fatalf("%d fields beside the kind, %d tags", got, len(layerTags))
	}
	if got := len(l.set()); got != len(layerTags) {
		t.Fatalf("%d fields are set, %d tags", got, len(layerTags))
	}
	b := cryptobyte.NewBuilder(nil)
	addLayers(b, []Layer{l})
	const want = "0001" + "0178" + "73" + "0100000001" + "020169" + "03" + "04" + "050000000200000003" + "060000000000000004" + "070000000500000000" +
		"080000000600000007" + "0900000008" + "0a00000009" + "0b0000000a" + "0c" + "0d0000000b" + "0e0000000c" + "0f" + "103fe0000000000000" +
		"114000000000000000" + "12c010000000000000" + "134020000000000000" + "140001" + "150001" + "0162" + "05" + "0100000001" + "0173" + "00"
	got := b.BytesOrPanic()
	if hex.EncodeToString(got) != want {
		t.Fatalf("%x, want %s", got, want)
	}
	in, left := cryptobyte.String(got[2:]), 3
	if back, ok := readLayers(&in, 1, &left, 0); !ok || !reflect.DeepEqual(back, []Layer{l}) || !in.Empty() || left != 0 {
		t.Errorf("%+v", back)
	}
	in, left = cryptobyte.String(got[2:]), 2
	if _, ok := readLayers(&in, 1, &left, 0); ok {
		t.Error("more layers than may be")
	}
	for name, bad := range map[string]string{"NaN": "7ff8000000000001", "+Inf": "7ff0000000000000", "-Inf": "fff0000000000000", "−0": "8000000000000000", "0": "0000000000000000"} {
		raw, err := hex.DecodeString("0178" + "09" + "12" + bad)
		if err != nil {
			t.Fatal(err)
		}
		in, left = cryptobyte.String(raw), 1
		if _, ok := readLayers(&in, 1, &left, 0); ok {
			t.Errorf("a field of %s is read", name)
		}
	}
	in, left = bytes.Repeat([]byte{1, 'x', 3, 20, 0, 1}, MaxNesting+2), MaxLayers
	if _, ok := readLayers(&in, 1, &left, 0); ok || MaxLayers-left != MaxNesting+1 {
		t.Errorf("%d layers inside each other are read", MaxLayers-left)
	}
	b = cryptobyte.NewBuilder(nil)
	addLayers(b, []Layer{{Kind: "x", Truncate: -1}})
	if _, err := b.Bytes(); err == nil {
		t.Error("a negative number has bytes")
	}
}

func TestSpecBytesRefused(t *testing.T) {
	head := "01" + "00000002" + str8("cross_entropy") + "0001"
	body := head + str8("dense") + "05" + "0100000003"
	one, weights := "3ff0000000000000", "0200000003"+strings.Repeat("3ff0000000000000", 3)
	bce := "01" + "00000002" + str8("binary_cross_entropy") + "0001" + str8("dense") + "05" + "0100000001"
	huber := "01" + "00000002" + str8("huber") + "0001" + str8("dense") + "05" + "0100000001"
	leaf := str8("dense") + "05" + "0100000002"
	nested := func(n int) string {
		return "01" + "00000002" + str8("mse") + "0001" + strings.Repeat(str8("residual")+"03"+"140001", n) + leaf
	}
	for name, good := range map[string]string{"body": body, "weights": body + weights, "nested": nested(MaxNesting)} {
		raw, err := hex.DecodeString(good)
		if err != nil {
			t.Fatal(name, err)
		}
		if _, err := ParseSpec(raw); err != nil {
			t.Fatalf("%s is refused: %v", name, err)
		}
	}
	for name, bad := range map[string]string{
		"spec tag 0":                  body + "00",
		"spec tag unknown":            body + "05" + one,
		"spec tag twice":              body + "033fb999999999999a" + "033fb999999999999a",
		"spec tags falling":           body + "033fb999999999999a" + weights,
		"shape of no axes":            body + "0100",
		"shape cut":                   body + "0102" + "00000001",
		"shape of four axes":          body + "0104" + "00000001000000010000000100000002",
		"shape of other size":         body + "0102" + "0000000200000002",
		"shape axis 0":                body + "0102" + "0000000200000000",
		"shape axis beyond limit":     body + "0101" + "ffffffff",
		"weights of no class":         body + "0200000000",
		"weights cut":                 body + "0200000003" + one + one,
		"weights of 2^32 − 1 classes": body + "02ffffffff" + one,
		"weights of two of three":     body + "0200000002" + one + one,
		"weight NaN":                  body + "0200000003" + one + one + "7ff8000000000000",
		"weight infinite":             body + "0200000003" + one + one + "7ff0000000000000",
		"weight −0":                   body + "0200000003" + one + one + "8000000000000000",
		"weight 0":                    body + "0200000003" + one + one + "0000000000000000",
		"weight negative":             body + "0200000003" + one + one + "bff0000000000000",
		"smoothing 0 written":         body + "030000000000000000",
		"smoothing −0":                body + "038000000000000000",
		"smoothing 1":                 body + "03" + one,
		"smoothing NaN":               body + "037ff8000000000001",
		"smoothing cut":               body + "033fb9999999",
		"delta of an entropy":         body + "04" + one,
		"delta 0 written":             huber + "040000000000000000",
		"delta negative":              huber + "04bff0000000000000",
		"smoothing of huber":          huber + "033fb999999999999a",
		"three weights for binary":    bce + weights,
		"layer tag 0":                 head + str8("dense") + "06" + "00" + "0100000003",
		"layer tag beyond":            head + str8("dense") + "06" + "0100000003" + "16",
		"a field of another kind":     head + str8("dense") + "0a" + "0100000003" + "0900000001",
		"a pair of zeros":             head + str8("dense") + "0e" + "0100000003" + "050000000000000000",
		"a pair cut":                  head + str8("dense") + "0a" + "0100000003" + "0500000001",
		"a number beyond limit":       head + str8("dense") + "0a" + "0100000003" + "0901000001",
		"a rate NaN":                  head + str8("dropout") + "09" + "117ff8000000000000",
		"a rate −0":                   head + str8("dropout") + "09" + "118000000000000000",
		"a body of no layers":         head + str8("residual") + "03" + "140000",
		"a body that is not there":    head + str8("residual") + "03" + "140001",
		"a body of 65535 layers":      head + str8("residual") + "03" + "14ffff" + leaf,
		"a body of a dense":           head + str8("dense") + "08" + "0100000003" + "140001" + leaf,
		"a shortcut before its body":  head + str8("residual") + "06" + "150001" + "140001" + leaf + leaf,
		"nested too deep":             nested(MaxNesting + 1),
		"nested without end":          nested(10_000),
	} {
		raw, err := hex.DecodeString(bad)
		if err != nil {
			t.Fatal(name, err)
		}
		if s, err := ParseSpec(raw); err == nil || !reflect.DeepEqual(s, Spec{}) {
			t.Errorf("%s is taken: %+v, %v", name, s, err)
		}
	}
}

// Bytes that promise much take little memory.
func TestParseSpecMemory(t *testing.T) {
	head := "01" + "00000002" + str8("cross_entropy")
	for name, s := range map[string]string{
		"weights": head + "0001" + str8("dense") + "05" + "0100000003" + "02ffffffff" + strings.Repeat("3ff0000000000000", 10),
		"classes": head + "0001" + str8("dense") + "05" + "0100000003" + "0200800000" + strings.Repeat("3ff0000000000000", 10),
		"layers":  head + "ffff" + str8("dense") + "05" + "0100000003",
		"bodies":  head + "0400" + strings.Repeat(str8("residual")+"06"+"14ffff"+"15ffff", 5),
		"nothing": head + "0400" + strings.Repeat("0000", 1024),
	} {
		raw, err := hex.DecodeString(s)
		if err != nil {
			t.Fatal(name, err)
		}
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		if _, err := ParseSpec(raw); err == nil {
			t.Errorf("%s is taken", name)
		}
		runtime.ReadMemStats(&after)
		if n := after.TotalAlloc - before.TotalAlloc; n > 8<<20 {
			t.Errorf("%s: %d bytes of input take %d of memory", name, len(raw), n)
		}
	}
}

// Equal Specs, and only those, have equal bytes.
func TestSpecBytesDiffer(t *testing.T) {
	all := optionSpecs()
	for name, s := range specs() {
		all[name] = s
	}
	seen := map[string]string{}
	for name, s := range all {
		b, err := AppendSpec(nil, s)
		if err != nil {
			t.Fatal(name, err)
		}
		if other, ok := seen[string(b)]; ok && !reflect.DeepEqual(all[other], s) {
			t.Errorf("%s and %s have the same bytes", name, other)
		}
		seen[string(b)] = name
		if back, err := ParseSpec(b); err != nil || !reflect.DeepEqual(back, s) {
			t.Errorf("%s: %+v, %v", name, back, err)
		}
	}
}

func FuzzParseSpec(f *testing.F) {
	for _, all := range []map[string]Spec{specs(), optionSpecs()} {
		for _, s := range all {
			b, err := AppendSpec(nil, s)
			if err != nil {
				f.Fatal(err)
			}
			f.Add(b)
		}
	}
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, b []byte) {
		s, err := ParseSpec(b)
		if err != nil {
			if !reflect.DeepEqual(s, Spec{}) {
				t.Fatal("a Spec beside an error")
			}
			return
		}
		again, err := AppendSpec(nil, s)
		if err != nil || !bytes.Equal(again, b) {
			t.Fatalf("%x → %x (%v)", b, again, err)
		}
	})
}
