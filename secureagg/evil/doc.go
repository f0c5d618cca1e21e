// Package evil is a catalogue of what a lying coordinator and lying agents can try
// against secure aggregation, each with the proof that it fails and the proof that the
// try is a real one.
//
// An [Attack] says who misbehaves, what that adversary wants, which part of the
// specification stands against it, how it is stopped and whom the signed messages
// convict. It drives the real Member, Epoch and Round in process; the adversary has its
// own keys, its corrupt members' journals, its own reading of the wire format
// (wire.go) and its own cryptography (crypto.go), and nothing else of the honest.
//
// Two tests run the catalogue. In every build each attack fails closed: an honest party
// stops it with the typed error of the entry, and the messages that are kept prove to
// anyone with charter and roster who cheated, where that can be proved, and never
// convict an honest party. Under the build tag evil each attack runs once more with
// the checks in its way switched off: then it succeeds, and it fails while any one of
// them is left. So every check is needed, and every attack bites.
//
//	go test ./secureagg/evil
//	go test -tags evil ./secureagg/evil
//
// docs/ATTACKS.md is the catalogue in one table.
package evil
