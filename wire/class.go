package wire

import "fmt"

// Class says what kind of matter a message carries. The report tells every branch
// how many bytes of each class left it.
type Class uint8

// The classes. No kind is in the first two: rows and plaintext updates have no way
// to leave a branch.
const (
	ClassRows             Class = iota // examples, or anything of one example
	ClassPlaintextUpdates              // an update or statistic that is not masked
	ClassMaskedUpdates                 // vectors under masks
	ClassKeysAndShares                 // the stage messages of secure aggregation
	ClassControl                       // all else
	NumClasses            = iota
)

var classNames = [NumClasses]string{"rows", "plaintext_updates", "masked_updates", "keys_and_shares", "control"}

// String returns the class's name in reports: rows, plaintext_updates,
// masked_updates, keys_and_shares or control.
func (c Class) String() string {
	if int(c) >= len(classNames) {
		return fmt.Sprintf("class(%d)", uint8(c))
	}
	return classNames[c]
}

// Classes lists every class in the order of reports.
func Classes() []Class {
	all := make([]Class, NumClasses)
	for i := range all {
		all[i] = Class(i)
	}
	return all
}

// Bytes counts message bytes by class: 5 bytes of kind and length, and the body.
type Bytes [NumClasses]uint64

// Of returns the count of one class; an unknown class has none.
func (b Bytes) Of(c Class) uint64 {
	if int(c) >= len(b) {
		return 0
	}
	return b[c]
}

// Add adds o to b, class by class.
func (b *Bytes) Add(o Bytes) {
	for i, n := range o {
		b[i] += n
	}
}

// Total returns the bytes of all classes.
func (b Bytes) Total() (n uint64) {
	for _, v := range b {
		n += v
	}
	return n
}

// Map returns the counts by class name, zeros included.
func (b Bytes) Map() map[string]uint64 {
	m := make(map[string]uint64, NumClasses)
	for i, n := range b {
		m[classNames[i]] = n
	}
	return m
}
