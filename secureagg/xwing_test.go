package secureagg

import (
	"bytes"
	"crypto/hkdf"
	"crypto/hpke"
	"crypto/sha256"
	"encoding/binary"
	"testing"

	"github.com/cloudflare/circl/kem/xwing"
)

// exporter is HPKE's key schedule (RFC 9180, section 5.1, base mode) down to an
// export, so that two implementations of the KEM can be compared through crypto/hpke,
// which keeps the shared secret to itself.
func exporter(t *testing.T, shared, info []byte, context string) []byte {
	suite := append([]byte("HPKE"), 0x64, 0x7a, 0, 1, 0, 2) // X-Wing, HKDF-SHA256, AES-256-GCM
	labeled := func(prefix []byte, label string, in []byte) []byte {
		return bytes.Join([][]byte{prefix, []byte("HPKE-v1"), suite, []byte(label), in}, nil)
	}
	extract := func(salt []byte, label string, ikm []byte) []byte {
		b, err := hkdf.Extract(sha256.New, labeled(nil, label, ikm), salt)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	expand := func(prk []byte, label string, in []byte, n int) []byte {
		var size [2]byte
		binary.BigEndian.PutUint16(size[:], uint16(n))
		b, err := hkdf.Expand(sha256.New, prk, string(labeled(size[:], label, in)), n)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	ks := append([]byte{0}, extract(nil, "psk_id_hash", nil)...)
	ks = append(ks, extract(nil, "info_hash", info)...)
	return expand(expand(extract(shared, "secret", nil), "exp", ks, 32), "sec", []byte(context), 32)
}

func TestXWingAgreesWithCryptoHPKE(t *testing.T) {
	for i := range 5 {
		seed := bytes.Repeat([]byte{byte(i + 1)}, 32)
		sk, pk := xwing.DeriveKeyPairPacked(seed)
		theirs, err := hpke.MLKEM768X25519().NewPrivateKey(seed)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(theirs.PublicKey().Bytes(), pk) {
			t.Fatal("one seed gives two public keys")
		}
		info := []byte("info")

		// CIRCL encapsulates, crypto/hpke decapsulates.
		ss, ct, err := xwing.Encapsulate(pk, bytes.Repeat([]byte{byte(i)}, xwing.EncapsulationSeedSize))
		if err != nil {
			t.Fatal(err)
		}
		r, err := hpke.NewRecipient(ct, theirs, hpke.HKDFSHA256(), hpke.AES256GCM(), info)
		if err != nil {
			t.Fatal(err)
		}
		got, err := r.Export("x", 32)
		if err != nil || !bytes.Equal(got, exporter(t, ss, info, "x")) {
			t.Fatalf("crypto/hpke opens CIRCL's ciphertext to another secret (%v)", err)
		}

		// And the other way round.
		enc, s, err := hpke.NewSender(theirs.PublicKey(), hpke.HKDFSHA256(), hpke.AES256GCM(), info)
		if err != nil {
			t.Fatal(err)
		}
		want, err := s.Export("x", 32)
		if err != nil || !bytes.Equal(want, exporter(t, xwing.Decapsulate(enc, sk), info, "x")) {
			t.Fatalf("CIRCL opens crypto/hpke's ciphertext to another secret (%v)", err)
		}
	}
}
