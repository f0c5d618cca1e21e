package nearest

import (
	"strings"
	"testing"
)

func TestName(t *testing.T) {
	known := []string{"relu", "gelu", "dense", "group_norm", "layer_norm"}
	for word, want := range map[string]string{
		"relo": "relu", "RELU": "relu", "dnese": "dense", "layernorm": "layer_norm", "group-norm": "group_norm",
		"": "", "convolution": "", "x": "", "dense": "dense", strings.Repeat("dense", 1000): "",
	} {
		if got := Name(word, known); got != want {
			t.Errorf("%q is near %q, want %q", word, got, want)
		}
	}
}
