package secureagg

import (
	"math/rand/v2"
	"testing"

	"golang.org/x/mod/sumdb/tlog"
)

// TestMerkleRootHasRFC6962Shape compares with tlog, whose node hash is the same; the
// leaves are given.
func TestMerkleRootHasRFC6962Shape(t *testing.T) {
	var stored []tlog.Hash
	read := tlog.HashReaderFunc(func(ix []int64) ([]tlog.Hash, error) {
		var out []tlog.Hash
		for _, i := range ix {
			out = append(out, stored[i])
		}
		return out, nil
	})
	var leaves []digest
	for n := 1; n <= 130; n++ {
		leaf := leafHash("test", []byte{byte(n)})
		leaves = append(leaves, leaf)
		h, err := tlog.StoredHashesForRecordHash(int64(n-1), tlog.Hash(leaf), read)
		if err != nil {
			t.Fatal(err)
		}
		stored = append(stored, h...)
		want, err := tlog.TreeHash(int64(n), read)
		if err != nil {
			t.Fatal(err)
		}
		if got := merkleRoot(leaves); got != digest(want) {
			t.Fatalf("the root of %d leaves differs from RFC 6962", n)
		}
	}
}

func TestMerkleProofs(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	for n := 1; n <= MaxMembers; n++ {
		leaves := make([]digest, n)
		for i := range leaves {
			leaves[i] = digest{byte(i), byte(n)}
		}
		root := merkleRoot(leaves)
		var want bitmap
		for want.count() == 0 {
			for i := range n {
				if r.IntN(4) == 0 {
					want.add(i)
				}
			}
		}
		proof := appendProof(nil, leaves, &want)
		if len(proof) != proofSize(n, &want) {
			t.Fatalf("a proof of %d digests, said %d", len(proof), proofSize(n, &want))
		}
		leaf := func(i int) digest { return leaves[i] }
		if got, ok := rootFromProof(n, &want, leaf, proof); !ok || got != root {
			t.Fatalf("n = %d: a good proof fails", n)
		}
		bad := want.members()[0]
		if got, _ := rootFromProof(n, &want, func(i int) digest {
			if i == bad {
				return digest{99}
			}
			return leaves[i]
		}, proof); got == root {
			t.Fatalf("n = %d: another leaf has the same root", n)
		}
		if _, ok := rootFromProof(n, &want, leaf, append(proof, digest{})); ok {
			t.Fatal("a longer proof is accepted")
		}
		if len(proof) > 0 {
			if _, ok := rootFromProof(n, &want, leaf, proof[1:]); ok {
				t.Fatal("a shorter proof is accepted")
			}
			proof[0][0] ^= 1
			if got, _ := rootFromProof(n, &want, leaf, proof); got == root {
				t.Fatal("a damaged proof is accepted")
			}
		}
	}
	if leafHash("a", []byte("bc")) == leafHash("ab", []byte("c")) {
		t.Error("labels run into the data")
	}
}
