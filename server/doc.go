// Package server is the coordinator: it admits branches, drives the rounds of a
// run, commits them, and answers operators and auditors.
//
// What is where:
//
//	engine/     decides: pure, event in, effects out
//	store/      remembers: rows, log entries and tree hashes in one transaction
//	blob/       keeps sealed models and the spool of masked inputs
//	run.go      the loop that owns the engine and executes its effects
//	ledger.go   one way into the log; proofs for whoever is told
//	session.go  one branch's channel
//	control.go  what people ask of a running server, over a Unix socket
//
// The server is trusted for availability only. It never holds an administrator's
// key, so it cannot make members; it never holds a mask key, so it opens nothing
// but the sum of a certified set; and what it tells a branch carries a proof
// against the log that the branch itself watches.
//
// Order everywhere is: durable, then said. A failed commit stops the server; what
// is on disk then is what a restart goes on from.
package server
