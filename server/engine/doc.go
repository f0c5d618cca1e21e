// Package engine is the coordinator's mind: which attempt of which round a run is
// in, who is there, and what has to happen next. It is pure: [Engine.Step] takes
// an [Event] and returns [Effect]s, without socket, clock, file or goroutine, so
// that the same code runs in the server, in simulation and in tests.
//
//	           all members accepted            epoch live              members back
//	Gathering ------------------------> Keying ----------> Waiting ----------------> Collecting
//	                                      ^                   ^                          |
//	                      rekey, rounds   |                   |   all reported or gone,  | set persisted
//	                      per epoch used  +-------------------+   or the deadline        v
//	Finished <-- last round committed --- Summing <-- T shares -- Releasing <-- Q votes -- Voting
//	                                                                  |                    |
//	                                      below U_min, no quorum:  Closing <---------------+
//	                                      Q signatures, then the next attempt
//
// Order is the contract with the shell that executes effects: it runs them one
// after another, a [Write] is durable before the next effect begins, and a failed
// Write stops the server; so nothing is sent before what it promises is on disk.
// The masked inputs and the messages that cannot be asked for again are rows of
// the store; a restarted server builds the same Engine from them (see [Restore]) and
// goes on where it was: no online set persisted → it collects again under the same
// ctx; online set but no certificate → it sends the set again; a certificate →
// it asks for shares until T have answered.
package engine
