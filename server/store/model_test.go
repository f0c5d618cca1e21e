package store_test

import (
	"errors"
	"fmt"
	"reflect"
	"testing"
	"time"

	"pgregory.net/rapid"

	"tacit/id"
	"tacit/server/store"
	"tacit/server/store/storetest"
)

// drawBatch draws a batch over few keys, so that conflicts are common.
func drawBatch(t *rapid.T) *store.Batch {
	small := func(what string) uint64 { return rapid.Uint64Range(0, 2).Draw(t, what) }
	some := func(what string) []byte {
		return rapid.SampledFrom([][]byte{nil, nil, []byte("x"), []byte("y")}).Draw(t, what)
	}
	run := func() id.RunID { return id.RunID{byte(small("run"))} }
	agent := func() id.AgentID { return id.AgentID{byte(small("agent"))} }
	key := func() store.Key { return store.Key{Run: run(), R: small("r"), Cohort: uint32(small("cohort"))} }
	at := func() time.Time { return time.Unix(int64(small("time")), 0).UTC() }
	b := &store.Batch{}
	for range rapid.IntRange(1, 3).Draw(t, "parts") {
		switch rapid.IntRange(0, 20).Draw(t, "kind") {
		case 0, 1:
			b.Entries = append(b.Entries, []byte(fmt.Sprint("e", small("entry"))))
		case 2:
			b.Settings = append(b.Settings, store.Setting{Name: fmt.Sprint("s", small("name")), Value: some("value")})
		case 3:
			b.Charters = append(b.Charters, store.Charter{Hash: [32]byte{byte(small("hash"))}, Body: some("body")})
		case 4:
			b.Rosters = append(b.Rosters, store.Roster{Version: small("version"), Body: some("body")})
		case 5, 6:
			b.Runs = append(b.Runs, store.Run{ID: run(), Created: time.Unix(5, 0), Round: small("round"), R: small("r"), State: "s"})
		case 7:
			b.Epochs = append(b.Epochs, store.Epoch{Run: run(), Number: small("number") + small("more"), Root: some("root"), Phase: "p"})
		case 8, 9:
			b.Attempts = append(b.Attempts, store.Attempt{Key: key(), OnlineSet: some("set"), Certificate: some("cert"), AbortCertificate: some("abort"), SpoolKey: some("spool")})
		case 10:
			b.Messages = append(b.Messages, store.Message{Run: run(), Epoch: small("epoch"), R: small("r"), Body: some("body")})
		case 11:
			b.Reports = append(b.Reports, store.Report{Key: key(), Agent: agent(), Body: some("body"), At: at()})
		case 12:
			b.Models = append(b.Models, store.Model{Run: run(), Round: small("round"), Wrapped: some("wrapped")})
		case 13:
			b.ForgetModels = append(b.ForgetModels, store.ModelRef{Run: run(), Round: small("round")})
		case 14:
			b.ShredSpool = append(b.ShredSpool, key())
		case 15:
			b.Records = append(b.Records, store.Record{Digest: [32]byte{byte(small("digest"))}, Body: some("body")})
		case 16:
			b.Tokens = append(b.Tokens, store.Token{ID: fmt.Sprint("t", small("token")), Expires: at()})
		case 17:
			b.Redeem = append(b.Redeem, store.Redemption{ID: fmt.Sprint("t", small("token")), Agent: agent(), At: at()})
		case 18:
			b.WrongTries = append(b.WrongTries, fmt.Sprint("t", small("token")))
		case 19:
			b.Candidates = append(b.Candidates, store.Candidate{Agent: agent(), Body: some("body"), At: at()})
			b.DropCandidates = append(b.DropCandidates, agent())
		case 20:
			b.Bytes = append(b.Bytes, store.ByteCount{Agent: agent(), Class: "c", Kind: fmt.Sprint(small("kind")), Bytes: small("bytes")})
			b.Receipts = append(b.Receipts, store.Receipt{Key: key(), Agent: agent(), Body: some("receipt")})
			b.Cosignatures = append(b.Cosignatures, store.Cosignature{Size: int64(small("size")), Agent: agent(), Body: some("cosignature")})
		}
	}
	return b
}

// TestStoresAgree gives random histories to both stores: they accept and refuse
// the same batches and tell the same afterwards, also after a reopening.
func TestStoresAgree(t *testing.T) {
	sentinels := []error{store.ErrConflict, store.ErrFenced, store.ErrNotFound}
	accepted, refused := 0, 0
	rapid.Check(t, func(rt *rapid.T) {
		dir := t.TempDir()
		a := openSQLite(t, dir)
		defer func() { a.Close() }()
		if err := store.NoSync(a); err != nil {
			rt.Fatal(err)
		}
		b := store.NewMemory(&storetest.Log{})
		f, err := a.Acquire(ctx, "x")
		g, err2 := b.Acquire(ctx, "x")
		if err != nil || err2 != nil || f != g {
			rt.Fatal(f, g, err, err2)
		}
		for range rapid.IntRange(1, 12).Draw(rt, "batches") {
			batch := drawBatch(rt)
			h1, err1 := a.Commit(ctx, f, batch)
			h2, err2 := b.Commit(ctx, f, batch)
			if !reflect.DeepEqual(h1, h2) || fmt.Sprint(err1) != fmt.Sprint(err2) {
				rt.Fatalf("SQLite says %v, %v; memory says %v, %v", h1, err1, h2, err2)
			}
			for _, s := range sentinels {
				if errors.Is(err1, s) != errors.Is(err2, s) {
					rt.Fatalf("%v against %v", err1, err2)
				}
			}
			if err1 == nil {
				accepted++
			} else {
				refused++
			}
		}
		if rapid.Bool().Draw(rt, "reopen") {
			a.Close()
			a = openSQLite(t, dir)
		}
		x, y := dump(a), dump(b)
		for i := range x {
			if !reflect.DeepEqual(x[i], y[i]) {
				rt.Fatalf("item %d: SQLite tells %v, memory %v", i, x[i], y[i])
			}
		}
	})
	least := 50
	if testing.Short() { // a fifth of the histories
		least = 5
	}
	if accepted < least || refused < least {
		t.Errorf("%d batches accepted, %d refused: the histories say little", accepted, refused)
	}
}
