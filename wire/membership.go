package wire

import (
	"errors"
	"fmt"

	"golang.org/x/crypto/cryptobyte"

	"tacit/id"
)

// Join asks for membership with a one-time token and proves possession of the keys
// that it brings. It is idempotent: the same token with the same keys is answered
// with the current [JoinStatus] again.
type Join struct {
	Token      id.Token `cbor:"token"`
	Org        string   `cbor:"org"`
	Site       string   `cbor:"site"`
	PublicKey  []byte   `cbor:"public_key"` // id.PublicKey, 1984 bytes
	NotAfter   int64    `cbor:"not_after"`  // the validity asked for, Unix seconds; 0 leaves it to the administrator
	Software   string   `cbor:"software"`
	Possession []byte   `cbor:"possession"` // hybrid, id.LabelJoin, over the channel's binding and all of the above
}

// Kind returns [KindJoin].
func (*Join) Kind() Kind { return KindJoin }

func (j *Join) check() error {
	if err := id.CheckName(j.Org); err != nil {
		return fmt.Errorf("org: %w", err)
	}
	if err := id.CheckName(j.Site); err != nil {
		return fmt.Errorf("site: %w", err)
	}
	if j.NotAfter < 0 {
		return errors.New("not_after is negative")
	}
	return errors.Join(
		checkSize("public_key", j.PublicKey, id.PublicKeySize),
		checkText("software", j.Software, maxSoftware),
		checkSize("possession", j.Possession, id.HybridSignatureSize))
}

// body is what Possession signs: binding ‖ token ‖ org ‖ site ‖ key ‖ not_after ‖
// software, texts behind a 16-bit length.
func (j *Join) body(binding [32]byte) []byte {
	b := cryptobyte.NewBuilder(nil)
	b.AddBytes(binding[:])
	b.AddBytes(j.Token[:])
	addText(b, j.Org)
	addText(b, j.Site)
	b.AddBytes(j.PublicKey)
	b.AddUint64(uint64(j.NotAfter))
	addText(b, j.Software)
	return b.BytesOrPanic()
}

// Sign fills PublicKey and Possession for the channel with the given binding.
func (j *Join) Sign(key *id.PrivateKey, binding [32]byte) {
	pub := key.Public()
	j.PublicKey = pub.AppendBinary(nil)
	j.Possession = key.SignHybrid(id.LabelJoin, j.body(binding))
}

// Verify checks Possession and returns the key that it proves.
func (j *Join) Verify(binding [32]byte) (id.PublicKey, error) {
	pub, err := id.ParsePublicKey(j.PublicKey)
	if err != nil {
		return id.PublicKey{}, err
	}
	if err := pub.VerifyHybrid(id.LabelJoin, j.body(binding), j.Possession); err != nil {
		return id.PublicKey{}, err
	}
	return pub, nil
}

func addText(b *cryptobyte.Builder, s string) {
	b.AddUint16LengthPrefixed(func(c *cryptobyte.Builder) { c.AddBytes([]byte(s)) })
}

// JoinStatus answers [Join], and again whenever the answer changes. After
// approved, the agent sends [Auth], on this channel or a later one.
type JoinStatus struct {
	State       JoinState  `cbor:"state"`
	Agent       id.AgentID `cbor:"agent"`
	Fingerprint string     `cbor:"fingerprint"` // of the agent's key, for the two people to compare
	Reason      string     `cbor:"reason"`
}

// Kind returns [KindJoinStatus].
func (*JoinStatus) Kind() Kind { return KindJoinStatus }

func (s *JoinStatus) check() error {
	return errors.Join(s.State.check(),
		checkText("fingerprint", s.Fingerprint, maxSoftware),
		checkText("reason", s.Reason, maxText))
}

// Auth says which member holds this channel and how much of the log it has seen.
type Auth struct {
	Agent     id.AgentID `cbor:"agent"`
	TreeSize  uint64     `cbor:"tree_size"` // of the last checkpoint it verified; 0 for none
	Software  string     `cbor:"software"`
	Signature []byte     `cbor:"signature"` // Ed25519, id.LabelAuth, over the channel's binding and all of the above
}

// Kind returns [KindAuth].
func (*Auth) Kind() Kind { return KindAuth }

func (a *Auth) check() error {
	return errors.Join(checkText("software", a.Software, maxSoftware),
		checkSize("signature", a.Signature, id.SignatureSize))
}

// body is what Signature signs: binding ‖ agent ‖ tree_size ‖ software.
func (a *Auth) body(binding [32]byte) []byte {
	b := cryptobyte.NewBuilder(nil)
	b.AddBytes(binding[:])
	b.AddBytes(a.Agent[:])
	b.AddUint64(a.TreeSize)
	addText(b, a.Software)
	return b.BytesOrPanic()
}

// Sign fills Agent and Signature for the channel with the given binding.
func (a *Auth) Sign(key *id.PrivateKey, binding [32]byte) {
	pub := key.Public()
	a.Agent = pub.AgentID()
	a.Signature = key.Sign(id.LabelAuth, a.body(binding))
}

// Verify checks that pub, the roster's key of a.Agent, signed a for this channel.
func (a *Auth) Verify(pub id.PublicKey, binding [32]byte) error {
	if pub.AgentID() != a.Agent {
		return id.ErrSignature
	}
	return pub.Verify(id.LabelAuth, a.body(binding), a.Signature)
}

// Welcome admits an agent. It opens the channel to all other kinds.
type Welcome struct {
	Software   string          `cbor:"software"`
	Federation id.FederationID `cbor:"federation"`
	Charter    []byte          `cbor:"charter"`    // id.Charter
	Roster     []byte          `cbor:"roster"`     // id.Roster, signed by administrators
	ServerKey  []byte          `cbor:"server_key"` // id.PublicKey, 1984 bytes
	LogKey     string          `cbor:"log_key"`    // C2SP note verifier key
	Proof      Proof           `cbor:"proof"`      // the newest checkpoint, consistent with Auth.TreeSize
}

// Kind returns [KindWelcome].
func (*Welcome) Kind() Kind { return KindWelcome }

func (w *Welcome) check() error {
	return errors.Join(checkText("software", w.Software, maxSoftware),
		checkSize("server_key", w.ServerKey, id.PublicKeySize),
		checkText("log_key", w.LogKey, maxText),
		w.Proof.check())
}
