package audit

import (
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"

	"tacit/id"
)

const (
	maxLogKey     = 200     // bytes of a verifier key
	maxCheckpoint = 1 << 20 // bytes of a signed note
)

// Head is a log's signed state.
type Head struct {
	Size       uint64
	Root       tlog.Hash
	Checkpoint []byte // the signed note
}

// LogOrigin names a federation's log: "tacit/" and the federation's id.
func LogOrigin(f id.FederationID) string { return "tacit/" + f.String() }

// GenerateLogKey makes the key of a log called origin. The signer key is secret; the
// verifier key is what charters name, agents pin and `audit verify --log-key` takes.
func GenerateLogKey(rand io.Reader, origin string) (signerKey, verifierKey string, err error) {
	signerKey, verifierKey, err = note.GenerateKey(rand, origin)
	if err != nil {
		return "", "", fmt.Errorf("audit: make a log key: %w", err)
	}
	if _, err := newVerifier(verifierKey); err != nil {
		return "", "", err
	}
	return signerKey, verifierKey, nil
}

// NewSigner reads a signer key. Its errors do not contain it.
func NewSigner(signerKey string) (note.Signer, error) {
	s, err := note.NewSigner(signerKey)
	if err != nil {
		return nil, errors.New("audit: not a log's signer key")
	}
	return s, nil
}

// newVerifier reads a verifier key, in its one spelling.
func newVerifier(verifierKey string) (note.Verifier, error) {
	v, err := note.NewVerifier(verifierKey)
	if err != nil || len(verifierKey) > maxLogKey {
		return nil, errors.New("audit: not a log's verifier key")
	}
	_, key64, _ := strings.Cut(verifierKey[len(v.Name())+1:], "+")
	key, err := base64.StdEncoding.Strict().DecodeString(key64)
	if err != nil || fmt.Sprintf("%s+%08x+%s", v.Name(), v.KeyHash(), base64.StdEncoding.EncodeToString(key)) != verifierKey {
		return nil, errors.New("audit: not a log's verifier key")
	}
	return v, nil
}

// checkpointBody is the signed text: origin, size and root, a line each
// (https://c2sp.org/tlog-checkpoint).
func checkpointBody(origin string, size uint64, root tlog.Hash) string {
	return fmt.Sprintf("%s\n%d\n%s\n", origin, size, base64.StdEncoding.EncodeToString(root[:]))
}

// SignCheckpoint returns the checkpoint of a log of the given size and root. The
// origin is the signer's name.
func SignCheckpoint(signer note.Signer, size uint64, root tlog.Hash) ([]byte, error) {
	msg, err := note.Sign(&note.Note{Text: checkpointBody(signer.Name(), size, root)}, signer)
	if err != nil {
		return nil, fmt.Errorf("audit: sign checkpoint: %w", err)
	}
	return msg, nil
}

// OpenCheckpoint reads a checkpoint that the log with the verifier key signed.
// Cosignature lines may follow the log's signature; they are not judged here.
func OpenCheckpoint(msg []byte, logKey string) (Head, error) {
	v, err := newVerifier(logKey)
	if err != nil {
		return Head{}, err
	}
	h, _, err := openCheckpoint(msg, v)
	return h, err
}

// openCheckpoint also returns the signature lines of others. A checkpoint has one
// spelling: the log's signature first, every line as note would write it.
func openCheckpoint(msg []byte, v note.Verifier) (Head, []note.Signature, error) {
	if len(msg) > maxCheckpoint {
		return Head{}, nil, fmt.Errorf("audit: checkpoint: %d bytes, at most %d", len(msg), maxCheckpoint)
	}
	n, err := note.Open(msg, note.VerifierList(v))
	if err != nil {
		var unverified *note.UnverifiedNoteError
		var invalid *note.InvalidSignatureError
		switch {
		case errors.As(err, &unverified):
			return Head{}, nil, fmt.Errorf("audit: checkpoint: not signed by %s+%08x", v.Name(), v.KeyHash())
		case errors.As(err, &invalid):
			return Head{}, nil, errors.New("audit: checkpoint: the log's signature does not verify")
		}
		return Head{}, nil, fmt.Errorf("audit: checkpoint: %w", err)
	}
	h, err := parseBody(n.Text, v.Name())
	if err != nil {
		return Head{}, nil, err
	}
	h.Checkpoint = append([]byte(nil), msg...)
	for _, s := range append(n.Sigs, n.UnverifiedSigs...) {
		if _, err := base64.StdEncoding.Strict().DecodeString(s.Base64); err != nil {
			return Head{}, nil, errors.New("audit: checkpoint: a signature line is not canonical")
		}
	}
	if again, err := note.Sign(n); err != nil || string(again) != string(msg) {
		return Head{}, nil, errors.New("audit: checkpoint: not in its canonical form")
	}
	return h, n.UnverifiedSigs, nil
}

func parseBody(text, origin string) (Head, error) {
	lines := strings.Split(text, "\n")
	if len(lines) != 4 || lines[3] != "" {
		return Head{}, fmt.Errorf("audit: checkpoint: %d lines, want origin, size and root", len(lines)-1)
	}
	if lines[0] != origin {
		return Head{}, fmt.Errorf("audit: checkpoint: of the log %q, not %q", lines[0], origin)
	}
	size, err := strconv.ParseUint(lines[1], 10, 64)
	if err != nil || size > maxSize || strconv.FormatUint(size, 10) != lines[1] {
		return Head{}, errors.New("audit: checkpoint: the size is no number")
	}
	root, err := base64.StdEncoding.Strict().DecodeString(lines[2])
	if err != nil || len(root) != tlog.HashSize {
		return Head{}, errors.New("audit: checkpoint: the root is no hash")
	}
	return Head{Size: size, Root: tlog.Hash(root)}, nil
}
