package blob

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log/slog"
)

// ErrSealed is the one error of opening: a wrong key, a wrong name, damage and
// truncation cannot be told apart.
var ErrSealed = errors.New("sealed blob does not open: wrong key or damaged")

const (
	spoolMagic = "tacit-spool/1\n"
	saltSize   = 16
	headSize   = len(spoolMagic) + saltSize
	chunkSize  = 64 << 10
	tagSize    = 16

	// KeySize is the size of a Key in bytes.
	KeySize = 32
)

// A Key seals the blobs of one attempt. It does not print and can be wiped.
type Key struct {
	_  [0]func()      // not comparable with ==
	at *[KeySize]byte // behind a pointer, so that fmt does not see it inside other structs either
}

// NewKey draws a key.
func NewKey() (*Key, error) {
	k := &Key{at: new([KeySize]byte)}
	_, err := rand.Read(k.at[:])
	return k, err
}

// KeyFrom copies 32 key bytes.
func KeyFrom(b []byte) (*Key, error) {
	if len(b) != KeySize {
		return nil, fmt.Errorf("blob key of %d bytes, want %d", len(b), KeySize)
	}
	return &Key{at: (*[KeySize]byte)(bytes.Clone(b))}, nil
}

// Bytes returns a copy of the key, to be sealed by a vault.
func (k *Key) Bytes() []byte { return bytes.Clone(k.at[:]) }

// Wipe overwrites the key. It must not be used afterwards.
func (k *Key) Wipe() {
	if k != nil {
		clear(k.at[:])
	}
}

const redacted = "[secret]"

func (k *Key) String() string               { return redacted }
func (k *Key) GoString() string             { return redacted }
func (k *Key) Format(f fmt.State, _ rune)   { io.WriteString(f, redacted) }
func (k *Key) MarshalText() ([]byte, error) { return []byte(redacted), nil }
func (k *Key) LogValue() slog.Value         { return slog.StringValue(redacted) }

func (k *Key) file(name string, salt []byte) (cipher.AEAD, error) {
	key, err := hkdf.Key(sha256.New, k.at[:], salt, "tacit-spool/1 "+name, 32)
	if err != nil {
		return nil, err
	}
	defer clear(key)
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	return cipher.NewGCM(block)
}

// nonce is the nonce of chunk n.
func nonce(n uint64, last bool) []byte {
	b := make([]byte, 12)
	binary.BigEndian.PutUint64(b[3:11], n)
	if last {
		b[11] = 1
	}
	return b
}

// seal copies r to w, sealed.
func seal(w io.Writer, k *Key, name string, r io.Reader) error {
	head := append([]byte(spoolMagic), make([]byte, saltSize)...)
	salt := head[len(spoolMagic):]
	if _, err := rand.Read(salt); err != nil {
		return err
	}
	aead, err := k.file(name, salt)
	if err != nil {
		return err
	}
	if _, err := w.Write(head); err != nil {
		return err
	}
	// One chunk is read ahead, because the last one is sealed as such.
	buf := make([]byte, 2*chunkSize)
	this, ahead := buf[:chunkSize], buf[chunkSize:]
	n, err := io.ReadFull(r, this)
	out := make([]byte, 0, chunkSize+tagSize)
	for i := uint64(0); ; i++ {
		var m int
		last := errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF)
		if err != nil && !last {
			return err
		}
		if !last {
			m, err = io.ReadFull(r, ahead)
			last = errors.Is(err, io.EOF)
		}
		if _, werr := w.Write(aead.Seal(out[:0], nonce(i, last), this[:n], nil)); werr != nil {
			return werr
		}
		if last {
			return nil
		}
		this, ahead, n = ahead, this, m
	}
}

// opener reads a sealed blob. It belongs to one goroutine.
type opener struct {
	f     io.ReadCloser
	aead  cipher.AEAD
	n     uint64
	buf   []byte // sealed chunk and one byte of what follows
	have  int
	plain []byte // opened, not yet read
	err   error  // sticky
}

func newOpener(f io.ReadCloser, k *Key, name string) (*opener, error) {
	head := make([]byte, headSize)
	if _, err := io.ReadFull(f, head); err != nil || !bytes.HasPrefix(head, []byte(spoolMagic)) {
		return nil, ErrSealed
	}
	aead, err := k.file(name, head[len(spoolMagic):])
	if err != nil {
		return nil, err
	}
	return &opener{f: f, aead: aead, buf: make([]byte, chunkSize+tagSize+1)}, nil
}

// Read returns authenticated plaintext only. io.EOF comes after the last chunk
// was seen as such, ErrSealed otherwise.
func (o *opener) Read(p []byte) (int, error) {
	for len(o.plain) == 0 {
		if o.err != nil {
			return 0, o.err
		}
		o.err = o.chunk()
	}
	n := copy(p, o.plain)
	o.plain = o.plain[n:]
	return n, nil
}

// chunk opens the next chunk; after the last it returns io.EOF beside it.
func (o *opener) chunk() error {
	n, err := io.ReadFull(o.f, o.buf[o.have:])
	o.have += n
	last := errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF)
	if err != nil && !last {
		return err
	}
	sealed := o.buf[:o.have]
	if !last {
		sealed = sealed[:chunkSize+tagSize]
	}
	plain, err := o.aead.Open(nil, nonce(o.n, last), sealed, nil)
	if err != nil || (last && o.n > 0 && len(plain) == 0) { // an empty chunk only stands alone
		return ErrSealed
	}
	o.plain, o.n = plain, o.n+1
	if last {
		return io.EOF
	}
	o.buf[0] = o.buf[chunkSize+tagSize]
	o.have = 1
	return nil
}

func (o *opener) Close() error {
	clear(o.plain)
	return o.f.Close()
}
