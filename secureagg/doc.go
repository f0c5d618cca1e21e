// Package secureagg is Tacit's secure aggregation: n agents hold vectors over
// ℤ_2^32, and a server learns the sum over one certified set of them and nothing
// else about any of them.
//
// # Promise
//
// Adversary: the server together with up to Params.Private members of a cohort,
// all malicious. Assumptions: the administrators' roster lists honest identities
// otherwise, agents keep their journal (a rolled-back one is noticed), X-Wing,
// AES-256, SHA-256, Ed25519 and ML-DSA-65 hold. Then the server learns, for each
// attempt, at most one sum over a set of at least Params.MinRelease members, who
// took part, sizes and timing. Availability rests on the server and on Params.Quorum
// members. Corrupt members can spoil an attempt, which is a typed [Abort], or add any
// vector to the sum, which nothing here prevents.
//
// More than MaxMembers members fall into cohorts, which a public coin draws. All of this
// then holds for each cohort that holds no more corrupt members than it tolerates (see
// [MostCorrupt]), and the one sum is over sets of more than two thirds of the cohorts.
//
// What a cheat signed convicts it: an [Abort] or [Drop] carries the messages from which
// [Faults] tells anyone with charter and roster. Package evil holds the attacks that
// this withstands, and shows for each that it would succeed without its check.
//
// The parts are published: double masking (Bonawitz et al. 2017,
// doi:10.1145/3133956.3133982), a committee that certifies the set in one report per
// round (Flamingo, Ma et al. 2023, doi:10.1109/SP46215.2023.10179434), masks bound to
// the model (against Pasquini et al. 2022, doi:10.1145/3548606.3560557). Their
// composition, with KEM epoch keys and a ratchet, is not, and no proof of it has been
// reviewed.
//
// # Flow
//
//	server                                  agent
//	 Proposal       E0 ------------------->  Member.Handle
//	     <--------- E1 EpochKey              an X-Wing key, signed
//	 Roster         E2 ------------------->
//	     <--------- E3 CtList                both sides of a pair encapsulate
//	 CtDelivery        ------------------->  chain keys CK^0 are durable
//	     <--------- E4 Confirm
//	 ConfirmSet        ------------------->
//	     <--------- Ready
//	 ReadySet          ------------------->  *Ready: the epoch is live
//
//	with several cohorts, before the Roster of each member's partners:
//	 Commitments    E2 ------------------->
//	     <--------- Coin                     all shares draw the cohorts
//
//	 RoundStart     R0 ------------------->  Member.Open: ratchet
//	     <--------- R1 Report and vector     Member.Report
//	 OnlineSet      R2 ------------------->
//	     <--------- Vote, Complaints
//	 Certificate    R3 ------------------->
//	     <--------- Shares                   R4: Round.Unmask
//
//	with several cohorts, in the place of the Certificate:
//	 Manifest          ------------------->  every cohort's set, certified by it
//	     <--------- ManifestVote
//	 ManifestCert   R3 ------------------->
//
// or, without a certificate, CloseRequest → Close → AbortCert; and after a restart
// of an agent's process Reentry → Floor, or Rekey.
//
// One [Member] is one agent; one [Epoch] and one [Round] are the server's. They take
// and return messages: no socket, clock, goroutine or global randomness. Every state
// change of a member that must survive is in [Output].Journal and is durable before
// its messages leave. The server's objects are deterministic: a restarted server
// makes them again from the messages it stored.
//
// # Bytes
//
// A message is kind, version, run, epoch, attempt, cohort, ctx, then fixed fields in
// the order of its type's declaration: integers big-endian, members as one-byte
// indices in roster order, sets as bitmaps, elements of F_p as 32 canonical
// big-endian bytes. There is one encoding of each message and nothing optional; the
// golden vectors stand in testdata/secureagg. Masks are AES-256-CTR from counter 0
// under HKDF-Expand(seed, "mask" ‖ ctx), words little-endian.
package secureagg
