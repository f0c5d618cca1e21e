package audit

import (
	"errors"
	"fmt"
	"math"
	"unicode/utf8"

	"golang.org/x/crypto/cryptobyte"

	"tacit/id"
)

// codec reads or writes fields, whichever it was made for, so that one description
// of a structure serves both directions and they cannot disagree. The first field
// that breaks a rule stops it.
type codec struct {
	w   *cryptobyte.Builder // writing, when not nil
	r   cryptobyte.String   // reading otherwise
	err error
}

var errTruncated = errors.New("truncated or not canonical")

func (c *codec) fail(format string, a ...any) {
	if c.err == nil {
		c.err = fmt.Errorf(format, a...)
	}
}

func (c *codec) read(ok bool) {
	if !ok && c.err == nil {
		c.err = errTruncated
	}
}

// finish returns what was written, or checks that everything was read.
func (c *codec) finish() ([]byte, error) {
	if c.err != nil {
		return nil, c.err
	}
	if c.w != nil {
		return c.w.Bytes()
	}
	if !c.r.Empty() {
		return nil, fmt.Errorf("%d bytes too long", len(c.r))
	}
	return nil, nil
}

func (c *codec) u8(v *uint8) {
	if c.err != nil {
		return
	}
	if c.w != nil {
		c.w.AddUint8(*v)
	} else {
		c.read(c.r.ReadUint8(v))
	}
}

func (c *codec) u16(v *uint16) {
	if c.err != nil {
		return
	}
	if c.w != nil {
		c.w.AddUint16(*v)
	} else {
		c.read(c.r.ReadUint16(v))
	}
}

func (c *codec) u32(v *uint32) {
	if c.err != nil {
		return
	}
	if c.w != nil {
		c.w.AddUint32(*v)
	} else {
		c.read(c.r.ReadUint32(v))
	}
}

func (c *codec) u64(v *uint64) {
	if c.err != nil {
		return
	}
	if c.w != nil {
		c.w.AddUint64(*v)
	} else {
		c.read(c.r.ReadUint64(v))
	}
}

// i64 codes a value that is never negative.
func (c *codec) i64(v *int64) {
	u := uint64(*v)
	c.u64(&u)
	if c.err == nil && u > math.MaxInt64 {
		c.fail("a time before 1970")
	}
	*v = int64(u)
}

func (c *codec) boolean(v *bool) {
	var u uint8
	if *v {
		u = 1
	}
	c.u8(&u)
	if u > 1 {
		c.fail("%d is neither true nor false", u)
	}
	*v = u == 1
}

func (c *codec) fixed(b []byte) {
	if c.err != nil {
		return
	}
	if c.w != nil {
		c.w.AddBytes(b)
	} else {
		c.read(c.r.CopyBytes(b))
	}
}

// bytes codes a byte string of at most max bytes behind a 24-bit length.
func (c *codec) bytes(b *[]byte, max int) {
	if c.err != nil {
		return
	}
	if c.w != nil {
		if len(*b) > max {
			c.fail("%d bytes, at most %d", len(*b), max)
			return
		}
		c.w.AddUint24LengthPrefixed(func(w *cryptobyte.Builder) { w.AddBytes(*b) })
		return
	}
	var s cryptobyte.String
	c.read(c.r.ReadUint24LengthPrefixed(&s))
	if c.err == nil && len(s) > max {
		c.fail("%d bytes, at most %d", len(s), max)
	}
	if c.err == nil {
		*b = append([]byte(nil), s...) // nil when empty
	}
}

// text codes UTF-8 of at most max bytes without control characters other than line
// feeds and tabs.
func (c *codec) text(v *string, max int) {
	b := []byte(*v)
	c.bytes(&b, max)
	if c.err != nil {
		return
	}
	if !utf8.Valid(b) {
		c.fail("text that is not UTF-8")
	}
	for _, r := range string(b) {
		if r < ' ' && r != '\n' && r != '\t' || r == 0x7f {
			c.fail("text with a control character")
		}
	}
	*v = string(b)
}

func (c *codec) short(v *string, check func(string) error) {
	if c.err != nil {
		return
	}
	if c.w != nil {
		if err := check(*v); err != nil {
			c.fail("%w", err)
			return
		}
		c.w.AddUint16LengthPrefixed(func(w *cryptobyte.Builder) { w.AddBytes([]byte(*v)) })
		return
	}
	var s cryptobyte.String
	c.read(c.r.ReadUint16LengthPrefixed(&s))
	if c.err != nil {
		return
	}
	*v = string(s)
	if err := check(*v); err != nil {
		c.fail("%w", err)
	}
}

// name codes what people call something (see id.CheckName).
func (c *codec) name(v *string) { c.short(v, id.CheckName) }

// token codes a machine-readable word.
func (c *codec) token(v *string) { c.short(v, checkToken) }

// maxToken bounds reason codes, outcomes and names of values, in bytes.
const maxToken = 48

func checkToken(s string) error {
	if s == "" || len(s) > maxToken {
		return fmt.Errorf("a code of %d characters, want 1 to %d", len(s), maxToken)
	}
	for _, r := range []byte(s) {
		if (r < 'a' || r > 'z') && (r < '0' || r > '9') && r != '-' && r != '_' && r != '.' {
			return fmt.Errorf("code %q: only a-z, 0-9, '-', '_' and '.' are allowed", s)
		}
	}
	return nil
}

// logKey codes a note verifier key.
func (c *codec) logKey(v *string) {
	c.short(v, func(s string) error {
		if len(s) > maxLogKey {
			return fmt.Errorf("a log key of %d bytes, at most %d", len(s), maxLogKey)
		}
		_, err := newVerifier(s)
		return err
	})
}

func (c *codec) f64(v *float64) {
	u := math.Float64bits(*v)
	c.u64(&u)
	*v = math.Float64frombits(u)
	if math.IsNaN(*v) || math.IsInf(*v, 0) {
		c.fail("a number that is not finite")
	}
}

// count codes the length of a list. Each element takes at least size bytes, so a
// list that claims more than what is left is refused before anything is allocated.
func (c *codec) count(n, max, size int) int {
	v := uint32(n)
	if n > max {
		c.fail("%d elements, at most %d", n, max)
	}
	c.u32(&v)
	if c.err == nil && (int(v) > max || c.w == nil && int(v) > len(c.r)/size) {
		c.fail("a list of %d elements", v)
	}
	if c.err != nil {
		return 0
	}
	return int(v)
}

// encode runs fields as a writer behind b.
func encode(b []byte, fields func(*codec)) ([]byte, error) {
	c := &codec{w: cryptobyte.NewBuilder(b)}
	fields(c)
	return c.finish()
}

// decode runs fields as a reader of exactly b.
func decode(b []byte, fields func(*codec)) error {
	c := &codec{r: cryptobyte.String(b)}
	fields(c)
	_, err := c.finish()
	return err
}
