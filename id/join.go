package id

import (
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"net/url"
	"strings"

	"golang.org/x/crypto/cryptobyte"
)

// Token is a one-time right to ask for membership. It does not print in full.
type Token [16]byte

// String hides the token.
func (t Token) String() string { return "token(redacted)" }

// GoString hides the token.
func (t Token) GoString() string { return "token(redacted)" }

// Hash returns what the server keeps of the token.
func (t Token) Hash() Digest {
	return Sum[plainKind]("tacit-id1/token", t[:])
}

// JoinString is all that a branch needs to join: where the server is, a one-time
// token, and the digests that pin everything it will be told there.
type JoinString struct {
	URL     string // wss://host:port/…
	Org     string
	Site    string
	Token   Token
	TLS     Digest // SHA-256 of the server certificate's public key (SPKI); zero means the system's authorities decide
	Channel Digest // SHA-256 of the server's channel key
	Charter CharterHash
}

const joinPrefix = "tacit-join1-"

// Encode returns the string to hand over: "tacit-join1-", then base64url of the
// fields and four bytes of their digest, so that a typing error is noticed at once.
// It contains the token.
func (j *JoinString) Encode() string {
	b := cryptobyte.NewBuilder(nil)
	addString(b, j.URL)
	addString(b, j.Org)
	addString(b, j.Site)
	b.AddBytes(j.Token[:])
	b.AddBytes(j.TLS[:])
	b.AddBytes(j.Channel[:])
	b.AddBytes(j.Charter[:])
	raw := b.BytesOrPanic()
	sum := sha256.Sum256(raw)
	return joinPrefix + base64.RawURLEncoding.EncodeToString(append(raw, sum[:4]...))
}

// String hides the token.
func (j *JoinString) String() string { return joinPrefix + "(redacted)" }

// ErrJoinString is what a damaged joining string is answered.
var ErrJoinString = errors.New("id: not a joining string, or a part of it is missing; copy it whole")

// ParseJoinString reads what [JoinString.Encode] writes; surrounding white space
// is forgiven, nothing else.
func ParseJoinString(s string) (*JoinString, error) {
	s = strings.TrimSpace(s)
	if len(s) > 4096 || !strings.HasPrefix(s, joinPrefix) {
		return nil, ErrJoinString
	}
	raw, err := base64.RawURLEncoding.Strict().DecodeString(s[len(joinPrefix):])
	if err != nil || len(raw) < 4 {
		return nil, ErrJoinString
	}
	body, check := raw[:len(raw)-4], raw[len(raw)-4:]
	sum := sha256.Sum256(body)
	if string(sum[:4]) != string(check) {
		return nil, ErrJoinString
	}
	j := new(JoinString)
	c := cryptobyte.String(body)
	if !readString(&c, &j.URL) || !readName(&c, &j.Org) || !readName(&c, &j.Site) ||
		!c.CopyBytes(j.Token[:]) || !c.CopyBytes(j.TLS[:]) || !c.CopyBytes(j.Channel[:]) ||
		!c.CopyBytes(j.Charter[:]) || !c.Empty() {
		return nil, ErrJoinString
	}
	u, err := url.Parse(j.URL)
	if err != nil || u.Scheme != "wss" || u.Host == "" || u.User != nil || u.Fragment != "" {
		return nil, errors.New("id: the joining string names no wss:// server")
	}
	return j, nil
}
