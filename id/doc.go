// Package id gives every name, hash, key and membership document of Tacit one home.
//
// It promises three things to the packages above it. A hash of one thing cannot be
// passed where the hash of another is wanted: [ModelHash], [PlanHash] and their
// kin are distinct types. A signature made for one purpose cannot serve another:
// every signature covers a [Label], a zero byte and the body. And every document
// that is hashed or signed ([Charter], [Roster], [PublicKey], [JoinString]) has one
// fixed binary encoding with strict limits: Append(Parse(b)) equals b, and whatever
// is not canonical is refused.
//
// Integers are big-endian; byte strings carry a length prefix of one, two or three
// bytes. Long-lived documents are signed with Ed25519 and ML-DSA-65 (FIPS 204)
// together, and both must verify; messages of a round are signed with Ed25519 alone,
// because their authenticity matters only while the round lasts.
package id
