package server

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"strings"

	"tacit/id"
	"tacit/internal/durable"
)

// Administrator is one administrator's key file. It decides who is a member, so it
// trusts nothing that the server says: it pins the charter that it was made with, and
// it remembers the roster that it brought into force last, so that it refuses a server
// that shows an older one, or another of the same version.
type Administrator struct {
	Key     *id.PrivateKey
	Charter id.CharterHash

	version uint64        // of the roster brought into force last; 0: none
	roster  id.RosterHash // its hash
	path    string        // empty: not kept in a file
}

const (
	adminHeader = "# Tacit administrator key. Whoever holds it decides who is a member.\n" +
		"# Keep it on a machine other than the server's.\n"
	adminKeyWord     = "tacit-admin-key-1"
	adminCharterWord = "charter"
	adminRosterWord  = "roster"
)

// write writes the key file, mode 0600.
func (a *Administrator) write() error {
	if a.path == "" {
		return nil
	}
	seed := a.Key.Seed()
	pub := a.Key.Public()
	var b strings.Builder
	fmt.Fprintf(&b, "%s# fingerprint: %s\n%s %s\n", adminHeader, pub.Fingerprint(), adminKeyWord, hex.EncodeToString(seed[:]))
	fmt.Fprintf(&b, "%s %s\n", adminCharterWord, a.Charter)
	if a.version > 0 {
		fmt.Fprintf(&b, "# the roster brought into force last\n%s %d %s\n", adminRosterWord, a.version, a.roster)
	}
	return durable.WriteFile(a.path, []byte(b.String()), 0o600)
}

// ReadAdministrator reads an administrator's key file.
func ReadAdministrator(path string) (*Administrator, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	a := &Administrator{path: path}
	bad := fmt.Errorf("server: %s: not an administrator's key file, or damaged", path)
	for line := range strings.Lines(string(b)) {
		fields := strings.Fields(line)
		if len(fields) == 0 || fields[0][0] == '#' {
			continue
		}
		switch {
		case fields[0] == adminKeyWord && len(fields) == 2:
			seed, err := hex.DecodeString(fields[1])
			if err != nil || len(seed) != id.SeedSize {
				return nil, bad
			}
			a.Key = id.NewPrivateKey([id.SeedSize]byte(seed))
		case fields[0] == adminCharterWord && len(fields) == 2:
			if err := a.Charter.UnmarshalText([]byte(fields[1])); err != nil {
				return nil, bad
			}
		case fields[0] == adminRosterWord && len(fields) == 3:
			if _, err := fmt.Sscan(fields[1], &a.version); err != nil {
				return nil, bad
			}
			if err := a.roster.UnmarshalText([]byte(fields[2])); err != nil {
				return nil, bad
			}
		default:
			return nil, bad
		}
	}
	if a.Key == nil || a.Charter.IsZero() {
		return nil, bad
	}
	return a, nil
}

// Approve admits a waiting site whose fingerprint has been compared with what the
// branch reads out. The next roster is made here, from the one in force, which
// administrators have signed, and this one entry: the server cannot slip in another.
func (a *Administrator) Approve(ctx context.Context, c Control, site, fingerprint string) error {
	charterBytes, rosterBytes, memberBytes, err := c.Propose(ctx, site, fingerprint)
	if err != nil {
		return err
	}
	charter, err := id.ParseCharter(charterBytes)
	if err != nil {
		return err
	}
	if charter.Hash() != a.Charter {
		return &DeniedError{Reason: fmt.Sprintf("the server shows charter %s, this key file is for charter %s", charter.Hash().Short(), a.Charter.Short()), Advice: "use the key file that tacit init server wrote for this federation"}
	}
	if err := charter.Verify(); err != nil {
		return err
	}
	current := &id.Roster{Federation: charter.Federation}
	if len(rosterBytes) > 0 {
		if current, err = id.ParseRoster(rosterBytes); err != nil {
			return err
		}
		if err := current.Verify(charter); err != nil {
			return err
		}
	}
	if current.Version < a.version || current.Version == a.version && a.version > 0 && current.Hash() != a.roster {
		return &DeniedError{Reason: fmt.Sprintf("the server shows roster version %d, this key brought version %d into force: the server has been rolled back, or shows two rosters", current.Version, a.version)}
	}
	member, err := id.ParseMember(memberBytes)
	if err != nil {
		return err
	}
	if member.Site != site || member.Key.Fingerprint() != fingerprint {
		return &DeniedError{Reason: fmt.Sprintf("the key that asks to join as %q does not have the fingerprint %s", site, fingerprint)}
	}
	next, err := current.With(*member)
	if err != nil {
		return err
	}
	if err := next.Sign(charter, a.Key); err != nil {
		return err
	}
	if err := c.Adopt(ctx, next.AppendBinary(nil)); err != nil {
		return err
	}
	a.version, a.roster = next.Version, next.Hash()
	if err := a.write(); err != nil {
		return errors.Join(errors.New("the site is a member, but the key file could not be updated"), err)
	}
	return nil
}
