package id

import (
	"bytes"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	"golang.org/x/crypto/cryptobyte"
)

// testKey returns a key that depends on n alone.
func testKey(n byte) *PrivateKey {
	var seed [SeedSize]byte
	for i := range seed {
		seed[i] = n
	}
	return NewPrivateKey(seed)
}

func testCharter(t testing.TB, admins ...*PrivateKey) *Charter {
	t.Helper()
	c := &Charter{
		Federation: FederationID{1}, Version: 1, Name: "four hospitals",
		Threshold: len(admins), Server: testKey(200).Public(), Channel: Digest{7}, LogKey: "tacit.test+0+key",
		MinCohort: 4, MinRelease: 3, AllowSmall: true, MaxAbsent: 20, MaxOrgShare: 100,
		ModelFamilies: []string{"logreg", "mlp"}, RoundsPerEpoch: 256, EpochsPerDay: 100,
	}
	for _, a := range admins {
		c.Administrators = append(c.Administrators, a.Public())
	}
	for _, a := range admins {
		if err := c.Sign(a); err != nil {
			t.Fatal(err)
		}
	}
	return c
}

func testRoster(t testing.TB, c *Charter, n int) *Roster {
	t.Helper()
	r := &Roster{Federation: c.Federation}
	for i := range n {
		next, err := r.With(Member{Org: "org", Site: fmt.Sprintf("site %d", i), Key: testKey(byte(10 + i)).public, NotBefore: 1, NotAfter: 2})
		if err != nil {
			t.Fatal(err)
		}
		r = next
	}
	return r
}

func TestHashesAndIDsParseStrictly(t *testing.T) {
	h := Sum[modelKind]("x", []byte("y"))
	back, err := ParseHash[modelKind](h.String())
	if err != nil || back != h {
		t.Fatalf("ParseHash(%s) = %s, %v", h, back, err)
	}
	b, err := json.Marshal(map[string]any{"h": h, "a": AgentID{1, 2}})
	if err != nil || !strings.Contains(string(b), h.String()) {
		t.Fatalf("json: %s, %v", b, err)
	}
	for _, bad := range []string{"", "00", strings.ToUpper(h.String()), h.String() + "0", strings.Repeat("g", 64)} {
		if got, err := ParseHash[modelKind](bad); err == nil || !got.IsZero() {
			t.Errorf("ParseHash(%q) = %s, %v; want an error and zero", bad, got, err)
		}
	}
	if _, err := ParseID[agentKind](strings.Repeat("0", 31)); err == nil {
		t.Error("a short id was accepted")
	}
	// Length prefixes keep lists of parts apart.
	if Sum[plainKind]("a", []byte("bc")) == Sum[plainKind]("a", []byte("b"), []byte("c")) {
		t.Error("two lists of parts share a digest")
	}
}

func TestLabelsAreUnique(t *testing.T) {
	seen := map[Label]bool{}
	for _, l := range Labels() {
		if seen[l] {
			t.Errorf("label %q twice", l)
		}
		seen[l] = true
		if !strings.HasPrefix(string(l), "tacit-sa1/") && !strings.HasPrefix(string(l), "tacit-id1/") {
			t.Errorf("label %q has no known prefix", l)
		}
		if strings.ContainsRune(string(l), 0) {
			t.Errorf("label %q contains the separator", l)
		}
	}
}

func TestSignatures(t *testing.T) {
	k := testKey(1)
	pub := k.Public()
	body := []byte("body")
	classic, hybrid := k.Sign(LabelVote, body), k.SignHybrid(LabelReady, body)
	if err := pub.Verify(LabelVote, body, classic); err != nil {
		t.Fatal(err)
	}
	if err := pub.VerifyHybrid(LabelReady, body, hybrid); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(hybrid, k.SignHybrid(LabelReady, body)) {
		t.Error("hybrid signatures are not deterministic")
	}
	reject := map[string]error{
		"another label":        pub.Verify(LabelClose, body, classic),
		"another body":         pub.Verify(LabelVote, []byte("Body"), classic),
		"short":                pub.Verify(LabelVote, body, classic[1:]),
		"hybrid another label": pub.VerifyHybrid(LabelRoster, body, hybrid),
		"classic for hybrid":   pub.VerifyHybrid(LabelReady, body, classic),
	}
	for _, at := range []int{0, SignatureSize - 1, SignatureSize, HybridSignatureSize - 1} {
		bad := append([]byte(nil), hybrid...)
		bad[at] ^= 1
		reject[fmt.Sprintf("hybrid, bit of byte %d", at)] = pub.VerifyHybrid(LabelReady, body, bad)
	}
	other := testKey(2)
	op := other.Public()
	reject["another key"] = op.VerifyHybrid(LabelReady, body, hybrid)
	// Each half alone is not enough.
	mixed := append(append([]byte(nil), hybrid[:SignatureSize]...), other.SignHybrid(LabelReady, body)[SignatureSize:]...)
	reject["foreign lattice half"] = pub.VerifyHybrid(LabelReady, body, mixed)
	mixed = append(append([]byte(nil), other.SignHybrid(LabelReady, body)[:SignatureSize]...), hybrid[SignatureSize:]...)
	reject["foreign classic half"] = pub.VerifyHybrid(LabelReady, body, mixed)
	for name, err := range reject {
		if !errors.Is(err, ErrSignature) {
			t.Errorf("%s: %v, want ErrSignature", name, err)
		}
	}
}

func TestKeysFollowFromTheSeedAndDoNotPrint(t *testing.T) {
	k, err := Generate(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	again := NewPrivateKey(k.Seed())
	a, b := k.Public(), again.Public()
	if !a.Equal(&b) || a.AgentID() != b.AgentID() || a.Fingerprint() != b.Fingerprint() {
		t.Error("one seed gave two keys")
	}
	if len(a.Fingerprint()) != 24 {
		t.Errorf("fingerprint %q", a.Fingerprint())
	}
	seed := k.Seed()
	for _, s := range []string{fmt.Sprint(k), fmt.Sprintf("%v %+v %#v %x %s", k, k, k, k, k), Token(seed[:16]).String(), fmt.Sprintf("%v %#v", Token(seed[:16]), Token(seed[:16]))} {
		if strings.Contains(s, fmt.Sprintf("%x", seed[:4])) || strings.Contains(s, fmt.Sprint(seed[:4])) {
			t.Errorf("a secret prints: %s", s)
		}
	}
	if _, err := ParsePublicKey(make([]byte, PublicKeySize)); err == nil {
		t.Error("the zero key was accepted")
	}
	if got, err := ParsePublicKey(a.AppendBinary(nil)); err != nil || !got.Equal(&a) {
		t.Errorf("public key round trip: %v", err)
	}
}

func TestCharter(t *testing.T) {
	k1, k2 := testKey(1), testKey(2)
	c := testCharter(t, k1, k2)
	if err := c.Verify(); err != nil {
		t.Fatal(err)
	}
	raw := c.AppendBinary(nil)
	back, err := ParseCharter(raw)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(back.AppendBinary(nil), raw) || back.Hash() != c.Hash() || back.Verify() != nil {
		t.Error("charter round trip differs")
	}
	if err := c.Sign(testKey(3)); err == nil {
		t.Error("a stranger signed the charter")
	}
	reject := map[string]func(*Charter){
		"one signature of two": func(c *Charter) { c.Signatures = c.Signatures[:1] },
		"signature twice":      func(c *Charter) { c.Signatures[1] = c.Signatures[0] },
		"unknown signer":       func(c *Charter) { c.Signatures[1].Administrator = 5 },
		"changed rule":         func(c *Charter) { c.MinCohort++ },
		"small, not allowed":   func(c *Charter) { c.AllowSmall = false },
		"cohort of two":        func(c *Charter) { c.MinCohort = 2 },
		"no threshold":         func(c *Charter) { c.Threshold = 0 },
		"threshold too high":   func(c *Charter) { c.Threshold = 3 },
		"families unsorted":    func(c *Charter) { c.ModelFamilies = []string{"mlp", "logreg"} },
		"one admin twice":      func(c *Charter) { c.Administrators[1] = c.Administrators[0] },
		"no name":              func(c *Charter) { c.Name = "" },
		"control character":    func(c *Charter) { c.Name = "a\nb" },
	}
	for name, spoil := range reject {
		bad, _ := ParseCharter(raw)
		spoil(bad)
		if bad.Verify() == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	for i := range raw {
		if _, err := ParseCharter(raw[:i]); err == nil {
			t.Fatalf("charter cut at %d was accepted", i)
		}
	}
	if _, err := ParseCharter(append(raw, 0)); err == nil {
		t.Error("trailing byte accepted")
	}
}

func TestRoster(t *testing.T) {
	admin := testKey(1)
	c := testCharter(t, admin)
	r := testRoster(t, c, 4)
	if r.Version != 4 || r.Verify(c) == nil {
		t.Fatal("an unsigned roster was accepted, or the version is wrong")
	}
	if err := r.Sign(c, admin); err != nil {
		t.Fatal(err)
	}
	if err := r.Verify(c); err != nil {
		t.Fatal(err)
	}
	raw := r.AppendBinary(nil)
	back, err := ParseRoster(raw)
	if err != nil || !bytes.Equal(back.AppendBinary(nil), raw) || back.Verify(c) != nil {
		t.Fatalf("roster round trip: %v", err)
	}
	m := r.Members[2]
	if r.Lookup(m.Agent()) == nil || r.Site(m.Site) == nil || r.Lookup(AgentID{}) != nil {
		t.Error("lookup")
	}
	if got, err := ParseMember(m.AppendBinary(nil)); err != nil || *got != m {
		t.Errorf("member round trip: %v", err)
	}
	for _, bad := range [][]byte{nil, m.AppendBinary(nil)[1:], m.AppendBinary([]byte{0}), append(m.AppendBinary(nil), 0)} {
		if _, err := ParseMember(bad); err == nil {
			t.Error("a damaged member was parsed")
		}
	}
	if _, err := r.With(m); err == nil {
		t.Error("a member joined twice")
	}
	if _, err := r.With(Member{Org: "o", Site: m.Site, Key: testKey(99).public, NotAfter: 1}); err == nil {
		t.Error("a site joined twice")
	}
	reject := map[string]func(*Roster){
		"member left out":  func(r *Roster) { r.Members = r.Members[1:] },
		"member renamed":   func(r *Roster) { r.Members[0].Site = "elsewhere" },
		"longer validity":  func(r *Roster) { r.Members[0].NotAfter++ },
		"no signature":     func(r *Roster) { r.Signatures = nil },
		"other federation": func(r *Roster) { r.Federation[0]++ },
	}
	for name, spoil := range reject {
		bad, _ := ParseRoster(raw)
		spoil(bad)
		if bad.Verify(c) == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	swapped, _ := ParseRoster(raw)
	swapped.Members[0], swapped.Members[1] = swapped.Members[1], swapped.Members[0]
	if _, err := ParseRoster(swapped.AppendBinary(nil)); err == nil {
		t.Error("a roster out of order was parsed")
	}
}

func TestJoinString(t *testing.T) {
	j := &JoinString{URL: "wss://127.0.0.1:8443/v1/agent", Org: "org", Site: "site", Token: Token{1}, TLS: Digest{2}, Channel: Digest{3}, Charter: CharterHash{4}}
	s := j.Encode()
	back, err := ParseJoinString(" " + s + "\n")
	if err != nil || *back != *j {
		t.Fatalf("%v, %v", back, err)
	}
	if strings.Contains(fmt.Sprint(j), s[20:40]) {
		t.Error("a joining string prints its token")
	}
	for i := range s {
		c := byte('A')
		if s[i] == c {
			c = 'B'
		}
		if _, err := ParseJoinString(s[:i] + string(c) + s[i+1:]); err == nil {
			t.Fatalf("typing error at %d was not noticed", i)
		}
	}
	for _, u := range []string{"http://x/", "ws://x/", "wss://", "wss://u:p@x/", "wss://x/#f"} {
		bad := *j
		bad.URL = u
		if _, err := ParseJoinString(bad.Encode()); err == nil {
			t.Errorf("URL %q accepted", u)
		}
	}
}

func FuzzParse(f *testing.F) {
	admin := testKey(1)
	c := testCharter(f, admin)
	r := testRoster(f, c, 2)
	if err := r.Sign(c, admin); err != nil {
		f.Fatal(err)
	}
	j := &JoinString{URL: "wss://h/", Org: "o", Site: "s"}
	f.Add(c.AppendBinary(nil))
	f.Add(r.AppendBinary(nil))
	f.Add([]byte(j.Encode()))
	f.Fuzz(func(t *testing.T, b []byte) {
		if c, err := ParseCharter(b); err == nil && !bytes.Equal(c.AppendBinary(nil), b) {
			t.Error("charter is not canonical")
		}
		if r, err := ParseRoster(b); err == nil && !bytes.Equal(r.AppendBinary(nil), b) {
			t.Error("roster is not canonical")
		}
		if j, err := ParseJoinString(string(b)); err == nil && j.Encode() != strings.TrimSpace(string(b)) {
			t.Error("joining string is not canonical")
		}
	})
}

// TestGoldenBytes holds hashed bytes still: a change here changes every
// federation's hashes and needs a new format version.
func TestGoldenBytes(t *testing.T) {
	admin := testKey(1)
	c := testCharter(t, admin)
	r := testRoster(t, c, 3)
	golden := map[string][2]string{
		"agent":   {r.Members[0].Agent().String(), goldenAgent},
		"charter": {c.Hash().String(), goldenCharter},
		"roster":  {r.Hash().String(), goldenRoster},
		"key":     {SumDigest(admin.public.AppendBinary(nil)).String(), goldenKey},
		"hybrid":  {SumDigest(admin.SignHybrid(LabelReady, []byte("x"))).String(), goldenHybrid},
	}
	for name, g := range golden {
		if g[0] != g[1] {
			t.Errorf("%s: got %s, want %s", name, g[0], g[1])
		}
	}
	var empty cryptobyte.String
	if _, err := ParseRoster(empty); err == nil {
		t.Error("an empty roster was parsed")
	}
}
