// Package client is the branch agent: it joins a federation, trains on rows that
// never leave the branch, masks what it sends, and believes nothing that it has not
// checked itself.
//
//	server                                  agent
//	  |<------------------------- Join ------|  one string; keys made here, possession proved
//	  |---- JoinStatus pending, approved --->|
//	  |<------------------------- Auth ------|  in a channel to the pinned key, for every connection
//	  |---- Welcome ------------------------>|  charter = the pinned one, roster signed and never older,
//	  |                                      |  log extends the last checkpoint seen
//	  |---- PlanOffer + log proof ---------->|  proof, plan hash, first model, charter, policy, rows
//	  |<------------------------ PlanReply --|  a refusal is a code and nothing else
//	  |<------------- Reentry, AgentState ---|  after a restart: out until the others vouch
//	  |---- Stage messages <---------------->|  epoch keys (secureagg)
//	  |---- RoundOpen + log proof ---------->|  entry = message = own values; policy again
//	  |                                      |  train from the model that its own replay led to, in the
//	  |                                      |  background; clip, quantize, mask, journal
//	  |<----------------- Report, Vector ----|
//	  |---- ReportAck ---------------------->|  the server's signed receipt: kept
//	  |---- OnlineSet / Vote / Certificate / Shares <-->|
//	  |---- Committed + log proof ---------->|  replay the round from the sum: same model or stop
//	  |<--------------------------- Cosign --|
//
// What the agent promises its branch:
//
//   - Rows stay in dataset's tables. What leaves is the masked vector, keys and
//     shares of secure aggregation, and control messages; logs and errors that leave
//     the process hold ids, sizes and codes.
//   - It trains only on a plan that its own policy allows, in a round that the log
//     shows, from the model that it derived itself: the plan's first, or what replaying
//     every committed round led to. No server chooses a model for it, and no round is
//     reported on twice but for attempts that a quorum gave up.
//   - What it needs after a crash is journaled, sealed, before the bytes that depend
//     on it leave: persist → send → erase. Killed before its report was journaled, it
//     comes back without one; killed after, it sends the same bytes again.
//   - It keeps, per round, what proves the server's word: log entries with their
//     proofs, the receipt, the certificate ([Evidence]). A server that contradicts
//     itself leaves a file that others can check, and the agent stops.
//
// One goroutine, that of [Agent.Run], owns the agent's state; a reader per
// connection and a trainer per attempt hand it what they have. Errors of [Agent.Run]
// are final: the network's are retried inside, from at once up to every 15 s.
package client
