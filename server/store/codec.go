package store

// How each kind of record lies in its table's row. readX is the inverse of the
// row that X.row builds; the keys stand first.

func (k Key) values() []any { return []any{k.Run[:], k.R, k.Cohort, k.Slice} }

// key builds the key values of k for rows.get.
func (k Key) key() ([]any, error) { return build(k.values()...) }

func (d *reader) key(k *Key) {
	d.array(k.Run[:])
	d.uint(&k.R)
	d.uint32(&k.Cohort)
	d.uint32(&k.Slice)
}

func (r Run) row() (row, error) {
	return build(r.ID[:], r.PlanHash[:], r.Plan, r.Created, r.State, r.Epoch, r.Round, r.R, r.Model[:], r.Strategy, r.Reason)
}

func readRun(in row) (r Run, err error) {
	d := tRuns.read(in)
	d.array(r.ID[:])
	d.array(r.PlanHash[:])
	d.bytes(&r.Plan)
	d.time(&r.Created)
	d.text(&r.State)
	d.uint(&r.Epoch)
	d.uint(&r.Round)
	d.uint(&r.R)
	d.array(r.Model[:])
	d.bytes(&r.Strategy)
	d.text(&r.Reason)
	return r, d.err
}

func (e Epoch) row() (row, error) { return build(e.Run[:], e.Number, e.E0, e.Phase, e.Root) }

func readEpoch(in row) (e Epoch, err error) {
	d := tEpochs.read(in)
	d.array(e.Run[:])
	d.uint(&e.Number)
	d.bytes(&e.E0)
	d.text(&e.Phase)
	d.bytes(&e.Root)
	return e, d.err
}

func (a Attempt) row(shredded bool) (row, error) {
	return build(append(a.Key.values(), a.Epoch, a.Task, a.Round, a.Model[:], a.Start,
		a.Phase, a.Reason, a.OnlineSet, a.Certificate, a.AbortCertificate, a.SpoolKey, shredded)...)
}

func readAttempt(in row) (a Attempt, shredded bool, err error) {
	d := tAttempts.read(in)
	d.key(&a.Key)
	d.uint(&a.Epoch)
	d.uint8(&a.Task)
	d.uint(&a.Round)
	d.array(a.Model[:])
	d.bytes(&a.Start)
	d.text(&a.Phase)
	d.text(&a.Reason)
	d.bytes(&a.OnlineSet)
	d.bytes(&a.Certificate)
	d.bytes(&a.AbortCertificate)
	d.bytes(&a.SpoolKey)
	d.bool(&shredded)
	return a, shredded, d.err
}

func (m Message) row() (row, error) {
	return build(m.Run[:], m.Epoch, m.R, m.Seq, m.Cohort, m.Slice, m.Stage, m.From[:], m.Body)
}

func readMessage(in row) (m Message, err error) {
	d := tMessages.read(in)
	d.array(m.Run[:])
	d.uint(&m.Epoch)
	d.uint(&m.R)
	d.uint(&m.Seq)
	d.uint32(&m.Cohort)
	d.uint32(&m.Slice)
	d.uint8(&m.Stage)
	d.array(m.From[:])
	d.bytes(&m.Body)
	return m, d.err
}

func (r Report) row(seq uint64) (row, error) {
	return build(append(r.Key.values(), r.Agent[:], seq, r.Body, r.Blob, r.Vector[:], r.At)...)
}

func readReport(in row) (r Report, seq uint64, err error) {
	d := tReports.read(in)
	d.key(&r.Key)
	d.array(r.Agent[:])
	d.uint(&seq)
	d.bytes(&r.Body)
	d.text(&r.Blob)
	d.array(r.Vector[:])
	d.time(&r.At)
	return r, seq, d.err
}

func (m Model) row(forgotten bool) (row, error) {
	return build(m.Run[:], m.Round, m.Hash[:], m.File, m.Wrapped, m.Manifest, m.LogIndex, forgotten)
}

func readModel(in row) (m Model, err error) {
	var forgotten bool
	d := tModels.read(in)
	d.array(m.Run[:])
	d.uint(&m.Round)
	d.array(m.Hash[:])
	d.text(&m.File)
	d.bytes(&m.Wrapped)
	d.bytes(&m.Manifest)
	d.uint(&m.LogIndex)
	d.bool(&forgotten)
	return m, d.err
}

func (r Record) row() (row, error) { return build(r.Digest[:], r.Body) }

func readRecord(in row) (r Record, err error) {
	d := tRecords.read(in)
	d.array(r.Digest[:])
	d.bytes(&r.Body)
	return r, d.err
}

func (t Token) row() (row, error) {
	return build(t.ID, t.Hash[:], t.Org, t.Site, t.Expires, t.Tries, t.Redeemed, t.Agent[:])
}

func readToken(in row) (t Token, err error) {
	d := tTokens.read(in)
	d.text(&t.ID)
	d.array(t.Hash[:])
	d.text(&t.Org)
	d.text(&t.Site)
	d.time(&t.Expires)
	d.int(&t.Tries)
	d.time(&t.Redeemed)
	d.array(t.Agent[:])
	return t, d.err
}

func (c Candidate) row() (row, error) {
	return build(c.Agent[:], c.Org, c.Site, c.Body, c.Token, c.At)
}

func readCandidate(in row) (c Candidate, err error) {
	d := tCandidates.read(in)
	d.array(c.Agent[:])
	d.text(&c.Org)
	d.text(&c.Site)
	d.bytes(&c.Body)
	d.text(&c.Token)
	d.time(&c.At)
	return c, d.err
}

func (r Receipt) row() (row, error) { return build(append(r.Key.values(), r.Agent[:], r.Body)...) }

func readReceipt(in row) (r Receipt, err error) {
	d := tReceipts.read(in)
	d.key(&r.Key)
	d.array(r.Agent[:])
	d.bytes(&r.Body)
	return r, d.err
}

func (c Cosignature) row() (row, error) { return build(c.Size, c.Agent[:], c.Body) }

func readCosignature(in row) (c Cosignature, err error) {
	d := tCosignatures.read(in)
	d.int64(&c.Size)
	d.array(c.Agent[:])
	d.bytes(&c.Body)
	return c, d.err
}

func (c ByteCount) row() (row, error) {
	return build(c.Agent[:], c.Class, c.Kind, c.Bytes, c.Messages)
}

func readByteCount(in row) (c ByteCount, err error) {
	d := tBytes.read(in)
	d.array(c.Agent[:])
	d.text(&c.Class)
	d.text(&c.Kind)
	d.uint(&c.Bytes)
	d.uint(&c.Messages)
	return c, d.err
}

func readHead(in row) (h Head, err error) {
	d := tCheckpoints.read(in)
	d.int64(&h.Size)
	d.array(h.Root[:])
	d.bytes(&h.Checkpoint)
	return h, d.err
}

func readCharter(in row) (c Charter, err error) {
	var seq uint64
	d := tCharters.read(in)
	d.uint(&seq)
	d.array(c.Hash[:])
	d.bytes(&c.Body)
	return c, d.err
}

func readRoster(in row) (r Roster, err error) {
	d := tRosters.read(in)
	d.uint(&r.Version)
	d.bytes(&r.Body)
	return r, d.err
}
