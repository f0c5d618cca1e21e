// Package strategy says how the opened sum of one round becomes the next model
// record. It is pure: the server commits with [Next], and every branch that
// replays the run calls the same function on the same published sum and must
// arrive at the same hash.
//
//	rec, st, err := strategy.Initial(p)
//	rec, st, metrics, err = strategy.Next(p, rec, st, plan.Train, sum)
//	fmt.Println(rec.Hash())
//
// All arithmetic is float64, one operation at a time in a fixed order; explicit
// conversions keep compilers from fusing a product into a sum, which the Go
// specification allows otherwise and which would change bits between machines.
//
// # The record's bytes
//
// [Record.AppendBinary] is the one encoding of a model record, and what
// [Record.Hash] is over:
//
//	"tacit model v1" and a zero byte
//	uint64 d (big-endian) · d parameters, IEEE 754 float32, little-endian
//	uint8 1 and uint32 w (big-endian), w means and w deviations, float64
//	  little-endian; or uint8 0 while there is no standardisation
//	32 bytes: hash of the strategy's state
//
// Parameters are finite; deviations are finite and not negative; nothing is −0
// but parameters.
package strategy
