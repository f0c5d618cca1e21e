package id

import (
	"errors"
	"fmt"

	"golang.org/x/crypto/cryptobyte"
)

// Limits of a charter.
const (
	MaxAdministrators = 16
	MaxFamilies       = 64
	MaxCharterBytes   = 128 << 10
)

// Charter is a federation's rules, signed by its administrators. Agents pin its
// hash when they join and refuse whatever violates it; the server cannot change it.
type Charter struct {
	Federation     FederationID
	Version        uint32 // rises with every change; 1 first
	Name           string
	Administrators []PublicKey // 1 to MaxAdministrators, no key twice
	Threshold      int         // m of the m-of-n administrators who must sign

	Server  PublicKey // the server's signing key
	Channel Digest    // SHA-256 of the server's channel key (X-Wing)
	LogKey  string    // the log's verifier key, in the note format

	MinCohort      uint32 // n_min: smallest cohort; default 5, floor 3
	MinRelease     uint32 // U_min: smallest release set; 0 means the default of SEAMS, "Small cohorts"
	AllowSmall     bool   // cohorts below 5 are allowed
	AssumedCorrupt uint32 // agents that privacy must survive, of the one cohort or, where there are several, of all; 0 means what the cohort tolerates
	MaxAbsent      uint32 // δ_e: percentage of the enrolled that an epoch may leave out
	MaxOrgShare    uint32 // largest percentage of a cohort that one organisation may hold; 100 means no cap

	ModelFamilies    []string // families that plans may use, ascending; empty means any
	RoundsPerEpoch   uint32   // attempts before an epoch must be renewed
	EpochsPerDay     uint32   // epochs that may be tried in a day
	MaxEpsilonMicro  uint64   // cap of ε per plan, in millionths; 0 means no cap
	YearEpsilonMicro uint64   // cap of ε per year, in millionths; 0 means no cap

	Signatures []AdminSignature // ascending by administrator
}

const charterVersion = 1

// Validate reports the first reason why c can govern no federation. It does not
// look at signatures: see [Charter.Verify].
func (c *Charter) Validate() error {
	switch {
	case c.Federation.IsZero():
		return errors.New("id: charter: the federation has no id")
	case c.Version == 0:
		return errors.New("id: charter: versions begin at 1")
	case len(c.Administrators) == 0 || len(c.Administrators) > MaxAdministrators:
		return fmt.Errorf("id: charter: %d administrators, want 1 to %d", len(c.Administrators), MaxAdministrators)
	case c.Threshold < 1 || c.Threshold > len(c.Administrators):
		return fmt.Errorf("id: charter: threshold %d of %d administrators", c.Threshold, len(c.Administrators))
	case c.Server.IsZero():
		return errors.New("id: charter: no server key")
	case c.MinCohort < 3:
		return fmt.Errorf("id: charter: min_cohort %d: three branches are the fewest whose sum hides each one", c.MinCohort)
	case c.MinCohort < 5 && !c.AllowSmall:
		return fmt.Errorf("id: charter: min_cohort %d is below 5: say allow_small to accept it", c.MinCohort)
	case c.MinRelease != 0 && (c.MinRelease < 3 || c.MinRelease > 1<<20):
		return fmt.Errorf("id: charter: min_release %d, want at least 3", c.MinRelease)
	case c.MaxAbsent > 99:
		return fmt.Errorf("id: charter: max_absent %d %%, want 0 to 99", c.MaxAbsent)
	case c.MaxOrgShare < 1 || c.MaxOrgShare > 100:
		return fmt.Errorf("id: charter: max_org_share %d %%, want 1 to 100", c.MaxOrgShare)
	case c.RoundsPerEpoch < 1 || c.EpochsPerDay < 1:
		return errors.New("id: charter: rounds_per_epoch and epochs_per_day must be positive")
	case len(c.ModelFamilies) > MaxFamilies:
		return fmt.Errorf("id: charter: %d model families, at most %d", len(c.ModelFamilies), MaxFamilies)
	case len(c.LogKey) == 0 || len(c.LogKey) > 500:
		return errors.New("id: charter: the log's verifier key is missing or too long")
	}
	if err := CheckName(c.Name); err != nil {
		return fmt.Errorf("id: charter: %w", err)
	}
	for i, a := range c.Administrators {
		for j := range i {
			if a.Equal(&c.Administrators[j]) {
				return fmt.Errorf("id: charter: administrators %d and %d are one key", j, i)
			}
		}
	}
	for i, f := range c.ModelFamilies {
		if err := CheckName(f); err != nil {
			return fmt.Errorf("id: charter: model family: %w", err)
		}
		if i > 0 && f <= c.ModelFamilies[i-1] {
			return fmt.Errorf("id: charter: model families are not ascending at %q", f)
		}
	}
	return nil
}

// AllowsFamily reports whether plans may use the model family.
func (c *Charter) AllowsFamily(family string) bool {
	if len(c.ModelFamilies) == 0 {
		return true
	}
	for _, f := range c.ModelFamilies {
		if f == family {
			return true
		}
	}
	return false
}

// body is what administrators sign.
func (c *Charter) body() []byte {
	b := cryptobyte.NewBuilder(nil)
	b.AddBytes([]byte("tacit charter"))
	b.AddUint8(charterVersion)
	b.AddBytes(c.Federation[:])
	b.AddUint32(c.Version)
	addString(b, c.Name)
	b.AddUint8(uint8(len(c.Administrators)))
	for i := range c.Administrators {
		b.AddBytes(c.Administrators[i].AppendBinary(nil))
	}
	b.AddUint8(uint8(c.Threshold))
	b.AddBytes(c.Server.AppendBinary(nil))
	b.AddBytes(c.Channel[:])
	addString(b, c.LogKey)
	b.AddUint32(c.MinCohort)
	b.AddUint32(c.MinRelease)
	addBool(b, c.AllowSmall)
	b.AddUint32(c.AssumedCorrupt)
	b.AddUint32(c.MaxAbsent)
	b.AddUint32(c.MaxOrgShare)
	b.AddUint8(uint8(len(c.ModelFamilies)))
	for _, f := range c.ModelFamilies {
		addString(b, f)
	}
	b.AddUint32(c.RoundsPerEpoch)
	b.AddUint32(c.EpochsPerDay)
	b.AddUint64(c.MaxEpsilonMicro)
	b.AddUint64(c.YearEpsilonMicro)
	return b.BytesOrPanic()
}

// Hash returns the digest of the charter's body.
func (c *Charter) Hash() CharterHash { return Sum[charterKind]("tacit-id1/charter", c.body()) }

// Sign adds, or replaces, the signature of administrator key.
func (c *Charter) Sign(key *PrivateKey) error {
	return addSignature(c.Administrators, key, LabelCharter, c.body(), &c.Signatures)
}

// Verify checks the rules of [Charter.Validate] and that at least Threshold
// administrators signed.
func (c *Charter) Verify() error {
	if err := c.Validate(); err != nil {
		return err
	}
	if err := verifySignatures(c.Administrators, c.Threshold, LabelCharter, c.body(), c.Signatures); err != nil {
		return fmt.Errorf("id: charter: %w", err)
	}
	return nil
}

// AppendBinary appends the canonical bytes of c: its body, then its signatures.
func (c *Charter) AppendBinary(b []byte) []byte {
	w := cryptobyte.NewBuilder(b)
	w.AddBytes(c.body())
	addSignatures(w, c.Signatures)
	return w.BytesOrPanic()
}

// ParseCharter reads exactly the bytes that [Charter.AppendBinary] writes and
// checks the rules of [Charter.Validate], not the signatures.
func ParseCharter(b []byte) (*Charter, error) {
	if len(b) > MaxCharterBytes {
		return nil, fmt.Errorf("id: charter: %d bytes, at most %d", len(b), MaxCharterBytes)
	}
	s := cryptobyte.String(b)
	c := new(Charter)
	var version, admins, threshold, families uint8
	ok := readMagic(&s, "tacit charter") && s.ReadUint8(&version)
	if !ok {
		return nil, errors.New("id: not a charter")
	}
	if version != charterVersion {
		return nil, fmt.Errorf("id: charter: format %d; this build reads %d", version, charterVersion)
	}
	ok = s.CopyBytes(c.Federation[:]) && s.ReadUint32(&c.Version) && readName(&s, &c.Name) && s.ReadUint8(&admins)
	for i := 0; ok && i < int(admins); i++ {
		var k PublicKey
		ok = readKey(&s, &k)
		c.Administrators = append(c.Administrators, k)
	}
	ok = ok && s.ReadUint8(&threshold) && readKey(&s, &c.Server) && s.CopyBytes(c.Channel[:]) &&
		readString(&s, &c.LogKey) && s.ReadUint32(&c.MinCohort) && s.ReadUint32(&c.MinRelease) &&
		readBool(&s, &c.AllowSmall) && s.ReadUint32(&c.AssumedCorrupt) && s.ReadUint32(&c.MaxAbsent) &&
		s.ReadUint32(&c.MaxOrgShare) && s.ReadUint8(&families)
	for i := 0; ok && i < int(families); i++ {
		var f string
		ok = readName(&s, &f)
		c.ModelFamilies = append(c.ModelFamilies, f)
	}
	ok = ok && s.ReadUint32(&c.RoundsPerEpoch) && s.ReadUint32(&c.EpochsPerDay) &&
		s.ReadUint64(&c.MaxEpsilonMicro) && s.ReadUint64(&c.YearEpsilonMicro) &&
		readSignatures(&s, &c.Signatures)
	if !ok || !s.Empty() {
		return nil, errors.New("id: charter: truncated, too long or not canonical")
	}
	c.Threshold = int(threshold)
	if err := c.Validate(); err != nil {
		return nil, err
	}
	return c, nil
}

func readMagic(s *cryptobyte.String, magic string) bool {
	var b []byte
	return s.ReadBytes(&b, len(magic)) && string(b) == magic
}

// addSignature signs body with key, which must be one of admins, and keeps sigs
// ascending.
func addSignature(admins []PublicKey, key *PrivateKey, l Label, body []byte, sigs *[]AdminSignature) error {
	who := -1
	for i := range admins {
		if admins[i].Equal(&key.public) {
			who = i
		}
	}
	if who < 0 {
		return fmt.Errorf("id: key %s is no administrator of this federation", key.public.Fingerprint())
	}
	out := make([]AdminSignature, 0, len(*sigs)+1)
	mine := AdminSignature{Administrator: who, Signature: key.SignHybrid(l, body)}
	placed := false
	for _, s := range *sigs {
		if !placed && s.Administrator >= who {
			out = append(out, mine)
			placed = true
		}
		if s.Administrator != who {
			out = append(out, s)
		}
	}
	if !placed {
		out = append(out, mine)
	}
	*sigs = out
	return nil
}
