package vault

import (
	"bytes"
	"testing"

	"tacit/id"
)

func BenchmarkSealModel40MB(b *testing.B) {
	dir := b.TempDir()
	v, err := Create(dir, fastPassphrase("x"))
	if err != nil {
		b.Fatal(err)
	}
	record := bytes.Repeat([]byte("weights!"), 5<<20)
	b.SetBytes(int64(len(record)))
	for b.Loop() {
		m, err := v.SealModel(id.ModelHash{1}, record)
		if err != nil {
			b.Fatal(err)
		}
		if _, err := v.OpenModel(id.ModelHash{1}, m.File, m.Wrapped); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkJournal(b *testing.B) {
	for name, value := range map[string][]byte{"small": make([]byte, 200), "large40MB": make([]byte, 40<<20)} {
		b.Run(name, func(b *testing.B) {
			dir := b.TempDir()
			v, err := Create(dir, fastPassphrase("x"))
			if err != nil {
				b.Fatal(err)
			}
			j := openJournal(b, v, dir+"/j")
			defer j.Close()
			b.SetBytes(int64(len(value)))
			for b.Loop() {
				if err := j.Put("k", value); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
