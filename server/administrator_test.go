package server

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"tacit/id"
)

// proposer is a server that proposes what it likes.
type proposer struct {
	Control
	charter, roster, member []byte
	adopted                 []byte
}

func (p *proposer) Propose(context.Context, string, string) (charter, roster, member []byte, err error) {
	return p.charter, p.roster, p.member, nil
}

func (p *proposer) Adopt(_ context.Context, roster []byte) error {
	p.adopted = roster
	return nil
}

func seeded(b byte) *id.PrivateKey {
	var seed [id.SeedSize]byte
	seed[0] = b
	return id.NewPrivateKey(seed)
}

// TestApproveSignsOnlyWhatWasCompared: an approval brings in exactly the entry whose
// fingerprint was compared, under the charter that the key file pins, on top of the
// roster that it knows.
func TestApproveSignsOnlyWhatWasCompared(t *testing.T) {
	key, stranger := seeded(1), seeded(2)
	charter := &id.Charter{
		Federation: id.FederationID{1}, Version: 1, Name: "test", Administrators: []id.PublicKey{key.Public()}, Threshold: 1,
		Server: seeded(3).Public(), LogKey: "log", MinCohort: 5, MaxOrgShare: 100, RoundsPerEpoch: 1, EpochsPerDay: 1,
	}
	if err := charter.Sign(key); err != nil {
		t.Fatal(err)
	}
	site := func(name string, b byte) id.Member {
		return id.Member{Org: name, Site: name, Key: seeded(b).Public(), NotBefore: 1, NotAfter: 2}
	}
	roster := func(c *id.Charter, signer *id.PrivateKey, members ...id.Member) *id.Roster {
		r := &id.Roster{Federation: c.Federation}
		for _, m := range members {
			var err error
			if r, err = r.With(m); err != nil {
				t.Fatal(err)
			}
		}
		if err := r.Sign(c, signer); err != nil {
			t.Fatal(err)
		}
		return r
	}
	north, south, sybil, east := site("north", 10), site("south", 11), site("sybil", 12), site("east", 13)
	path := filepath.Join(t.TempDir(), "admin-key.txt")
	fresh := func() *Administrator {
		return &Administrator{Key: key, Charter: charter.Hash(), path: path}
	}
	approve := func(a *Administrator, p *proposer, name string, m id.Member) error {
		return a.Approve(t.Context(), p, name, m.Key.Fingerprint())
	}

	a := fresh()
	p := &proposer{charter: charter.AppendBinary(nil), member: north.AppendBinary(nil)}
	if err := approve(a, p, "north", north); err != nil {
		t.Fatal(err)
	}
	first, err := id.ParseRoster(p.adopted)
	if err != nil || first.Verify(charter) != nil || len(first.Members) != 1 {
		t.Fatalf("adopted %v, %v", first, err)
	}
	p.roster, p.member = p.adopted, south.AppendBinary(nil)
	if a, err = ReadAdministrator(path); err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the key file's mode is %v, %v", info.Mode(), err)
	}
	if err := approve(a, p, "south", south); err != nil {
		t.Fatal(err)
	}
	second, err := id.ParseRoster(p.adopted)
	if err != nil || len(second.Members) != 2 || second.Previous != first.Hash() {
		t.Fatalf("adopted %v, %v", second, err)
	}

	forged := *charter
	forged.Administrators = append([]id.PublicKey{stranger.Public()}, charter.Administrators...)
	forged.Signatures = nil
	for _, k := range []*id.PrivateKey{stranger, key} {
		if err := forged.Sign(k); err != nil {
			t.Fatal(err)
		}
	}
	unsigned := roster(charter, key, north, sybil)
	unsigned.Signatures = nil
	for name, c := range map[string]struct {
		p    *proposer
		want string
	}{
		"a charter with another administrator": {&proposer{charter: forged.AppendBinary(nil), roster: roster(&forged, stranger, north, sybil).AppendBinary(nil), member: south.AppendBinary(nil)}, "this key file is for charter"},
		"a roster that nobody signed":          {&proposer{charter: p.charter, roster: unsigned.AppendBinary(nil), member: south.AppendBinary(nil)}, "signatures"},
		"an older roster":                      {&proposer{charter: p.charter, roster: first.AppendBinary(nil), member: south.AppendBinary(nil)}, "rolled back"},
		"another roster of the same version":   {&proposer{charter: p.charter, roster: roster(charter, key, north, sybil).AppendBinary(nil), member: east.AppendBinary(nil)}, "two rosters"},
		"another branch's entry":               {&proposer{charter: p.charter, roster: second.AppendBinary(nil), member: sybil.AppendBinary(nil)}, "does not have the fingerprint"},
		"a damaged entry":                      {&proposer{charter: p.charter, roster: second.AppendBinary(nil), member: []byte("x")}, "member"},
	} {
		a, err := ReadAdministrator(path)
		if err != nil {
			t.Fatal(err)
		}
		err = approve(a, c.p, "south", south)
		if err == nil || !strings.Contains(err.Error(), c.want) || c.p.adopted != nil {
			t.Errorf("%s: %v, want %q and nothing signed", name, err, c.want)
		}
	}
}

func TestAdministratorFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "admin-key.txt")
	a := &Administrator{Key: seeded(1), Charter: id.CharterHash{1}, version: 3, roster: id.RosterHash{2}, path: path}
	if err := a.write(); err != nil {
		t.Fatal(err)
	}
	b, err := ReadAdministrator(path)
	if err != nil || b.Charter != a.Charter || b.version != 3 || b.roster != a.roster || b.Key.Seed() != a.Key.Seed() {
		t.Fatalf("%+v, %v", b, err)
	}
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for name, bad := range map[string]string{
		"empty": "", "no charter": strings.Replace(string(raw), "charter ", "# charter ", 1), "no key": strings.Replace(string(raw), "tacit-admin-key-1", "#", 1),
		"short key": strings.Replace(string(raw), "tacit-admin-key-1 ", "tacit-admin-key-1 0", 1), "unknown line": string(raw) + "hello\n",
	} {
		if err := os.WriteFile(path, []byte(bad), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := ReadAdministrator(path); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	if _, err := ReadAdministrator(path + "x"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a missing file: %v", err)
	}
}
