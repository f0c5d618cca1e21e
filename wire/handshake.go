package wire

import (
	"bytes"
	"context"
	"crypto/hkdf"
	"crypto/hpke"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"time"

	"tacit/id"
)

// HandshakeTimeout bounds Dial and Accept beneath their contexts.
const HandshakeTimeout = 15 * time.Second

// versions is what this build speaks.
var versions = VersionRange{Min: 1, Max: 1}

// The handshake's frames; the layout is in the package comment.
const (
	typeGreeting = 0x01
	typeHello    = 0x02
	typeReply    = 0x03

	magic      = "tacit"
	prefixSize = 1 + len(magic) + 2 + 2

	greetingSize = prefixSize + ChannelKeySize
	helloSize    = prefixSize + encapSize + ChannelKeySize
	finishedSize = 32
	replySize    = 1 + 2 + encapSize + finishedSize
)

// sessionKeys is what a handshake leaves behind. up is the client's direction.
type sessionKeys struct {
	version           uint16
	up, down          [32]byte
	finished, binding [32]byte
}

// Dial opens a channel as a client, over a connection that no one has used yet. pin
// is the fingerprint of the server's channel key. It closes fc on error.
func Dial(ctx context.Context, fc FrameConn, pin id.Digest) (*Channel, error) {
	return handshake(ctx, fc, func() (*Channel, error) {
		ephemeral, err := hpke.MLKEM768X25519().GenerateKey()
		if err != nil {
			return nil, fmt.Errorf("wire: draw an ephemeral key: %w", err)
		}
		keys, err := clientHandshake(fc, pin, versions, ephemeral)
		if err != nil {
			return nil, err
		}
		return newChannel(fc, keys, Up), nil
	})
}

// Accept opens a channel as the server. It closes fc on error.
func Accept(ctx context.Context, fc FrameConn, key *ChannelKey) (*Channel, error) {
	return handshake(ctx, fc, func() (*Channel, error) {
		keys, err := serverHandshake(fc, key, versions)
		if err != nil {
			return nil, err
		}
		return newChannel(fc, keys, Down), nil
	})
}

// handshake runs f until ctx ends.
func handshake(ctx context.Context, fc FrameConn, f func() (*Channel, error)) (*Channel, error) {
	ctx, cancel := context.WithTimeout(ctx, HandshakeTimeout)
	defer cancel()
	stop := context.AfterFunc(ctx, func() { fc.Close() })
	c, err := f()
	if !stop() { // fc is closed, or about to be
		err = fmt.Errorf("%w with %s: %w", ErrHandshake, fc.RemoteAddr(), context.Cause(ctx))
	}
	if err != nil {
		fc.Close()
		return nil, err
	}
	return c, nil
}

func clientHandshake(fc FrameConn, pin id.Digest, ours VersionRange, ephemeral hpke.PrivateKey) (*sessionKeys, error) {
	greeting, err := readHandshake(fc, "the server's greeting")
	if err != nil {
		return nil, err
	}
	theirs, rest, err := parsePrefix(greeting, typeGreeting)
	if err != nil {
		return nil, err
	}
	version, err := agree(ours, theirs)
	if err != nil {
		fc.WriteFrame(appendPreamble(nil, typeHello, ours)) // so that the server's log can say it too
		return nil, err
	}
	if len(rest) != ChannelKeySize {
		return nil, fmt.Errorf("%w: greeting of %d bytes", ErrHandshake, len(greeting))
	}
	if got := id.SumDigest(rest); got != pin {
		return nil, &KeyError{Want: pin, Got: got}
	}
	static, err := hpke.MLKEM768X25519().NewPublicKey(rest)
	if err != nil {
		return nil, fmt.Errorf("%w: the pinned key is no X-Wing key", ErrHandshake)
	}
	epub := ephemeral.PublicKey().Bytes()
	enc, sender, err := hpke.NewSender(static, hpke.HKDFSHA256(), hpke.ExportOnly(), helloInfo(greeting, ours, epub))
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrHandshake, err)
	}
	hello := append(append(appendPreamble(nil, typeHello, ours), enc...), epub...)
	if err := fc.WriteFrame(hello); err != nil {
		return nil, fmt.Errorf("%w: send hello: %w", ErrHandshake, err)
	}

	reply, err := readHandshake(fc, "the server's reply")
	if err != nil {
		return nil, err
	}
	if len(reply) != replySize || reply[0] != typeReply || binary.BigEndian.Uint16(reply[1:]) != version {
		return nil, fmt.Errorf("%w: reply that does not fit the hello", ErrHandshake)
	}
	body, finished := reply[:replySize-finishedSize], reply[replySize-finishedSize:]
	recipient, err := hpke.NewRecipient(body[3:], ephemeral, hpke.HKDFSHA256(), hpke.ExportOnly(), replyInfo(version, greeting, hello))
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrHandshake, err)
	}
	keys, err := deriveKeys(version, sender.Export, recipient.Export, greeting, hello, body)
	if err != nil {
		return nil, err
	}
	if subtle.ConstantTimeCompare(finished, keys.finished[:]) != 1 {
		return nil, &KeyError{Want: pin, Got: pin}
	}
	return keys, nil
}

func serverHandshake(fc FrameConn, key *ChannelKey, ours VersionRange) (*sessionKeys, error) {
	greeting := append(appendPreamble(nil, typeGreeting, ours), key.public...)
	if err := fc.WriteFrame(greeting); err != nil {
		return nil, fmt.Errorf("%w: send greeting: %w", ErrHandshake, err)
	}
	hello, err := readHandshake(fc, "the client's hello")
	if err != nil {
		return nil, err
	}
	theirs, rest, err := parsePrefix(hello, typeHello)
	if err != nil {
		return nil, err
	}
	version, err := agree(ours, theirs)
	if err != nil {
		return nil, err
	}
	if len(rest) != encapSize+ChannelKeySize {
		return nil, fmt.Errorf("%w: hello of %d bytes", ErrHandshake, len(hello))
	}
	enc, epub := rest[:encapSize], rest[encapSize:]
	ephemeral, err := hpke.MLKEM768X25519().NewPublicKey(epub)
	if err != nil {
		return nil, fmt.Errorf("%w: the ephemeral key is no X-Wing key", ErrHandshake)
	}
	recipient, err := hpke.NewRecipient(enc, key.key, hpke.HKDFSHA256(), hpke.ExportOnly(), helloInfo(greeting, theirs, epub))
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrHandshake, err)
	}
	enc2, sender, err := hpke.NewSender(ephemeral, hpke.HKDFSHA256(), hpke.ExportOnly(), replyInfo(version, greeting, hello))
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrHandshake, err)
	}
	reply := append(binary.BigEndian.AppendUint16([]byte{typeReply}, version), enc2...)
	keys, err := deriveKeys(version, recipient.Export, sender.Export, greeting, hello, reply)
	if err != nil {
		return nil, err
	}
	if err := fc.WriteFrame(append(reply, keys.finished[:]...)); err != nil {
		return nil, fmt.Errorf("%w: send reply: %w", ErrHandshake, err)
	}
	return keys, nil
}

// readHandshake returns a copy of the next frame: the transcript outlives the
// transport's buffer.
func readHandshake(fc FrameConn, what string) ([]byte, error) {
	b, err := fc.ReadFrame()
	if errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	if err != nil {
		return nil, fmt.Errorf("%w: wait for %s: %w", ErrHandshake, what, err)
	}
	if len(b) > helloSize {
		// Nothing in a handshake is longer, in no version.
		return nil, fmt.Errorf("%w: %s has %d bytes", ErrHandshake, what, len(b))
	}
	return bytes.Clone(b), nil
}

func appendPreamble(b []byte, typ byte, v VersionRange) []byte {
	b = append(append(b, typ), magic...)
	b = binary.BigEndian.AppendUint16(b, v.Min)
	return binary.BigEndian.AppendUint16(b, v.Max)
}

// parsePrefix reads the ten bytes that no version changes.
func parsePrefix(b []byte, typ byte) (v VersionRange, rest []byte, err error) {
	if len(b) < prefixSize || b[0] != typ || string(b[1:1+len(magic)]) != magic {
		return VersionRange{}, nil, fmt.Errorf("%w: the peer does not speak tacit", ErrHandshake)
	}
	v.Min = binary.BigEndian.Uint16(b[1+len(magic):])
	v.Max = binary.BigEndian.Uint16(b[3+len(magic):])
	if v.Min == 0 || v.Min > v.Max {
		return VersionRange{}, nil, fmt.Errorf("%w: version range %d-%d", ErrHandshake, v.Min, v.Max)
	}
	return v, b[prefixSize:], nil
}

// agree returns the highest version that both sides speak.
func agree(ours, theirs VersionRange) (uint16, error) {
	v := min(ours.Max, theirs.Max)
	if v < ours.Min || v < theirs.Min {
		return 0, &VersionError{Ours: ours, Theirs: theirs}
	}
	return v, nil
}

func helloInfo(greeting []byte, client VersionRange, epub []byte) []byte {
	g, e := sha256.Sum256(greeting), sha256.Sum256(epub)
	b := append([]byte("tacit-wire1 hello\x00"), g[:]...)
	b = binary.BigEndian.AppendUint16(b, client.Min)
	b = binary.BigEndian.AppendUint16(b, client.Max)
	return append(b, e[:]...)
}

func replyInfo(version uint16, greeting, hello []byte) []byte {
	g, h := sha256.Sum256(greeting), sha256.Sum256(hello)
	b := binary.BigEndian.AppendUint16([]byte("tacit-wire1 reply\x00"), version)
	return append(append(b, g[:]...), h[:]...)
}

type export func(context string, length int) ([]byte, error)

// deriveKeys combines both encapsulations with everything both sides have seen.
// reply lacks finished.
func deriveKeys(version uint16, x1, x2 export, greeting, hello, reply []byte) (*sessionKeys, error) {
	a, err := x1("tacit-wire1 export", 32)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrHandshake, err)
	}
	b, err := x2("tacit-wire1 export", 32)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrHandshake, err)
	}
	ikm := append(a, b...)
	th := transcriptHash(greeting, hello, reply)
	prk, err := hkdf.Extract(sha256.New, ikm, th[:])
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrHandshake, err)
	}
	clear(ikm)
	clear(b)
	defer clear(prk)
	k := &sessionKeys{version: version}
	for _, out := range []struct {
		name string
		dst  *[32]byte
	}{{"up", &k.up}, {"down", &k.down}, {"finished", &k.finished}, {"binding", &k.binding}} {
		v, err := hkdf.Expand(sha256.New, prk, "tacit-wire1 "+out.name, 32)
		if err != nil {
			return nil, fmt.Errorf("%w: %w", ErrHandshake, err)
		}
		copy(out.dst[:], v)
		clear(v)
	}
	return k, nil
}

type transcriptKind struct{}

func transcriptHash(greeting, hello, reply []byte) id.Hash[transcriptKind] {
	return id.Sum[transcriptKind]("tacit-wire1 transcript", greeting, hello, reply)
}
