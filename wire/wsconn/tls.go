package wsconn

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"math/big"
	"net"
	"time"

	"tacit/id"
)

// ErrCertificate: the server's certificate has another public key than the pinned one.
var ErrCertificate = errors.New("wsconn: the server's certificate is not the pinned one")

// SPKI returns the pin of a certificate: the SHA-256 digest of its public key.
func SPKI(cert *x509.Certificate) id.Digest { return id.SumDigest(cert.RawSubjectPublicKeyInfo) }

// PinnedTLS accepts exactly the servers that hold the key with this pin, whatever
// their certificate says else. The zero pin leaves the decision to the system's
// certificate authorities.
func PinnedTLS(pin id.Digest) *tls.Config {
	if pin.IsZero() {
		return &tls.Config{MinVersion: tls.VersionTLS13}
	}
	c := InnerTLS()
	c.VerifyConnection = func(cs tls.ConnectionState) error {
		// TLS has proved that the server holds the leaf's key.
		if len(cs.PeerCertificates) == 0 || SPKI(cs.PeerCertificates[0]) != pin {
			return ErrCertificate
		}
		return nil
	}
	return c
}

// InnerTLS checks no certificate: it is for a client that knows the server only by
// its channel key, and for networks whose proxy ends TLS. Nothing is said before
// the channel inside has authenticated the server; TLS then hides who speaks from
// those who only listen.
func InnerTLS() *tls.Config {
	return &tls.Config{MinVersion: tls.VersionTLS13, InsecureSkipVerify: true}
}

// ServerTLS serves one certificate with TLS 1.3 and HTTP/1.1, the only HTTP that
// WebSockets here run on.
func ServerTLS(cert tls.Certificate) *tls.Config {
	return &tls.Config{MinVersion: tls.VersionTLS13, Certificates: []tls.Certificate{cert}, NextProtos: []string{"http/1.1"}}
}

// SelfSigned makes a P-256 key and a certificate for hosts (names or addresses).
// Store it (x509.MarshalPKCS8PrivateKey) if joining strings pin it.
func SelfSigned(hosts []string, lifetime time.Duration) (tls.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return tls.Certificate{}, fmt.Errorf("wsconn: make a key: %w", err)
	}
	der, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		return tls.Certificate{}, fmt.Errorf("wsconn: make a certificate: %w", err)
	}
	serial := sha256.Sum256(der)
	now := time.Now()
	template := &x509.Certificate{
		SerialNumber: new(big.Int).SetBytes(serial[:16]),
		Subject:      pkix.Name{CommonName: "tacit server"},
		NotBefore:    now.Add(-24 * time.Hour), // clocks differ
		NotAfter:     now.Add(lifetime),
		KeyUsage:     x509.KeyUsageDigitalSignature,
		ExtKeyUsage:  []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	for _, h := range hosts {
		if ip := net.ParseIP(h); ip != nil {
			template.IPAddresses = append(template.IPAddresses, ip)
		} else {
			template.DNSNames = append(template.DNSNames, h)
		}
	}
	cert, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return tls.Certificate{}, fmt.Errorf("wsconn: make a certificate: %w", err)
	}
	leaf, err := x509.ParseCertificate(cert)
	if err != nil {
		return tls.Certificate{}, fmt.Errorf("wsconn: make a certificate: %w", err)
	}
	return tls.Certificate{Certificate: [][]byte{cert}, PrivateKey: key, Leaf: leaf}, nil
}
