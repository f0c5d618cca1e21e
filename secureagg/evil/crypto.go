package evil

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/sha256"
	"encoding/binary"
	"io"
	"math/big"
	"math/bits"

	"tacit/id"
	"tacit/secureagg"
)

// The adversary's cryptography: SECAGG's formulas by the plainest means, big integers
// and whole trees.

type digest = [32]byte

var prime = new(big.Int).Sub(new(big.Int).Lsh(big.NewInt(1), 255), big.NewInt(19))

func expand(size int, key []byte, label string, info ...[]byte) []byte {
	b, err := hkdf.Expand(sha256.New, key, "tacit-sa1 "+label+"\x00"+string(join(info...)), size)
	if err != nil {
		panic(err)
	}
	return b
}

func hash(label string, parts ...[]byte) digest {
	return sha256.Sum256(join([]byte{byte(len(label))}, []byte(label), join(parts...)))
}

func leaf(label string, parts ...[]byte) digest {
	return sha256.Sum256(join([]byte{0, byte(len(label))}, []byte(label), join(parts...)))
}

// split is the number of leaves of a tree's left side.
func split(n int) int { return 1 << (bits.Len(uint(n-1)) - 1) }

func root(leaves []digest) digest {
	if len(leaves) == 1 {
		return leaves[0]
	}
	k := split(len(leaves))
	l, r := root(leaves[:k]), root(leaves[k:])
	return sha256.Sum256(join([]byte{1}, l[:], r[:]))
}

// proof is what a verifier needs beside the wanted leaves, from left to right.
func proof(leaves []digest, want set) []digest {
	if want&(1<<len(leaves)-1) == 0 {
		return []digest{root(leaves)}
	}
	if len(leaves) == 1 {
		return nil
	}
	k := split(len(leaves))
	return append(proof(leaves[:k], want), proof(leaves[k:], want>>k)...)
}

// depth is the length of the path of member i among n.
func depth(n, i int) int { return len(proof(make([]digest, n), setOf(i))) }

func flat(d []digest) (b []byte) {
	for i := range d {
		b = append(b, d[i][:]...)
	}
	return b
}

// element reads 32 bytes as an element of F_p: big-endian, the top bit cleared.
func element(b []byte) *big.Int {
	z := new(big.Int).SetBytes(b)
	z.SetBit(z, 255, 0)
	return z.Mod(z, prime)
}

func encode(z *big.Int) []byte { return z.FillBytes(make([]byte, 32)) }

// share evaluates the polynomial with these coefficients at the x of member u.
func share(coefficients []*big.Int, u int) *big.Int {
	x, acc := big.NewInt(int64(u+1)), new(big.Int)
	for i := len(coefficients) - 1; i >= 0; i-- {
		acc.Mul(acc, x).Add(acc, coefficients[i]).Mod(acc, prime)
	}
	return acc
}

// recover interpolates a secret from shares by member.
func recoverSecret(shares map[int]*big.Int) *big.Int {
	sum := new(big.Int)
	for a, y := range shares {
		num, den := new(big.Int).Set(y), big.NewInt(1)
		for b := range shares {
			if a != b {
				num.Mul(num, big.NewInt(int64(b+1)))
				den.Mul(den, big.NewInt(int64(b-a)))
			}
		}
		den.Mod(den, prime)
		sum.Add(sum, num.Mul(num, den.ModInverse(den, prime)))
	}
	return sum.Mod(sum, prime)
}

// stream is the mask of a seed.
func stream(seed *big.Int, ctx []byte, words int) []uint32 {
	return streamOf(expand(32, encode(seed), "mask", ctx), words)
}

func streamOf(key []byte, words int) []uint32 {
	block, err := aes.NewCipher(key)
	if err != nil {
		panic(err)
	}
	b := make([]byte, 4*words)
	cipher.NewCTR(block, make([]byte, 16)).XORKeyStream(b, b)
	w := make([]uint32, words)
	for i := range w {
		w[i] = binary.LittleEndian.Uint32(b[4*i:])
	}
	return w
}

// add adds y to a copy of x, times sign.
func add(x, y []uint32, sign int) []uint32 {
	z := make([]uint32, len(x))
	for i := range z {
		z[i] = x[i] + uint32(sign)*y[i]
	}
	return z
}

// sign is the sign under which member i adds the mask that it shares with j.
func sign(i, j int) int {
	if j < i {
		return -1
	}
	return 1
}

func pairSeed(key, ctx []byte) *big.Int { return element(expand(32, key, "pair", ctx)) }

func blobKey(key []byte, i, u int, ctx, salt []byte) []byte {
	return expand(32, key, "share", []byte{byte(i), byte(u)}, ctx, salt)
}

func sealer(key []byte) cipher.AEAD {
	block, err := aes.NewCipher(key)
	if err != nil {
		panic(err)
	}
	a, err := cipher.NewGCM(block)
	if err != nil {
		panic(err)
	}
	return a
}

// blobName is what a blob's seal binds: the report's header, dealer and member.
func blobName(header []byte, i, u int) []byte { return join(header, []byte{byte(i), byte(u)}) }

// openBlob returns the shares in a blob by secret, nil if the key does not open it.
func openBlob(header []byte, i, u, n int, key, blob []byte) []*big.Int {
	plain, err := sealer(key).Open(nil, make([]byte, 12), blob, blobName(header, i, u))
	if err != nil {
		return nil
	}
	var shares []*big.Int
	for k := range n {
		shares = append(shares, new(big.Int).SetBytes(plain[32+32*k:][:32]))
	}
	return shares
}

// coins is a deterministic source of randomness.
func coins(name string) io.Reader {
	key := sha256.Sum256([]byte(name))
	block, err := aes.NewCipher(key[:])
	if err != nil {
		panic(err)
	}
	return coinStream{cipher.NewCTR(block, make([]byte, 16))}
}

type coinStream struct{ s cipher.Stream }

func (c coinStream) Read(p []byte) (int, error) {
	clear(p)
	c.s.XORKeyStream(p, p)
	return len(p), nil
}

func draw(r io.Reader) []byte {
	b := make([]byte, 32)
	if _, err := io.ReadFull(r, b); err != nil {
		panic(err)
	}
	return b
}

// dealing is a report in the making, by which a corrupt dealer may depart from the
// protocol at each step.
type dealing struct {
	n, t, self int
	header     []byte // of a Report in this attempt
	ctx        []byte
	keys       [][]byte   // chain keys by partner
	masks      []*big.Int // seeds of the masks: by partner, its own self seed at self
	shared     []*big.Int // seeds that it shares
	coms       []digest
	salt       []byte
	plain      [][]byte // by member: salt ‖ shares
	roots      []digest // committed: root over a member's salted shares
	blobKeys   [][]byte
	keyHashes  []digest
	blobs      [][]byte
	vector     []uint32
	coins      io.Reader
}

// deal begins a report with its seeds.
func deal(start []byte, n, t, self int, keys [][]byte, name string) *dealing {
	w := open(start, n)
	d := &dealing{n: n, t: t, self: self, header: w.header(secureagg.KindReport), ctx: w.get("ctx"), keys: keys, coins: coins(name)}
	for j := range n {
		z := element(draw(d.coins))
		if j != self {
			z = pairSeed(keys[j], d.ctx)
		}
		d.masks, d.shared = append(d.masks, z), append(d.shared, z)
	}
	d.salt = draw(d.coins)
	return d
}

// mask masks x and commits to the seeds.
func (d *dealing) mask(x []uint32) *dealing {
	d.vector = x
	for j, z := range d.masks {
		s := 1
		if j != d.self {
			s = sign(d.self, j)
		}
		d.vector = add(d.vector, stream(z, d.ctx, len(x)), s)
		d.coms = append(d.coms, d.commitment(j, z))
	}
	return d
}

func (d *dealing) commitment(j int, z *big.Int) digest {
	if j == d.self {
		return hash("b", d.ctx, encode(z))
	}
	return hash("s", d.ctx, []byte{byte(min(j, d.self)), byte(max(j, d.self))}, encode(z))
}

// share splits the seeds and commits to the shares.
func (d *dealing) share() *dealing {
	for range d.n {
		d.plain = append(d.plain, draw(d.coins))
	}
	for _, z := range d.shared {
		coefficients := []*big.Int{z}
		for range d.t - 1 {
			coefficients = append(coefficients, element(draw(d.coins)))
		}
		for u := range d.n {
			d.plain[u] = append(d.plain[u], encode(share(coefficients, u))...)
		}
	}
	for u := range d.n {
		d.roots = append(d.roots, shareRoot(u, d.plain[u]))
	}
	return d
}

// shareLeaves are the leaves over what member u was dealt.
func shareLeaves(u int, plain []byte) (leaves []digest) {
	for k := range len(plain)/32 - 1 {
		salt := leaf("salt", plain[:32], []byte{byte(k)})
		leaves = append(leaves, leaf("share", []byte{byte(u), byte(k)}, salt[:], plain[32+32*k:][:32]))
	}
	return leaves
}

func shareRoot(u int, plain []byte) digest { return root(shareLeaves(u, plain)) }

// seal closes the blobs.
func (d *dealing) seal() *dealing {
	for u := range d.n {
		k := blobKey(d.keys[u], d.self, u, d.ctx, d.salt)
		d.blobKeys, d.keyHashes = append(d.blobKeys, k), append(d.keyHashes, hash("blobkey", k))
		d.blobs = append(d.blobs, sealer(k).Seal(nil, make([]byte, 12), d.plain[u], blobName(d.header, d.self, u)))
	}
	return d
}

// report signs what was made.
func (d *dealing) report(key *id.PrivateKey) []byte {
	vector := secureagg.VectorHash(d.vector)
	msg := join(d.header, []byte{byte(d.n), byte(d.self)}, d.salt, vector[:], flat(d.coms))
	for u := range d.n {
		msg = join(msg, d.roots[u][:], d.keyHashes[u][:])
	}
	msg = join(msg, join(d.blobs...))
	return append(msg, key.Sign(id.LabelReport, reportBody(open(append(msg, make([]byte, id.SignatureSize)...), d.n)))...)
}

// reportBody is what a report signs.
func reportBody(w *wire) []byte {
	leaves, blobs := reportLeaves(w)
	b, c, r := hash("blobs", blobs), hash("coms", w.get("coms")), root(leaves)
	return join(w.header(secureagg.KindReport), w.get("member"), w.get("vector"), b[:], c[:], r[:], w.get("salt"))
}

// reportLeaves are the leaves of a report's tree, by member, and all blobs.
func reportLeaves(w *wire) (leaves []digest, blobs []byte) {
	for u := range w.n {
		b := w.get(at("blob", u))
		h := sha256.Sum256(b)
		leaves = append(leaves, leaf("blob", []byte{byte(u)}, w.get(at("shares", u)), w.get(at("keyhash", u)), h[:]))
		blobs = append(blobs, b...)
	}
	return leaves, blobs
}
