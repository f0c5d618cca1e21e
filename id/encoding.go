package id

import (
	"errors"
	"fmt"
	"unicode"
	"unicode/utf8"

	"golang.org/x/crypto/cryptobyte"
)

// MaxName is the longest name of an organisation, site, federation or model
// family, in bytes.
const MaxName = 100

// CheckName reports why s cannot name anything: a name has 1 to [MaxName] bytes of
// printable UTF-8 and no space at either end.
func CheckName(s string) error {
	switch {
	case s == "":
		return errors.New("the name is empty")
	case len(s) > MaxName:
		return fmt.Errorf("the name has %d bytes, at most %d are allowed", len(s), MaxName)
	case !utf8.ValidString(s):
		return errors.New("the name is not UTF-8")
	case s[0] == ' ' || s[len(s)-1] == ' ':
		return fmt.Errorf("the name %q begins or ends with a space", s)
	}
	for _, r := range s {
		if !unicode.IsPrint(r) {
			return fmt.Errorf("the name %q has an unprintable character", s)
		}
	}
	return nil
}

func addString(b *cryptobyte.Builder, s string) {
	b.AddUint16LengthPrefixed(func(c *cryptobyte.Builder) { c.AddBytes([]byte(s)) })
}

func readString(s *cryptobyte.String, out *string) bool {
	var v cryptobyte.String
	if !s.ReadUint16LengthPrefixed(&v) {
		return false
	}
	*out = string(v)
	return true
}

func readName(s *cryptobyte.String, out *string) bool {
	return readString(s, out) && CheckName(*out) == nil
}

func readKey(s *cryptobyte.String, out *PublicKey) bool {
	var raw []byte
	if !s.ReadBytes(&raw, PublicKeySize) {
		return false
	}
	key, err := ParsePublicKey(raw)
	*out = key
	return err == nil
}

func readBool(s *cryptobyte.String, out *bool) bool {
	var v uint8
	if !s.ReadUint8(&v) || v > 1 {
		return false
	}
	*out = v == 1
	return true
}

func addBool(b *cryptobyte.Builder, v bool) {
	if v {
		b.AddUint8(1)
	} else {
		b.AddUint8(0)
	}
}

// AdminSignature is one administrator's hybrid signature of a document.
type AdminSignature struct {
	Administrator int // index into Charter.Administrators
	Signature     []byte
}

func addSignatures(b *cryptobyte.Builder, sigs []AdminSignature) {
	b.AddUint8(uint8(len(sigs)))
	for _, s := range sigs {
		b.AddUint8(uint8(s.Administrator))
		b.AddBytes(s.Signature)
	}
}

// readSignatures reads signatures in strictly ascending order of administrator,
// so that a set of signatures has one encoding.
func readSignatures(s *cryptobyte.String, out *[]AdminSignature) bool {
	var n uint8
	if !s.ReadUint8(&n) {
		return false
	}
	last := -1
	for range n {
		var who uint8
		var raw []byte
		if !s.ReadUint8(&who) || int(who) <= last || !s.ReadBytes(&raw, HybridSignatureSize) {
			return false
		}
		last = int(who)
		*out = append(*out, AdminSignature{Administrator: int(who), Signature: append([]byte(nil), raw...)})
	}
	return true
}

// verifySignatures checks that at least threshold administrators signed body, and
// that every signature present verifies.
func verifySignatures(admins []PublicKey, threshold int, l Label, body []byte, sigs []AdminSignature) error {
	last := -1
	for _, s := range sigs {
		if s.Administrator <= last || s.Administrator >= len(admins) {
			return fmt.Errorf("administrator %d is out of order or unknown", s.Administrator)
		}
		last = s.Administrator
		if err := admins[s.Administrator].VerifyHybrid(l, body, s.Signature); err != nil {
			return fmt.Errorf("administrator %d: %w", s.Administrator, err)
		}
	}
	if len(sigs) < threshold {
		return fmt.Errorf("%d of the %d administrators' signatures that the charter asks for", len(sigs), threshold)
	}
	return nil
}
