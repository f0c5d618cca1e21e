// Package wire is what a branch agent and the server say to each other: the
// messages, their limits and their bytes, and the secure channel that carries
// them over any [FrameConn] (a WebSocket, see wire/wsconn, or a pipe in memory).
//
// # Flow
//
//	client (agent)                               server
//	  | <------------------------ Greeting ------- |  versions, static channel key
//	  |  the pinned fingerprint decides            |
//	  | ------- Hello ---------------------------> |  versions, encapsulation, ephemeral key
//	  | <------------------------ Reply ---------- |  version, encapsulation, finished
//	  |  ============ every frame sealed ========= |
//	  | ------- Join ----------------------------> |  one-time token, keys, possession
//	  | <------------------------ JoinStatus ----- |  pending … approved | refused
//	  | ------- Auth ----------------------------> |  signature over the channel's binding
//	  | <------------------------ Welcome -------- |  charter, roster, log proof; now all kinds
//	  | <--- PlanOffer, StageDown, RoundOpen, ReportAck, Committed, RoundAborted, RunDone
//	  | ---- PlanReply, AgentState, StageUp, Report, Vector, Cosign --->
//
// # Handshake
//
// Integers are big-endian. The first ten bytes of Greeting and Hello never change,
// so that any two versions can at least say which ones they speak; a client
// without a common version sends exactly those ten bytes and ends.
//
//	Greeting = 0x01 ‖ "tacit" ‖ min u16 ‖ max u16 ‖ S             1226 bytes
//	Hello    = 0x02 ‖ "tacit" ‖ min u16 ‖ max u16 ‖ enc1 ‖ E      2346 bytes
//	Reply    = 0x03 ‖ version u16 ‖ enc2 ‖ finished               1155 bytes
//
// S is the server's static X-Wing public key (1216 bytes, RFC 9180 KEM 0x647a:
// ML-KEM-768 and X25519), E the client's ephemeral one, enc1 and enc2 are
// encapsulations (1120 bytes) to S and to E. Both are HPKE contexts
// (MLKEM768X25519, HKDF-SHA256, export only) with
//
//	info1 = "tacit-wire1 hello" ‖ 0x00 ‖ SHA-256(Greeting) ‖ min ‖ max ‖ SHA-256(E)
//	info2 = "tacit-wire1 reply" ‖ 0x00 ‖ version ‖ SHA-256(Greeting) ‖ SHA-256(Hello)
//	x1, x2 = Export("tacit-wire1 export", 32) of each
//	th  = id.Sum("tacit-wire1 transcript", Greeting, Hello, Reply without finished)
//	prk = HKDF-Extract(SHA-256, salt = th, ikm = x1 ‖ x2)
//	key up, key down, finished, binding = HKDF-Expand(prk, "tacit-wire1 " ‖ name, 32)
//
// The static key authenticates the server: whoever cannot open enc1 cannot make
// finished, and the client stops with [ErrServerKey]. The ephemeral key gives
// forward secrecy: the static key's later theft opens no recorded session. The
// client is authenticated afterwards, by [Auth], which signs binding; no second
// party can hold a channel with the same binding. Assumption: one of ML-KEM-768
// and X25519 holds, and the pin came over an honest way.
//
// # Frames
//
//	frame   = 0x10 ‖ flags u8 ‖ n u16 ‖ AES-256-GCM(key, nonce, ad = first 4 bytes, payload of n bytes)
//	nonce   = 0x00000000 ‖ frame counter u64, per direction, from 0
//	flags   = 1 first frame of a message | 2 last frame of a message
//	message = kind u8 ‖ len(body) u32 ‖ body, cut into payloads of exactly
//	          65516 bytes, the last one shorter or equal
//
// A frame is at most 64 KiB, so that a slow line still finishes one within the
// transport's deadline and WebSocket heartbeats pass between two. Counters make
// replay, reordering and loss fail to authenticate. Any bad frame kills the
// channel. A message's length is checked against its kind's limit on its first
// frame; memory grows with what has arrived, never with what was announced.
//
// # Bodies
//
// A body is one CBOR map with text keys, in core deterministic encoding (RFC 8949,
// 4.2.1): no tags, no indefinite lengths, no unknown, missing or duplicate keys.
// Committed and Vector carry their bulk behind it, so that it is not copied:
//
//	body = len(map) u32 ‖ map ‖ bulk
//
// What is signed or hashed is never CBOR: it travels as opaque bytes whose owner
// (id, secureagg, plan, audit) defines them, and the signatures of [Join], [Auth]
// and [ReportAck] cover the fixed encodings in their Sign methods.
//
// # Accounting
//
// Every kind is in exactly one [Class]; rows and plaintext_updates have no kind at
// all, which a test holds. A channel counts the bytes of logical messages by class,
// before encryption, so that what an agent sent is what the server received.
package wire
