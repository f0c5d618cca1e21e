package vault

import (
	"bytes"
	"crypto/rand"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"hash/crc32"

	"golang.org/x/crypto/chacha20poly1305"
	"golang.org/x/crypto/cryptobyte"
)

// The bytes of a journal's log; the format stands above Journal.

const (
	journalMagic = "tacit-journal/1\n"
	frameHead    = 4 + 8 + 4 + 4
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// A change is a record as it stands in memory and in a frame:
//
//	0 ‖ len16(key)                                deleted
//	1 ‖ len16(key) ‖ len32(value)                 inline
//	2 ‖ len16(key) ‖ name[16] ‖ key[32] ‖ size64  in a file
type change struct {
	key   string
	value *value
}

const (
	opDelete = 0
	opInline = 1
	opFile   = 2
)

func appendChanges(b []byte, changes []change) []byte {
	for _, c := range changes {
		op := byte(opDelete)
		if c.value != nil {
			op = opInline
			if c.value.file != nil {
				op = opFile
			}
		}
		b = append(b, op)
		b = binary.BigEndian.AppendUint16(b, uint16(len(c.key)))
		b = append(b, c.key...)
		switch op {
		case opInline:
			b = binary.BigEndian.AppendUint32(b, uint32(len(c.value.inline)))
			b = append(b, c.value.inline...)
		case opFile:
			name, err := hex.DecodeString(c.value.file.name)
			if err != nil || len(name) != 16 {
				panic("vault: a value's file has a name that newValue did not make")
			}
			b = append(b, name...)
			b = append(b, c.value.file.key...)
			b = binary.BigEndian.AppendUint64(b, uint64(c.value.file.size))
		}
	}
	return b
}

var errChanges = errors.New("a frame holds no records")

func parseChanges(b []byte) ([]change, error) {
	s := cryptobyte.String(b)
	var out []change
	for !s.Empty() {
		var op uint8
		var key cryptobyte.String
		if !s.ReadUint8(&op) || !s.ReadUint16LengthPrefixed(&key) || len(key) == 0 || len(key) > maxKeyBytes {
			return nil, errChanges
		}
		c := change{key: string(key)}
		switch op {
		case opDelete:
		case opInline:
			var n uint32
			var v []byte
			if !s.ReadUint32(&n) || n > maxInlineBytes || !s.ReadBytes(&v, int(n)) {
				return nil, errChanges
			}
			c.value = &value{inline: append([]byte{}, v...)}
		case opFile:
			var name, fileKey []byte
			var size uint64
			if !s.ReadBytes(&name, 16) || !s.ReadBytes(&fileKey, chacha20poly1305.KeySize) ||
				!s.ReadUint64(&size) || size > maxValueBytes {
				return nil, errChanges
			}
			c.value = &value{file: &valueFile{hex.EncodeToString(name), bytes.Clone(fileKey), int64(size)}}
		default:
			return nil, errChanges
		}
		out = append(out, c)
	}
	if len(out) == 0 {
		return nil, errChanges
	}
	return out, nil
}

func appendHead(b, sealedKey []byte) []byte {
	start := len(b)
	b = append(b, journalMagic...)
	b = binary.BigEndian.AppendUint32(b, uint32(len(sealedKey)))
	b = append(b, sealedKey...)
	return binary.BigEndian.AppendUint32(b, crc32.Checksum(b[start:], castagnoli))
}

func parseHead(b []byte) (sealedKey, frames []byte, err error) {
	rest, ok := bytes.CutPrefix(b, []byte(journalMagic))
	if !ok {
		if bytes.HasPrefix(b, []byte("tacit-journal/")) {
			return nil, nil, errors.New("it was made by a newer version of tacit, or its first line is wrong")
		}
		return nil, nil, errors.New("it is not a journal")
	}
	if len(rest) < 8 {
		return nil, nil, errors.New("its head is cut short")
	}
	n := binary.BigEndian.Uint32(rest)
	if uint64(n)+8 > uint64(len(rest)) {
		return nil, nil, errors.New("its head is cut short")
	}
	sum := binary.BigEndian.Uint32(rest[4+n:])
	if crc32.Checksum(b[:len(journalMagic)+4+int(n)], castagnoli) != sum {
		return nil, nil, errors.New("its head's checksum differs")
	}
	return rest[4 : 4+n], rest[4+n+4:], nil
}

func (j *Journal) associated(seq uint64) []byte {
	b := append([]byte("tacit-journal/1"), 0, 0, 0, 0, 0, 0, 0, 0)
	binary.BigEndian.PutUint64(b[len(b)-8:], seq)
	return append(b, j.name...)
}

// frame appends the frame of these records to b.
func (j *Journal) frame(b []byte, seq uint64, plain []byte) []byte {
	payload := make([]byte, chacha20poly1305.NonceSizeX, chacha20poly1305.NonceSizeX+len(plain)+chacha20poly1305.Overhead)
	rand.Read(payload)
	payload = j.aead.Seal(payload, payload, plain, j.associated(seq))
	var head [frameHead]byte
	binary.BigEndian.PutUint32(head[0:], uint32(len(payload)))
	binary.BigEndian.PutUint64(head[4:], seq)
	binary.BigEndian.PutUint32(head[12:], crc32.Checksum(payload, castagnoli))
	binary.BigEndian.PutUint32(head[16:], crc32.Checksum(head[:16], castagnoli))
	b = append(b, head[:]...)
	return append(b, payload...)
}

// replay reads a log into memory and returns how many of its bytes are whole.
func (j *Journal) replay(b []byte) (good int64, err error) {
	path := j.path(journalLog)
	damaged := func(what string) (int64, error) { return 0, &DamagedError{Path: path, What: what} }
	sealed, frames, err := parseHead(b)
	if err != nil {
		return damaged(err.Error())
	}
	key, err := j.vault.Open("journal/"+j.name, sealed)
	if err != nil {
		return 0, fmt.Errorf("%s: %w", path, err)
	}
	if len(key) != chacha20poly1305.KeySize {
		return damaged("its data key has another length")
	}
	j.aead, j.values = newAEAD(key), map[string]*value{}
	clear(key)
	j.seq, j.live = 0, 0
	good = int64(len(b) - len(frames))
	for len(frames) > 0 {
		head := frames[:min(frameHead, len(frames))]
		if len(head) < frameHead {
			return good, nil // torn
		}
		if crc32.Checksum(head[:16], castagnoli) != binary.BigEndian.Uint32(head[16:]) {
			if zeroTail(frames) {
				return good, nil // torn
			}
			return damaged(fmt.Sprintf("the head of frame %d", j.seq))
		}
		n, seq := uint64(binary.BigEndian.Uint32(head)), binary.BigEndian.Uint64(head[4:])
		if n > uint64(len(frames)-frameHead) {
			return good, nil // torn
		}
		payload := frames[frameHead : frameHead+n]
		rest := frames[frameHead+n:]
		if crc32.Checksum(payload, castagnoli) != binary.BigEndian.Uint32(head[12:]) {
			if len(rest) == 0 && zeroTail(payload) {
				return good, nil // torn
			}
			return damaged(fmt.Sprintf("the content of frame %d", j.seq))
		}
		changes, err := j.openFrame(seq, payload)
		if err != nil {
			return damaged(fmt.Sprintf("the seal of frame %d", j.seq))
		}
		j.take(changes)
		j.seq++
		good += int64(frameHead + n)
		frames = rest
	}
	return good, nil
}

func (j *Journal) openFrame(seq uint64, payload []byte) ([]change, error) {
	if seq != j.seq || len(payload) < chacha20poly1305.NonceSizeX {
		return nil, ErrSealed
	}
	nonce, ct := payload[:chacha20poly1305.NonceSizeX], payload[chacha20poly1305.NonceSizeX:]
	plain, err := j.aead.Open(nil, nonce, ct, j.associated(seq))
	if err != nil {
		return nil, ErrSealed
	}
	defer clear(plain)
	return parseChanges(plain)
}
