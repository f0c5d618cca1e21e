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
	b []byte
}

// NewSecret takes ownership of b.
func NewSecret(b []byte) *Secret { return &Secret{b: b} }

// Bytes returns the key bytes themselves, not a copy: valid until Wipe.
func (s *Secret) Bytes() []byte { return s.b }

// Equal compares in constant time.
func (s *Secret) Equal(t *Secret) bool { return subtle.ConstantTimeCompare(s.b, t.b) == 1 }

// Wipe overwrites the key bytes. Copies that the runtime or a library made are
// out of reach.
func (s *Secret) Wipe() {
	if s != nil {
		clear(s.b)
		s.b = nil
	}
}

func (s *Secret) String() string               { return redacted }
func (s *Secret) GoString() string             { return redacted }
func (s *Secret) Format(f fmt.State, _ rune)   { io.WriteString(f, redacted) }
func (s *Secret) MarshalText() ([]byte, error) { return []byte(redacted), nil }
func (s *Secret) LogValue() slog.Value         { return slog.StringValue(redacted) }
