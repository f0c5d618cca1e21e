package audit

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"

	"golang.org/x/mod/sumdb/note"

	"tacit/id"
)

// An agent's cosignature says that, at a time by its own clock, the checkpoint was
// consistent with every checkpoint that it had seen of the log
// (https://c2sp.org/tlog-cosignature, cosignature/v1, Ed25519). It signs
//
//	"cosignature/v1\n" ‖ "time " ‖ Unix seconds ‖ "\n" ‖ the checkpoint's body
//
// with the Ed25519 half of the agent's key. No label of id begins with
// "cosignature", so the signature means nothing elsewhere.

// cosignatureAlg is the signature type of cosignature/v1 in key ids.
const cosignatureAlg = 0x04

// cosignatureSize is key id ‖ time ‖ signature.
const cosignatureSize = 4 + 8 + ed25519.SignatureSize

// maxLines is the most signature lines that the note package reads.
const maxLines = 100

const signaturePrefix = "— "

var errCosignature = errors.New("audit: the cosignature does not verify")

// CosignerName is an agent's name on signature lines.
func CosignerName(a id.AgentID) string { return "tacit-agent/" + a.String() }

// parseCosigner is the inverse of [CosignerName].
func parseCosigner(name string) (a id.AgentID, ok bool) {
	digits, ok := strings.CutPrefix(name, "tacit-agent/")
	if !ok {
		return a, false
	}
	err := a.UnmarshalText([]byte(digits))
	return a, err == nil
}

func cosignerHash(name string, key ed25519.PublicKey) uint32 {
	h := sha256.New()
	h.Write([]byte(name))
	h.Write([]byte{'\n', cosignatureAlg})
	h.Write(key)
	return binary.BigEndian.Uint32(h.Sum(nil))
}

// splitNote returns a note's text, with its last newline, and its signature lines.
func splitNote(msg []byte) (text, lines []byte, err error) {
	i := bytes.LastIndex(msg, []byte("\n\n"))
	if i < 0 || msg[len(msg)-1] != '\n' {
		return nil, nil, errors.New("audit: not a signed note")
	}
	return msg[:i+1], msg[i+2:], nil
}

func cosignedMessage(text []byte, unixSeconds int64) []byte {
	return append(fmt.Appendf(nil, "cosignature/v1\ntime %d\n", unixSeconds), text...)
}

// Cosign returns the signature line of an agent under a checkpoint. The caller has
// checked the checkpoint with its [Witness].
func Cosign(checkpoint []byte, agent id.AgentID, key ed25519.PrivateKey, unixSeconds int64) ([]byte, error) {
	text, _, err := splitNote(checkpoint)
	if err != nil {
		return nil, err
	}
	if unixSeconds < 0 {
		return nil, errors.New("audit: cosign: a time before 1970")
	}
	name := CosignerName(agent)
	sig := make([]byte, 0, cosignatureSize)
	sig = binary.BigEndian.AppendUint32(sig, cosignerHash(name, key.Public().(ed25519.PublicKey)))
	sig = binary.BigEndian.AppendUint64(sig, uint64(unixSeconds))
	sig = append(sig, ed25519.Sign(key, cosignedMessage(text, unixSeconds))...)
	return fmt.Appendf(nil, "%s%s %s\n", signaturePrefix, name, base64.StdEncoding.EncodeToString(sig)), nil
}

// CheckCosignature checks one signature line of an agent under a checkpoint and
// returns the time that the agent gave.
func CheckCosignature(checkpoint, line []byte, agent id.AgentID, key ed25519.PublicKey) (unixSeconds int64, err error) {
	text, _, err := splitNote(checkpoint)
	if err != nil {
		return 0, err
	}
	who, b64, err := splitLine(line)
	if err != nil || who != agent {
		return 0, errCosignature
	}
	return checkCosignature(text, b64, agent, key)
}

func splitLine(line []byte) (who id.AgentID, b64 string, err error) {
	s, ok := strings.CutPrefix(string(line), signaturePrefix)
	s, ok2 := strings.CutSuffix(s, "\n")
	name, b64, ok3 := strings.Cut(s, " ")
	who, ok4 := parseCosigner(name)
	if !ok || !ok2 || !ok3 || !ok4 || strings.ContainsAny(b64, "\r\n") {
		return id.AgentID{}, "", errCosignature
	}
	return who, b64, nil
}

func checkCosignature(text []byte, b64 string, agent id.AgentID, key ed25519.PublicKey) (int64, error) {
	sig, err := base64.StdEncoding.Strict().DecodeString(b64)
	if err != nil || len(sig) != cosignatureSize || len(key) != ed25519.PublicKeySize ||
		binary.BigEndian.Uint32(sig) != cosignerHash(CosignerName(agent), key) {
		return 0, errCosignature
	}
	at := binary.BigEndian.Uint64(sig[4:])
	if at > math.MaxInt64 || !ed25519.Verify(key, cosignedMessage(text, int64(at)), sig[12:]) {
		return 0, errCosignature
	}
	return int64(at), nil
}

// AddCosignature adds an agent's line to a checkpoint, which keeps one line per
// agent, ascending, behind the log's own. It does not check the signature.
func AddCosignature(checkpoint, line []byte) ([]byte, error) {
	who, _, err := splitLine(line)
	if err != nil {
		return nil, err
	}
	text, rest, err := splitNote(checkpoint)
	if err != nil {
		return nil, err
	}
	var own, agents []string
	for l := range strings.Lines(string(rest)) {
		other, _, err := splitLine([]byte(l))
		switch {
		case err != nil:
			own = append(own, l)
		case other != who:
			agents = append(agents, l)
		}
	}
	agents = append(agents, string(line))
	if len(own)+len(agents) > maxLines {
		return nil, fmt.Errorf("audit: a checkpoint carries at most %d signatures; put the others under a copy", maxLines)
	}
	slices.Sort(agents)
	out := append(append([]byte(nil), text...), '\n')
	for _, l := range append(own, agents...) {
		out = append(out, l...)
	}
	return out, nil
}

// cosigned is a checkpoint with the agents that vouch for it.
type cosigned struct {
	head Head
	by   []cosigner
}

type cosigner struct {
	agent id.AgentID
	at    int64 // Unix seconds, by the agent's clock
}

// openCosigned checks a checkpoint and every signature on it. Lines of agents that
// keys does not know are refused: what nobody can check is no evidence.
func openCosigned(msg []byte, v note.Verifier, keys func(id.AgentID) []ed25519.PublicKey) (*cosigned, error) {
	head, others, err := openCheckpoint(msg, v)
	if err != nil {
		return nil, err
	}
	text, _, err := splitNote(msg)
	if err != nil {
		return nil, err
	}
	out := &cosigned{head: head}
	for i, s := range others {
		who, ok := parseCosigner(s.Name)
		if !ok || i > 0 && s.Name <= others[i-1].Name {
			return nil, fmt.Errorf("audit: cosignature: %q is not an agent, or not in order", s.Name)
		}
		at, err := int64(0), errCosignature
		for _, key := range keys(who) {
			if at, err = checkCosignature(text, s.Base64, who, key); err == nil {
				break
			}
		}
		if err != nil {
			return nil, fmt.Errorf("%w: agent %s", err, who)
		}
		out.by = append(out.by, cosigner{who, at})
	}
	return out, nil
}
