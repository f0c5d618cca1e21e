package wire

import (
	"crypto/aes"
	"crypto/cipher"
	"encoding/binary"
	"fmt"
	"math"
)

// MaxFrame is the largest frame in bytes, header and tag included.
const MaxFrame = 64 << 10

const (
	typeData    = 0x10
	flagFirst   = 1
	flagLast    = 2
	frameHeader = 4
	tagSize     = 16
	maxPayload  = MaxFrame - frameHeader - tagSize // 65516, fits the header's 16 bits
)

// maxFrames is how many frames one key may seal: far below the 2³² random nonces
// that NIST SP 800-38D allows, and counters are not random; the bound is there so
// that the counter cannot wrap.
const maxFrames = math.MaxUint32

// halfDuplex is one direction of a channel: a key and a counter. The goroutine
// that holds the direction's mutex owns it.
type halfDuplex struct {
	aead cipher.AEAD
	seq  uint64
}

func newHalfDuplex(key *[32]byte) halfDuplex {
	block, err := aes.NewCipher(key[:])
	if err != nil {
		panic(err) // 32 bytes are a key
	}
	aead, err := cipher.NewGCM(block)
	if err != nil {
		panic(err) // AES has the block size that GCM wants
	}
	clear(key[:])
	return halfDuplex{aead: aead}
}

func (h *halfDuplex) nonce() (n [12]byte, err error) {
	if h.seq >= maxFrames {
		return n, fmt.Errorf("%w: the channel's keys are used up", ErrClosed)
	}
	binary.BigEndian.PutUint64(n[4:], h.seq)
	h.seq++
	return n, nil
}

// seal encrypts frame[frameHeader:] in place and returns the frame with header and
// tag. frame needs room for the tag.
func (h *halfDuplex) seal(frame []byte, flags byte) ([]byte, error) {
	payload := frame[frameHeader:]
	frame[0], frame[1] = typeData, flags
	binary.BigEndian.PutUint16(frame[2:], uint16(len(payload)))
	nonce, err := h.nonce()
	if err != nil {
		return nil, err
	}
	sealed := h.aead.Seal(payload[:0], nonce[:], payload, frame[:frameHeader])
	return frame[:frameHeader+len(sealed)], nil
}

// open decrypts frame in place. A frame that authenticates was made by the peer's
// seal, so what is wrong with it after that is the peer's mistake.
func (h *halfDuplex) open(frame []byte) (payload []byte, flags byte, err error) {
	if len(frame) < frameHeader+tagSize || len(frame) > MaxFrame {
		return nil, 0, fmt.Errorf("%w: %d bytes", ErrFrame, len(frame))
	}
	if frame[0] != typeData || int(binary.BigEndian.Uint16(frame[2:])) != len(frame)-frameHeader-tagSize {
		return nil, 0, fmt.Errorf("%w: header does not fit", ErrFrame)
	}
	nonce, err := h.nonce()
	if err != nil {
		return nil, 0, err
	}
	payload, err = h.aead.Open(frame[frameHeader:frameHeader], nonce[:], frame[frameHeader:], frame[:frameHeader])
	if err != nil {
		return nil, 0, ErrTampered
	}
	return payload, frame[1], nil
}
