// Package plan owns the training plan: the one document that the server, every
// branch and every owner hash and hold each other to. It says which rows a
// branch reads (the schema), which model is trained and how, how the branches
// are joined, and what may come out. The schema lives here and nowhere else.
//
// [Parse] reads YAML strictly: an unknown key, a wrong type, a value out of
// range or a combination that would not protect a branch is a [Problem] with
// its line, its column and what to write instead, and all of them are reported
// at once. What Parse returns is resolved: every field that the file left out
// holds its default.
//
//	p, err := plan.Parse(src, "heart.yaml")
//	fmt.Println(p.Hash())
//	for _, s := range p.Segments(plan.Train) {
//		fmt.Println(s.Name, s.Length, s.Bound, s.Scale)
//	}
//
// # Canonical bytes
//
// [Plan.Canonical] is the only encoding that is hashed (big-endian):
//
//	"tacit plan v1" and a zero byte
//	field: uint16 number, rising · uint8 revision · uint32 length · value
//
// A field equal to its default is left out, so that fields added later leave the
// hashes of older plans alone. The revision is that of plan/v1 in which the
// field appeared: a reader that meets a higher one refuses and can say which
// revision it lacks ([NewerError]). Values are UTF-8 text, uint64, IEEE 754
// float64 bits (never NaN or −0), one byte 0 or 1, nanoseconds as uint64, or a
// list: uint32 count, then uint32-length-prefixed values. A column is a list of
// fields of its own, in the same form.
//
// # The vector
//
// [Plan.Segments] lists what a branch adds to the masked sum, in order, with the
// bound on each coordinate's size and the power of two it is multiplied by. The
// scale is the largest power of two with n_max·⌈bound·scale⌉ < 2^31, so that no
// sum of federation.max_branches honest vectors wraps around the ring.
package plan
