package store

import (
	"bytes"
	"slices"
)

// How membership changes: charters, rosters and joining tokens.

func (c *change) charter(ch Charter) error {
	old, err := findCharter(c.rows, ch.Hash)
	if err != nil {
		return err
	}
	if old != nil && !bytes.Equal(old.Body, ch.Body) {
		return conflict("charter %x with other content is there", ch.Hash[:6])
	}
	if last, err := c.last(tCharters); err != nil {
		return err
	} else if last != nil {
		if current, err := readCharter(last); err != nil || current.Hash == ch.Hash {
			return err // it is current already
		}
	}
	seq, err := c.takeNumber("charter")
	if err != nil {
		return err
	}
	r, err := build(seq, ch.Hash[:], ch.Body)
	if err != nil {
		return err
	}
	return c.put(tCharters, r)
}

func (c *change) roster(v Roster) error {
	r, err := build(v.Version, v.Body)
	if err != nil {
		return err
	}
	last, err := c.last(tRosters)
	if err != nil {
		return err
	}
	if last != nil {
		latest, err := readRoster(last)
		if err != nil {
			return err
		}
		if latest.Version == v.Version && bytes.Equal(latest.Body, v.Body) {
			return nil
		}
		if v.Version <= latest.Version {
			return conflict("roster version %d after %d", v.Version, latest.Version)
		}
	}
	return c.put(tRosters, r)
}

func (c *change) token(v Token) error {
	old, err := c.get(tTokens, v.ID)
	if err != nil {
		return err
	}
	if old != nil {
		return conflict("token %s is there", v.ID)
	}
	return c.store(tTokens, v)
}

func (c *change) redeem(v Redemption) error {
	in, err := c.get(tTokens, v.ID)
	if err != nil {
		return err
	}
	if in == nil {
		return &TokenError{v.ID, "unknown"}
	}
	t, err := readToken(in)
	switch {
	case err != nil:
		return err
	case !t.Redeemed.IsZero():
		return &TokenError{v.ID, "redeemed"}
	case t.Tries >= MaxTries:
		return &TokenError{v.ID, "burnt"}
	case !v.At.Before(t.Expires):
		return &TokenError{v.ID, "expired"}
	}
	t.Redeemed, t.Agent = v.At, v.Agent
	return c.store(tTokens, t)
}

func (c *change) wrongTry(tokenID string) error {
	in, err := c.get(tTokens, tokenID)
	if err != nil {
		return err
	}
	if in == nil {
		return &TokenError{tokenID, "unknown"}
	}
	t, err := readToken(in)
	if err != nil {
		return err
	}
	t.Tries++
	return c.store(tTokens, t)
}

func findCharter(r rows, hash [32]byte) (*Charter, error) {
	all, err := r.scan(tCharters)
	if err != nil {
		return nil, err
	}
	for _, in := range slices.Backward(all) {
		c, err := readCharter(in)
		if err != nil {
			return nil, err
		}
		if c.Hash == hash {
			return &c, nil
		}
	}
	return nil, nil
}
