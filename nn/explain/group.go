package explain

import (
	"errors"
	"fmt"
)

// Group is features that are one thing to people: a number, the one-hot features
// of a column, one series over all its time steps.
type Group struct {
	Name     string
	Features []int // indices into an example, each once
}

// Each returns a group for every feature by itself. With fewer names than inputs
// the others are called by their index.
func Each(inputs int, names []string) []Group { return Channels(inputs, inputs, names) }

// Channels returns a group for every position of an example's last axis, which has
// the given width: the series of a window [steps, series], the channels of an
// image. Inputs that are not a multiple of the width give nil.
func Channels(inputs, width int, names []string) []Group {
	if inputs < 1 || width < 1 || inputs%width != 0 {
		return nil
	}
	groups := make([]Group, width)
	for c := range groups {
		groups[c].Name = fmt.Sprint(c)
		if c < len(names) {
			groups[c].Name = names[c]
		}
		for f := c; f < inputs; f += width {
			groups[c].Features = append(groups[c].Features, f)
		}
	}
	return groups
}

// check reports what is wrong with groups of features 0 … inputs−1.
func check(groups []Group, inputs int) error {
	var errs []error
	if len(groups) == 0 {
		errs = append(errs, errors.New("explain: no groups of features"))
	}
	for _, g := range groups {
		if len(g.Features) == 0 {
			errs = append(errs, fmt.Errorf("explain: group %q has no features", g.Name))
		}
		seen := map[int]bool{}
		for _, f := range g.Features {
			if f < 0 || f >= inputs {
				errs = append(errs, fmt.Errorf("explain: group %q has feature %d, want 0 to %d", g.Name, f, inputs-1))
			} else if seen[f] {
				errs = append(errs, fmt.Errorf("explain: group %q has feature %d twice", g.Name, f))
			}
			seen[f] = true
		}
	}
	return errors.Join(errs...)
}

func same(a, b []Group) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if a[i].Name != b[i].Name || fmt.Sprint(a[i].Features) != fmt.Sprint(b[i].Features) {
			return false
		}
	}
	return true
}
