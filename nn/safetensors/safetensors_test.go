package safetensors

import (
	"bytes"
	"encoding/binary"
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"
)

func sample(t testing.TB) []byte {
	b, err := Append(nil, []Tensor{
		{Name: "0.weight", Shape: []int{2, 3}, Data: []float32{1, 2, 3, 4, 5, 6}},
		{Name: "0.bias", Shape: []int{3}, Data: []float32{-1, 0, 1}},
		{Name: "scalar", Shape: []int{}, Data: []float32{7}},
		{Name: "counter", Shape: []int{}, Ints: []int64{-1 << 40}},
	}, map[string]string{"format": "tacit"})
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestRoundTrip(t *testing.T) {
	b := sample(t)
	if (len(b)-4*10-8)%8 != 0 {
		t.Error("the data is not aligned to eight bytes")
	}
	tensors, meta, err := Parse(b)
	if err != nil || meta["format"] != "tacit" || len(tensors) != 4 {
		t.Fatalf("%v %v %v", tensors, meta, err)
	}
	if tensors[0].Name != "0.weight" || !reflect.DeepEqual(tensors[1].Data, []float32{-1, 0, 1}) || tensors[3].Ints[0] != -1<<40 || tensors[3].Data != nil {
		t.Errorf("got %+v", tensors)
	}
	again, err := Append(nil, tensors, meta)
	if err != nil || !bytes.Equal(again, b) {
		t.Errorf("not the same bytes: %v", err)
	}
}

func TestReject(t *testing.T) {
	b := sample(t)
	for i := range b {
		if i < len(b)-48 {
			continue
		}
		if _, _, err := Parse(b[:i]); err == nil {
			t.Fatalf("cut at %d was accepted", i)
		}
	}
	for name, bad := range map[string][]byte{
		"trailing":   append(bytes.Clone(b), 0),
		"huge":       {255, 255, 255, 255, 255, 255, 255, 127},
		"not JSON":   {2, 0, 0, 0, 0, 0, 0, 0, '{', '{'},
		"other type": []byte(strings.Replace(string(b), "F32", "F64", 1)),
		"I64 as F32": []byte(strings.Replace(string(b), "I64", "F32", 1)),
		"F32 as I64": []byte(strings.Replace(string(b), "F32", "I64", 1)),
		"overlap":    []byte(strings.Replace(string(b), "[24,36]", "[20,32]", 1)),
	} {
		if _, _, err := Parse(bad); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	for _, bad := range [][]Tensor{
		{{Name: "a", Shape: []int{2}, Data: []float32{1}}},
		{{Name: "a", Shape: []int{1}, Data: []float32{1}, Ints: []int64{1}}},
		{{Name: "a", Shape: []int{1}, Ints: []int64{}}},
		{{Name: "", Shape: []int{1}, Data: []float32{1}}},
		{{Name: "a", Shape: []int{0}}, {Name: "a", Shape: []int{0}}},
		{{Name: "__metadata__", Shape: []int{0}}},
	} {
		if _, err := Append(nil, bad, nil); err == nil {
			t.Errorf("%+v was written", bad)
		}
	}
}

// TestHeaderIsStrict: a header says one thing, whoever reads it. The format forbids a key
// that stands twice, of which readers take the first or the last.
func TestHeaderIsStrict(t *testing.T) {
	const one = `"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}`
	file := func(header string) []byte {
		b := append(binary.LittleEndian.AppendUint64(nil, uint64(len(header))), header...)
		return append(b, 0, 0, 0, 0)
	}
	for _, good := range []string{
		"{" + one + "}", "{" + one + "}  ", `{"__metadata__":{},` + one + "}",
		`{"a" : { "shape":[ 1 ], "data_offsets":[0, 4], "dtype":"F32" } }`,
		`{"a":{"dtype":"F32","shape":[],"data_offsets":[0,4]}}`,
	} {
		if _, _, err := Parse(file(good)); err != nil {
			t.Errorf("%s: %v", good, err)
		}
	}
	for _, bad := range []string{
		"{" + one + "," + one + "}",
		"{" + one + `,"b":{"dtype":"F32","shape":[0],"data_offsets":[4,4]},"b":{"dtype":"I64","shape":[0],"data_offsets":[4,4]}}`,
		`{"__metadata__":{"layout":"torch"},"__metadata__":{"layout":"ours"},` + one + "}",
		`{"__metadata__":{"layout":"torch","layout":"ours"},` + one + "}",
		`{"__metadata__":null,` + one + "}",
		`{"__metadata__":{"epoch":1},` + one + "}",
		`{"a":{"dtype":"F32","shape":[1],"shape":[1],"data_offsets":[0,4]}}`,
		`{"a":{"dtype":"F32","data_offsets":[0,4]}}`,
		`{"a":{"dtype":"F32","shape":null,"data_offsets":[0,4]}}`,
		`{"a":{"dtype":"F32","shape":[1],"data_offsets":[null,4]}}`,
		`{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4,8]}}`,
		`{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4.0]}}`,
		`{"a":{"DTYPE":"F32","shape":[1],"data_offsets":[0,4]}}`,
		`{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4],"strides":[1]}}`,
		`{"a":{"dtype":"F32","shape":[[1]],"data_offsets":[0,4]}}`,
		`{"":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}`,
		" {" + one + "}", "{" + one + "}{}", "{" + one + "},", "{" + one, "{" + one + ",}", "[" + one + "]",
	} {
		if got, _, err := Parse(file(bad)); err == nil {
			t.Errorf("%s: read as %+v", bad, got)
		}
	}
	if _, _, err := Parse(file("null")[:12]); err == nil {
		t.Error("null was read as a file")
	}
}

// FuzzParse: what is read can be written, and is read as the same again.
func FuzzParse(f *testing.F) {
	f.Add(sample(f))
	f.Fuzz(func(t *testing.T, b []byte) {
		tensors, meta, err := Parse(b)
		if err != nil {
			return
		}
		again, err := Append(nil, tensors, meta)
		if err != nil {
			t.Fatal(err)
		}
		back, backMeta, err := Parse(again)
		if err != nil || len(back) != len(tensors) || !maps.Equal(meta, backMeta) {
			t.Fatalf("%v: %+v became %+v", err, tensors, back)
		}
		for i, x := range back {
			if y := tensors[i]; x.Name != y.Name || !slices.Equal(x.Shape, y.Shape) || len(x.Data) != len(y.Data) || !slices.Equal(x.Ints, y.Ints) {
				t.Errorf("%+v became %+v", y, x)
			}
		}
	})
}
