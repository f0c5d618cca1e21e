package vault

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"

	"filippo.io/age"
)

// Export writes payload as a standard age file to the given recipients, byte for
// byte and with no header of ours: age -d opens it. Recipients are age1pq1…
// strings; older kinds are refused, because one of them would undo the
// post-quantum protection of all.
func Export(w io.Writer, payload []byte, recipients ...string) error {
	if len(recipients) == 0 {
		return errors.New("export: no recipient")
	}
	var to []age.Recipient
	for _, s := range recipients {
		r, err := ParseRecipient(s)
		if err != nil {
			return fmt.Errorf("export: %w", err)
		}
		to = append(to, r)
	}
	enc, err := age.Encrypt(w, to...)
	if err != nil {
		return fmt.Errorf("export: %w", err)
	}
	if _, err := enc.Write(payload); err != nil {
		return fmt.Errorf("export: %w", err)
	}
	if err := enc.Close(); err != nil {
		return fmt.Errorf("export: %w", err)
	}
	return nil
}

// ParseRecipient reads an age1pq1… recipient.
func ParseRecipient(s string) (*age.HybridRecipient, error) {
	switch {
	case strings.HasPrefix(s, "AGE-SECRET-KEY-"):
		return nil, errors.New("this is a secret key, not a recipient; a recipient begins with age1pq1")
	case !strings.HasPrefix(s, "age1pq1"):
		return nil, fmt.Errorf("recipient %.24q is not post-quantum: make one with age-keygen -pq; it begins with age1pq1", s)
	}
	r, err := age.ParseHybridRecipient(s)
	if err != nil {
		return nil, errors.New("recipient age1pq1… is malformed; was it copied whole?")
	}
	return r, nil
}

// An Owner is the age identity that a model belongs to. It does not print.
type Owner struct{ identity *age.HybridIdentity }

// GenerateOwner makes an owner's identity. Its place is not on the server.
func GenerateOwner() (*Owner, error) {
	identity, err := age.GenerateHybridIdentity()
	if err != nil {
		return nil, err
	}
	return &Owner{identity}, nil
}

// Recipient is the public half, for Export.
func (o *Owner) Recipient() string { return o.identity.Recipient().String() }

// IdentityFile is the secret half as the text of an age identity file. Write it
// with mode 0600.
func (o *Owner) IdentityFile() []byte {
	return fmt.Appendf(nil, "# public key: %s\n%s\n", o.identity.Recipient(), o.identity)
}

func (o *Owner) String() string               { return redacted }
func (o *Owner) GoString() string             { return redacted }
func (o *Owner) Format(f fmt.State, _ rune)   { io.WriteString(f, redacted) }
func (o *Owner) LogValue() slog.Value         { return slog.StringValue(redacted) }
func (o *Owner) MarshalText() ([]byte, error) { return []byte(redacted), nil }

// OpenExport opens an exported file with the text of an age identity file, or
// returns ErrSealed.
func OpenExport(r io.Reader, identityFile []byte) ([]byte, error) {
	identity, err := parseIdentity(identityFile, "identity file")
	if err != nil {
		return nil, err
	}
	plain, err := age.Decrypt(r, identity)
	if err != nil {
		return nil, ErrSealed
	}
	var out bytes.Buffer
	if _, err := io.Copy(&out, plain); err != nil {
		clear(out.Bytes())
		return nil, ErrSealed
	}
	return out.Bytes(), nil
}
