package vault

import (
	"crypto/subtle"
	"fmt"
	"io"
	"log/slog"
)

// redacted is what every secret shows when it is printed.
const redacted = "[secret]"

// A Secret holds key bytes. It does not print, marshal or log, is compared only
// by [Secret.Equal], and can be wiped.
type Secret struct {
	_ [0]func() // not comparable with ==
	// A pointer to the slice: fmt does not call methods on an unexported field
	// of somebody's struct, but it prints an inner pointer as an address.
	at *[]byte
}

// NewSecret takes ownership of b.
func NewSecret(b []byte) *Secret { return &Secret{at: &b} }

// Bytes returns the key bytes themselves, not a copy: valid until Wipe.
func (s *Secret) Bytes() []byte { return *s.at }

// Equal compares in constant time.
func (s *Secret) Equal(t *Secret) bool { return subtle.ConstantTimeCompare(*s.at, *t.at) == 1 }

// Wipe overwrites the key bytes. Copies that the runtime or a library made are
// out of reach.
func (s *Secret) Wipe() {
	if s != nil {
		clear(*s.at)
		*s.at = nil
	}
}

func (s *Secret) String() string               { return redacted }
func (s *Secret) GoString() string             { return redacted }
func (s *Secret) Format(f fmt.State, _ rune)   { io.WriteString(f, redacted) }
func (s *Secret) MarshalText() ([]byte, error) { return []byte(redacted), nil }
func (s *Secret) LogValue() slog.Value         { return slog.StringValue(redacted) }
