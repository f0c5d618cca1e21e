//go:build full

package dataset

import (
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/klauspost/compress/snappy"
	"github.com/klauspost/compress/zstd"
	"github.com/parquet-go/parquet-go/format"
)

// pageCheck goes over the pages of a column chunk before the library decodes them.
// It sees to it that what a page's header, its compression, its runs and its delta
// blocks promise stays within the bounds: the library allocates what they promise.
type pageCheck struct {
	in       io.ReaderAt
	most     int64 // bytes of a page, decompressed
	rows     int64 // of the row group
	optional bool
	codec    format.CompressionCodec
	zstd     *zstd.Decoder
}

// maxPageHeader bounds a page's header, which may hold the least and the greatest
// value of a text column.
const maxPageHeader = 1 << 20

// plainDictionary is what version 1 of the format called a page of indices.
const plainDictionary format.Encoding = 2

var errPage = errors.New("a page is damaged, or promises more than it holds")

type pageHeader struct {
	kind              int64 // 0 data, 1 index, 2 dictionary, 3 data of version 2
	plain, compressed int64
	values            int64
	encoding          int64
	levels, repeats   int64 // bytes of version 2
	uncompressed      bool  // of version 2: is_compressed is false
}

// chunk checks the pages from offset to offset + size.
func (c *pageCheck) chunk(offset, size int64) error {
	for end := offset + size; offset < end; {
		h, length, err := c.header(offset, end)
		if err != nil {
			return err
		}
		offset += length
		if h.compressed < 0 || h.compressed > end-offset || h.plain < 0 || h.values < 0 || h.values > c.rows && h.kind != 2 {
			return errPage
		}
		if h.plain > c.most || h.compressed > c.most || h.values > c.most/4 {
			return fmt.Errorf("a page of %d bytes and %d values is larger than its share of memory: give the data set more memory, or write the file with smaller pages", max(h.plain, h.compressed), h.values)
		}
		if h.kind == 0 || h.kind == 2 || h.kind == 3 {
			body := make([]byte, h.compressed)
			if _, err := c.in.ReadAt(body, offset); err != nil {
				return errPage
			}
			if err := c.page(h, body); err != nil {
				return err
			}
		}
		offset += h.compressed
	}
	return nil
}

// header reads the header at offset and returns its length.
func (c *pageCheck) header(offset, end int64) (h *pageHeader, length int64, err error) {
	for window := int64(1 << 10); ; window *= 8 {
		b := make([]byte, min(window, end-offset, maxPageHeader))
		if _, err := c.in.ReadAt(b, offset); err != nil {
			return nil, 0, errPage
		}
		t := &thrift{b: b, items: 1 << 10}
		if h, err = parsePageHeader(t); err == nil {
			return h, int64(t.i), nil
		}
		if int64(len(b)) < window {
			return nil, 0, err
		}
	}
}

func parsePageHeader(t *thrift) (*pageHeader, error) {
	h := new(pageHeader)
	number := func(into *int64, kind byte) (err error) {
		if kind != thriftI32 {
			return errThrift
		}
		*into, err = t.varint()
		return err
	}
	// inner reads the numbers of a struct that into names.
	inner := func(kind byte, into map[int16]*int64) error {
		if kind != thriftStruct {
			return errThrift
		}
		return t.fields(func(id int16, kind byte) error {
			if to := into[id]; to != nil {
				return number(to, kind)
			}
			if id == 7 && kind == thriftFalse {
				h.uncompressed = true
			}
			return t.skip(kind, 0, false)
		})
	}
	err := t.fields(func(id int16, kind byte) error {
		switch id {
		case 1:
			return number(&h.kind, kind)
		case 2:
			return number(&h.plain, kind)
		case 3:
			return number(&h.compressed, kind)
		case 5, 7:
			return inner(kind, map[int16]*int64{1: &h.values, 2: &h.encoding})
		case 8:
			return inner(kind, map[int16]*int64{1: &h.values, 4: &h.encoding, 5: &h.levels, 6: &h.repeats})
		}
		return t.skip(kind, 0, false)
	})
	return h, err
}

// page checks one page's contents.
func (c *pageCheck) page(h *pageHeader, b []byte) error {
	var levels []byte
	if h.kind == 3 {
		n := h.levels + h.repeats
		if h.levels < 0 || h.repeats < 0 || n > int64(len(b)) {
			return errPage
		}
		levels, b = b[h.repeats:n], b[n:]
		h.plain -= n
	}
	var err error
	if !h.uncompressed {
		if b, err = c.decompress(b, h.plain); err != nil {
			return err
		}
	}
	if h.kind == 2 {
		if int64(len(b)) < h.values/8 {
			return errPage
		}
		return nil
	}
	if h.kind == 0 && c.optional {
		if levels, b, err = prefixed(b); err != nil {
			return err
		}
	}
	if c.optional {
		if err := runs(levels, 1, h.values); err != nil {
			return err
		}
	}
	switch format.Encoding(h.encoding) {
	case format.Plain, format.ByteStreamSplit:
		return nil
	case plainDictionary, format.RLEDictionary:
		if len(b) == 0 {
			return nil
		}
		return runs(b[1:], b[0], h.values)
	case format.RLE:
		values, _, err := prefixed(b)
		if err != nil {
			return err
		}
		return runs(values, 1, h.values)
	case format.DeltaBinaryPacked, format.DeltaLengthByteArray:
		return delta(b, h.values)
	}
	return fmt.Errorf("the encoding %v is not read here: write the file with plain or dictionary encoding", format.Encoding(h.encoding))
}

// decompress returns the n bytes that b holds. It never makes more of them.
func (c *pageCheck) decompress(b []byte, n int64) (out []byte, err error) {
	if n < 0 {
		return nil, errPage
	}
	switch c.codec {
	case format.Uncompressed:
		return b, nil
	case format.Snappy:
		if have, err := snappy.DecodedLen(b); err != nil || int64(have) != n {
			return nil, errPage
		}
		out, err = snappy.Decode(nil, b)
	case format.Gzip:
		z, zerr := gzip.NewReader(bytes.NewReader(b))
		if zerr != nil {
			return nil, errPage
		}
		out, err = io.ReadAll(io.LimitReader(z, n+1))
	case format.Zstd:
		if len(b) == 0 && n == 0 {
			return nil, nil
		}
		if c.zstd == nil {
			if c.zstd, err = zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(uint64(c.most)+1<<10)); err != nil {
				return nil, err
			}
		}
		out, err = c.zstd.DecodeAll(b, nil)
	default:
		return nil, fmt.Errorf("the compression %v is not read here: write the file with snappy, gzip, zstd or none", c.codec)
	}
	if err != nil || int64(len(out)) != n {
		return nil, errPage
	}
	return out, nil
}

// prefixed cuts off what a length of four bytes stands before.
func prefixed(b []byte) (part, rest []byte, err error) {
	if len(b) < 4 {
		return nil, nil, errPage
	}
	n := binary.LittleEndian.Uint32(b)
	if uint64(n) > uint64(len(b)-4) {
		return nil, nil, errPage
	}
	return b[4:][:n], b[4+n:], nil
}

// runs checks that runs of values of so many bits add up to no more than there
// are (https://parquet.apache.org/docs/file-format/data-pages/encodings/, RLE).
func runs(b []byte, bits byte, values int64) error {
	if bits > 32 {
		return errPage
	}
	t := &thrift{b: b}
	for left := values + 7; t.i < len(b); { // packed values come in eights
		h, err := t.uvarint()
		if err != nil {
			return errPage
		}
		n, size := h>>1, (uint64(bits)+7)/8
		if h&1 == 1 {
			if n > 1<<31 {
				return errPage
			}
			size = n * uint64(bits)
			n *= 8
		}
		// The last run may be cut, where its padding would stand.
		if n > uint64(left) && !(h&1 == 1 && n <= uint64(left)+504) {
			return errPage
		}
		if left -= int64(n); left < 0 {
			left = 0
		}
		if t.advance(min(size, uint64(len(b)-t.i))) != nil {
			return errPage
		}
	}
	return nil
}

// delta checks the header of delta blocks.
func delta(b []byte, values int64) error {
	t := &thrift{b: b}
	if _, err := t.uvarint(); err != nil { // block size: bounded by the library
		return errPage
	}
	if _, err := t.uvarint(); err != nil { // miniblocks
		return errPage
	}
	if n, err := t.uvarint(); err != nil || n > uint64(values) {
		return errPage
	}
	return nil
}
