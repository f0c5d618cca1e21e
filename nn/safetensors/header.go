package safetensors

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"strconv"
)

// header reads a header token by token, so that it has one meaning: no key twice, none
// beside those of the format, nothing left out.
type header struct{ *json.Decoder }

// placed is a tensor whose values are still to be read.
type placed struct {
	Tensor
	kind     string
	from, to int // bytes of the data
}

// parseHeader returns the tensors in any order.
func parseHeader(b []byte) ([]placed, map[string]string, error) {
	if len(b) == 0 || b[0] != '{' {
		return nil, nil, errors.New("it does not begin with {")
	}
	h := header{json.NewDecoder(bytes.NewReader(b))}
	h.UseNumber()
	metadata := map[string]string{}
	var all []placed
	err := h.object(func(name string) (err error) {
		if name == metadataKey {
			return h.object(func(key string) error {
				metadata[key], err = h.text()
				return err
			})
		}
		p := placed{Tensor: Tensor{Name: name}}
		if err := h.tensor(&p); err != nil {
			return fmt.Errorf("tensor %q: %w", name, err)
		}
		all = append(all, p)
		return nil
	})
	if err != nil {
		return nil, nil, err
	}
	if _, err := h.Token(); err != io.EOF {
		return nil, nil, errors.New("there is more behind it")
	}
	return all, metadata, nil
}

// tensor reads what the header says of one.
func (h header) tensor(p *placed) error {
	members, offsets := 0, []int(nil)
	err := h.object(func(key string) (err error) {
		members++
		switch key {
		case "dtype":
			p.kind, err = h.text()
		case "shape":
			p.Shape, err = h.ints()
		case "data_offsets":
			offsets, err = h.ints()
		default:
			err = fmt.Errorf("unknown key %q", key)
		}
		return err
	})
	switch {
	case err != nil:
		return err
	case members != 3 || len(offsets) != 2 || p.Name == "":
		return errors.New("want a name, a dtype, a shape and two data_offsets")
	}
	p.from, p.to = offsets[0], offsets[1]
	return nil
}

// object reads { key : value … }; member reads the value.
func (h header) object(member func(key string) error) error {
	if err := h.delim('{'); err != nil {
		return err
	}
	seen := map[string]bool{}
	for h.More() {
		key, err := h.text()
		if err != nil {
			return err
		}
		if seen[key] {
			return fmt.Errorf("key %q stands twice", key)
		}
		seen[key] = true
		if err := member(key); err != nil {
			return err
		}
	}
	return h.delim('}')
}

func (h header) delim(want json.Delim) error {
	t, err := h.Token()
	if err == nil && t != want {
		err = fmt.Errorf("%v where %v belongs", t, want)
	}
	return err
}

func (h header) text() (string, error) {
	t, err := h.Token()
	s, ok := t.(string)
	if err == nil && !ok {
		err = fmt.Errorf("%v where a string belongs", t)
	}
	return s, err
}

// ints reads [whole numbers from 0 on].
func (h header) ints() ([]int, error) {
	if err := h.delim('['); err != nil {
		return nil, err
	}
	out := []int{}
	for h.More() {
		t, err := h.Token()
		if err != nil {
			return nil, err
		}
		n, _ := t.(json.Number)
		v, err := strconv.ParseUint(string(n), 10, strconv.IntSize-1)
		if err != nil {
			return nil, fmt.Errorf("%v where a whole number from 0 to %d belongs", t, math.MaxInt)
		}
		out = append(out, int(v))
	}
	return out, h.delim(']')
}
