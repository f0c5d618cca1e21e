package nn

import (
	"reflect"
	"testing"
)

func TestDescribe(t *testing.T) {
	s := Spec{Inputs: 3, Loss: CrossEntropy, Layers: []Layer{
		{Kind: Dense, Units: 4},
		{Kind: Residual, Body: []Layer{{Kind: Dense, Units: 5, NoBias: true}, {Kind: ReLU}, {Kind: Dense, Units: 4}}},
		{Kind: Dense, Units: 2},
	}}
	got, err := s.Describe()
	if err != nil {
		t.Fatal(err)
	}
	want := []LayerInfo{
		{"0", Dense, []int{3}, []int{4}, 16, 0},
		{"1", Residual, []int{4}, []int{4}, 0, 0},
		{"1.body.0", Dense, []int{4}, []int{5}, 20, 1},
		{"1.body.1", ReLU, []int{5}, []int{5}, 0, 1},
		{"1.body.2", Dense, []int{5}, []int{4}, 24, 1},
		{"2", Dense, []int{4}, []int{2}, 10, 0},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v\nwant %+v", got, want)
	}
	sum := 0
	for _, l := range got {
		sum += l.Params
	}
	if sum != s.NumParams() {
		t.Errorf("the layers have %d parameters, the network %d", sum, s.NumParams())
	}
	s.Layers[1].Body = s.Layers[1].Body[:1]
	if _, err := s.Describe(); err == nil {
		t.Error("described shapes that do not fit")
	}
}
