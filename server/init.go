package server

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"tacit/audit"
	"tacit/id"
	"tacit/internal/durable"
	"tacit/server/store"
	"tacit/vault"
	"tacit/wire"
	"tacit/wire/wsconn"
)

// Rules are the parts of a charter that a founder chooses.
type Rules struct {
	Name           string
	MinCohort      uint32 // 0: 5
	MinRelease     uint32 // 0: the default of the protocol
	AllowSmall     bool
	Families       []string // ascending; empty: any
	RoundsPerEpoch uint32   // 0: 256
	EpochsPerDay   uint32   // 0: 100
}

// InitOptions is what `tacit init server` needs.
type InitOptions struct {
	Dir          string // new; holds server.yaml and the data directory
	Listen, URL  string
	AdminKeyFile string // new, outside Dir by preference; the server never reads it
	Rules        Rules
}

// InitResult says what was made.
type InitResult struct {
	Config, AdminKeyFile string
	LogKey               string
	Charter              id.CharterHash
}

// secrets are the server's own keys.
type secrets struct {
	sign    *id.PrivateKey
	channel *wire.ChannelKey
	log     string // note signer key
	cert    tls.Certificate
}

// Purposes of what the vault seals for the server.
const (
	purposeKeys  = "server keys"
	purposeSpool = "spool key"
	purposeState = "strategy state"
	purposeSum   = "opened sum"
)

// found makes the keys, the charter and the administrator's key of a new federation.
func found(rules Rules) (*secrets, *id.Charter, *id.PrivateKey, error) {
	sign, err := id.Generate(rand.Reader)
	if err != nil {
		return nil, nil, nil, err
	}
	admin, err := id.Generate(rand.Reader)
	if err != nil {
		return nil, nil, nil, err
	}
	channel, err := wire.GenerateChannelKey()
	if err != nil {
		return nil, nil, nil, err
	}
	c := &id.Charter{
		Version: 1, Name: rules.Name, Administrators: []id.PublicKey{admin.Public()}, Threshold: 1,
		Server: sign.Public(), Channel: id.Digest(channel.Fingerprint()),
		MinCohort: rules.MinCohort, MinRelease: rules.MinRelease, AllowSmall: rules.AllowSmall,
		MaxOrgShare: 100, ModelFamilies: rules.Families,
		RoundsPerEpoch: rules.RoundsPerEpoch, EpochsPerDay: rules.EpochsPerDay,
	}
	if c.MinCohort == 0 {
		c.MinCohort = 5
	}
	if c.RoundsPerEpoch == 0 {
		c.RoundsPerEpoch = 256
	}
	if c.EpochsPerDay == 0 {
		c.EpochsPerDay = 100
	}
	if _, err := rand.Read(c.Federation[:]); err != nil {
		return nil, nil, nil, err
	}
	signer, verifier, err := audit.GenerateLogKey(rand.Reader, audit.LogOrigin(c.Federation))
	if err != nil {
		return nil, nil, nil, err
	}
	c.LogKey = verifier
	if err := c.Sign(admin); err != nil {
		return nil, nil, nil, err
	}
	if err := c.Verify(); err != nil {
		return nil, nil, nil, err
	}
	return &secrets{sign: sign, channel: channel, log: signer}, c, admin, nil
}

// Init makes a federation in a new directory: the server's keys, sealed; the log
// with its genesis entry; the charter, signed by an administrator's key that goes
// into a file of its own.
func Init(o InitOptions) (*InitResult, error) {
	u, err := url.Parse(o.URL)
	if err != nil || u.Scheme != "wss" || u.Hostname() == "" {
		return nil, fmt.Errorf("server: %q is no wss:// address", o.URL)
	}
	for _, path := range []string{filepath.Join(o.Dir, "server.yaml"), o.AdminKeyFile} {
		if _, err := os.Stat(path); err == nil {
			return nil, fmt.Errorf("server: %s: %w", path, fs.ErrExist)
		}
	}
	keys, charter, admin, err := found(o.Rules)
	if err != nil {
		return nil, err
	}
	keys.cert, err = wsconn.SelfSigned([]string{u.Hostname()}, 10*365*24*time.Hour)
	if err != nil {
		return nil, err
	}
	data := filepath.Join(o.Dir, "data")
	if err := durable.MkdirAll(data, 0o700); err != nil {
		return nil, err
	}
	v, err := vault.Create(data, vault.KeyFile(filepath.Join(data, "root.key")))
	if err != nil {
		return nil, err
	}
	defer v.Close()
	sealed, err := keys.marshal()
	if err != nil {
		return nil, err
	}
	if err := v.WriteSealed(filepath.Join(data, "keys.age"), purposeKeys, sealed); err != nil {
		return nil, err
	}
	book, err := audit.NewLog(keys.log)
	if err != nil {
		return nil, err
	}
	st, err := store.Open(data, book)
	if err != nil {
		return nil, err
	}
	defer st.Close()
	if err := genesis(st, charter); err != nil {
		return nil, err
	}
	keyFile := &Administrator{Key: admin, Charter: charter.Hash(), path: o.AdminKeyFile}
	if err := keyFile.write(); err != nil {
		return nil, err
	}
	cfg := &Config{Listen: o.Listen, URL: o.URL, Data: "data"}
	path := filepath.Join(o.Dir, "server.yaml")
	if err := durable.WriteFile(path, cfg.yaml(), 0o644); err != nil {
		return nil, err
	}
	return &InitResult{Config: path, AdminKeyFile: o.AdminKeyFile, LogKey: charter.LogKey, Charter: charter.Hash()}, nil
}

// genesis writes the federation's first entry.
func genesis(st store.Store, c *id.Charter) error {
	ctx := context.Background()
	fence, err := st.Acquire(ctx, "init")
	if err != nil {
		return err
	}
	body := c.AppendBinary(nil)
	entry, err := audit.Entry{
		Sequence: 0, Time: time.Now().UnixMilli(), Digest: id.SumDigest(body),
		Payload: audit.Genesis{Federation: c.Federation, Name: c.Name, Charter: c.Hash(), LogKey: c.LogKey},
	}.AppendBinary(nil)
	if err != nil {
		return err
	}
	zero := int64(0)
	_, err = st.Commit(ctx, fence, &store.Batch{
		ExpectSize: &zero, Entries: [][]byte{entry},
		Charters: []store.Charter{{Hash: c.Hash(), Body: body}},
	})
	return err
}

// marshal and unmarshalSecrets keep the server's keys in one sealed file: lines of
// hexadecimal and PEM.
func (s *secrets) marshal() ([]byte, error) {
	seed, channel := s.sign.Seed(), s.channel.Seed()
	key, err := x509.MarshalPKCS8PrivateKey(s.cert.PrivateKey)
	if err != nil {
		return nil, err
	}
	var b strings.Builder
	fmt.Fprintf(&b, "tacit server keys 1\n%s\n%s\n%s\n", hex.EncodeToString(seed[:]), hex.EncodeToString(channel[:]), s.log)
	b.Write(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.cert.Certificate[0]}))
	b.Write(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: key}))
	return []byte(b.String()), nil
}

func unmarshalSecrets(b []byte) (*secrets, error) {
	bad := errors.New("server: the sealed keys are damaged")
	lines := strings.SplitN(string(b), "\n", 5)
	if len(lines) != 5 || lines[0] != "tacit server keys 1" {
		return nil, bad
	}
	seed, err1 := hex.DecodeString(lines[1])
	channel, err2 := hex.DecodeString(lines[2])
	if err1 != nil || err2 != nil || len(seed) != 32 || len(channel) != 32 {
		return nil, bad
	}
	s := &secrets{sign: id.NewPrivateKey([32]byte(seed)), log: lines[3]}
	var err error
	if s.channel, err = wire.NewChannelKey([32]byte(channel)); err != nil {
		return nil, bad
	}
	pemBytes := []byte(lines[4])
	if s.cert, err = tls.X509KeyPair(pemBytes, pemBytes); err != nil {
		return nil, bad
	}
	return s, nil
}
