package wire

import (
	"bytes"
	"context"
	"crypto/hpke"
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"tacit/id"
	"tacit/internal/memnet"
)

// both runs client and server against each other and returns their errors.
func both(client, server func(FrameConn) error) (clientErr, serverErr error) {
	a, b := memnet.Pair()
	done := make(chan error, 1)
	go func() {
		defer b.Close()
		done <- server(b)
	}()
	clientErr = client(a)
	a.Close()
	return clientErr, <-done
}

func dialWith(pin id.Digest) func(FrameConn) error {
	return func(fc FrameConn) error { _, err := Dial(context.Background(), fc, pin); return err }
}

func acceptWith(k *ChannelKey) func(FrameConn) error {
	return func(fc FrameConn) error { _, err := Accept(context.Background(), fc, k); return err }
}

func TestWrongServerKey(t *testing.T) {
	other, err := GenerateChannelKey()
	if err != nil {
		t.Fatal(err)
	}
	clientErr, serverErr := both(dialWith(testKey().Fingerprint()), acceptWith(other))
	var ke *KeyError
	if !errors.Is(clientErr, ErrServerKey) || !errors.As(clientErr, &ke) || ke.Want != testKey().Fingerprint() || ke.Got != other.Fingerprint() {
		t.Errorf("client: %v, want ErrServerKey with both keys", clientErr)
	}
	if !errors.Is(serverErr, ErrHandshake) {
		t.Errorf("server: %v, want ErrHandshake", serverErr)
	}
}

// A server that shows the pinned key without holding it.
func TestServerWithoutTheKey(t *testing.T) {
	liar, err := GenerateChannelKey()
	if err != nil {
		t.Fatal(err)
	}
	liar.public = testKey().public
	clientErr, _ := both(dialWith(testKey().Fingerprint()), acceptWith(liar))
	if !errors.Is(clientErr, ErrServerKey) || !strings.Contains(clientErr.Error(), "does not hold") {
		t.Errorf("got %v, want ErrServerKey", clientErr)
	}
}

func versioned(client, server VersionRange) (ck, sk *sessionKeys, clientErr, serverErr error) {
	clientErr, serverErr = both(
		func(fc FrameConn) (err error) {
			e, _ := hpke.MLKEM768X25519().GenerateKey()
			ck, err = clientHandshake(fc, testKey().Fingerprint(), client, e)
			return err
		},
		func(fc FrameConn) (err error) { sk, err = serverHandshake(fc, testKey(), server); return err })
	return
}

func TestVersions(t *testing.T) {
	for _, tt := range []struct {
		client, server VersionRange
		want           uint16 // 0: none in common
	}{
		{VersionRange{1, 1}, VersionRange{1, 1}, 1},
		{VersionRange{1, 3}, VersionRange{2, 5}, 3},
		{VersionRange{2, 9}, VersionRange{1, 4}, 4},
		{VersionRange{1, 1}, VersionRange{2, 3}, 0},
		{VersionRange{4, 5}, VersionRange{1, 3}, 0},
	} {
		ck, sk, clientErr, serverErr := versioned(tt.client, tt.server)
		if tt.want != 0 {
			if clientErr != nil || serverErr != nil || ck.version != tt.want || *ck != *sk {
				t.Errorf("%v and %v: %v, %v", tt.client, tt.server, clientErr, serverErr)
			}
			continue
		}
		for _, side := range []struct {
			err          error
			ours, theirs VersionRange
		}{{clientErr, tt.client, tt.server}, {serverErr, tt.server, tt.client}} {
			var ve *VersionError
			if !errors.As(side.err, &ve) || ve.Ours != side.ours || ve.Theirs != side.theirs {
				t.Errorf("%v and %v: got %v, want both ranges", tt.client, tt.server, side.err)
				continue
			}
			if msg := ve.Error(); !strings.Contains(msg, ve.Ours.String()) || !strings.Contains(msg, ve.Theirs.String()) ||
				!strings.HasSuffix(msg, map[bool]string{true: "this program", false: "the peer"}[side.ours.Max < side.theirs.Min]) {
				t.Errorf("message %q", msg)
			}
		}
	}
}

// Every input of an HPKE context changes it: a version range or key that was
// rewritten on the way leaves the two sides with different secrets.
func TestInfoBindsEverything(t *testing.T) {
	base := VersionRange{2, 3}
	seen := map[string]string{}
	for name, info := range map[string][]byte{
		"hello":               helloInfo([]byte("g"), base, []byte("e")),
		"hello, greeting":     helloInfo([]byte("G"), base, []byte("e")),
		"hello, min":          helloInfo([]byte("g"), VersionRange{1, 3}, []byte("e")),
		"hello, max":          helloInfo([]byte("g"), VersionRange{2, 4}, []byte("e")),
		"hello, ephemeral":    helloInfo([]byte("g"), base, []byte("E")),
		"reply":               replyInfo(2, []byte("g"), []byte("h")),
		"reply, version":      replyInfo(3, []byte("g"), []byte("h")),
		"reply, greeting":     replyInfo(2, []byte("G"), []byte("h")),
		"reply, hello":        replyInfo(2, []byte("g"), []byte("H")),
		"reply, other border": replyInfo(2, []byte("gh"), nil),
	} {
		if old, dup := seen[string(info)]; dup {
			t.Errorf("%q and %q give the same info", name, old)
		}
		seen[string(info)] = name
	}
}

// handshakeFrames records one handshake.
func handshakeFrames(t testing.TB) (greeting, hello, reply []byte) {
	a, b := memnet.Pair()
	keep := func(dst ...*[]byte) func([]byte) [][]byte {
		return func(p []byte) [][]byte {
			if len(dst) > 0 {
				*dst[0] = bytes.Clone(p)
				dst = dst[1:]
			}
			return [][]byte{p}
		}
	}
	connect(t, &tap{a, keep(&hello)}, &tap{b, keep(&greeting, &reply)})
	return
}

// No byte of a handshake can be changed on its way: one of the two notices, before
// or with the first frame.
func TestTamperedHandshake(t *testing.T) {
	greeting, hello, reply := handshakeFrames(t)
	if len(greeting) != greetingSize || len(hello) != helloSize || len(reply) != replySize {
		t.Fatalf("sizes %d, %d, %d differ from the layout", len(greeting), len(hello), len(reply))
	}
	for name, size := range map[string]int{"greeting": greetingSize, "hello": helloSize, "reply": replySize} {
		step := max(1, size/40) // each position with its own full handshake would take a minute
		for i := 0; i < size; i += step {
			change := func(p []byte) [][]byte { p[i] ^= 0x10; return [][]byte{p} }
			a, b := memnet.Pair()
			var ca, cb FrameConn = a, b
			switch name {
			case "greeting":
				cb = &tap{b, once(change)}
			case "hello":
				ca = &tap{a, once(change)}
			case "reply":
				n := 0
				cb = &tap{b, func(p []byte) [][]byte {
					if n++; n == 2 {
						return change(p)
					}
					return [][]byte{p}
				}}
			}
			ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
			go func() {
				if s, err := Accept(ctx, cb, testKey()); err == nil {
					s.Receive()
				}
			}()
			c, err := Dial(ctx, ca, testKey().Fingerprint())
			if err == nil {
				t.Errorf("%s: byte %d changed and the client goes on", name, i)
				c.Close()
			} else if errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("%s: byte %d changed and the client waits for ever", name, i)
			}
			a.Close()
			cancel()
		}
	}
}

func once(change func([]byte) [][]byte) func([]byte) [][]byte {
	return func(p []byte) [][]byte {
		if f := change; f != nil {
			change = nil
			return f(p)
		}
		return [][]byte{p}
	}
}

// Each side bears the other's silence, noise and departure.
func TestRudeHandshakes(t *testing.T) {
	send := func(frames ...[]byte) func(FrameConn) error {
		return func(fc FrameConn) error {
			for _, f := range frames {
				if err := fc.WriteFrame(f); err != nil {
					return err
				}
			}
			return nil
		}
	}
	greeting, hello, reply := handshakeFrames(t)
	for name, frames := range map[string][][]byte{
		"nothing":         nil,
		"empty":           {{}},
		"http":            {[]byte("GET / HTTP/1.1\r\n\r\n")},
		"greeting back":   {greeting},
		"preamble only":   {hello[:prefixSize]},
		"short":           {hello[:helloSize-1]},
		"long":            {append(bytes.Clone(hello), 0)},
		"version 0":       {appendPreamble(nil, typeHello, VersionRange{0, 1})},
		"inverted":        {appendPreamble(nil, typeHello, VersionRange{2, 1})},
		"no ML-KEM key":   {append(bytes.Clone(hello[:prefixSize+encapSize]), bytes.Repeat([]byte{0xff}, ChannelKeySize)...)},
		"zero X25519 key": {append(bytes.Clone(hello[:helloSize-32]), make([]byte, 32)...)},
	} {
		if _, err := both(send(frames...), acceptWith(testKey())); !errors.Is(err, ErrHandshake) {
			t.Errorf("server, %s: %v, want ErrHandshake", name, err)
		}
	}
	for name, frames := range map[string][][]byte{
		"nothing":        nil,
		"hello back":     {hello},
		"short key":      {greeting[:greetingSize-1]},
		"reply first":    {reply},
		"another's":      {greeting, reply[:replySize-1]},
		"other version":  {greeting, append([]byte{typeReply, 0, 2}, reply[3:]...)},
		"another's type": {greeting, hello},
	} {
		if err, _ := both(dialWith(testKey().Fingerprint()), send(frames...)); !errors.Is(err, ErrHandshake) && !errors.Is(err, ErrServerKey) {
			t.Errorf("client, %s: %v, want ErrHandshake", name, err)
		}
	}
	// A reply of another handshake does not finish this one.
	replayer := func(fc FrameConn) error {
		fc.WriteFrame(greeting)
		fc.ReadFrame()
		return fc.WriteFrame(reply)
	}
	if err, _ := both(dialWith(testKey().Fingerprint()), replayer); !errors.Is(err, ErrServerKey) {
		t.Errorf("client, replayed reply: %v, want ErrServerKey", err)
	}
}

// The client's first frames replayed to the server open nothing: its answer is to
// an ephemeral key that the thief does not hold.
func TestReplayedHello(t *testing.T) {
	_, hello, _ := handshakeFrames(t)
	a, b := memnet.Pair()
	defer a.Close()
	go func() {
		a.ReadFrame()
		a.WriteFrame(hello)
		a.ReadFrame()
		a.WriteFrame(make([]byte, 100))
	}()
	c, err := Accept(t.Context(), b, testKey())
	if err != nil {
		t.Fatal(err)
	}
	if m, err := c.Receive(); m != nil || err == nil {
		t.Errorf("got %v, %v", m, err)
	}
}

// TestGoldenSession checks a recorded session against both private keys, so that
// the key schedule and the frames cannot change unnoticed.
func TestGoldenSession(t *testing.T) {
	staticSeed, ephSeed := fill[[32]byte](1), fill[[32]byte](2)
	static, err := NewChannelKey(staticSeed)
	if err != nil {
		t.Fatal(err)
	}
	eph, err := hpke.MLKEM768X25519().NewPrivateKey(ephSeed[:])
	if err != nil {
		t.Fatal(err)
	}
	if *update {
		var up, down [][]byte
		record := func(to *[][]byte) func(p []byte) [][]byte {
			return func(p []byte) [][]byte { *to = append(*to, bytes.Clone(p)); return [][]byte{p} }
		}
		a, b := memnet.Pair()
		done := make(chan *sessionKeys)
		go func() {
			k, _ := serverHandshake(&tap{b, record(&down)}, static, versions)
			done <- k
		}()
		ck, err := clientHandshake(&tap{a, record(&up)}, static.Fingerprint(), versions, eph)
		if err != nil {
			t.Fatal(err)
		}
		binding := ck.binding
		server := newChannel(&tap{b, record(&down)}, <-done, Down)
		client := newChannel(&tap{a, record(&up)}, ck, Up)
		server.Send(testWelcome())
		client.welcomed.Store(true)
		client.Send(&Report{R: 7, Report: pattern(100000, 3)})
		if len(up) != 3 || len(down) != 3 {
			t.Fatalf("%d frames up, %d down", len(up), len(down))
		}
		writeVectors(t, "session.txt", "a session with the static key's seed 01..20 and the ephemeral key's seed 02..21", []vector{
			{"greeting", "down", down[0]}, {"hello", "up", up[0]}, {"reply", "down", down[1]}, {"binding", "both", binding[:]},
			{"welcome", "down", down[2]}, {"report 1", "up", up[1]}, {"report 2", "up", up[2]},
		})
	}
	v := map[string][]byte{}
	for _, x := range readVectors(t, "session.txt", 7) {
		v[x.name] = x.data
	}
	greeting, hello, reply := v["greeting"], v["hello"], v["reply"]
	if !bytes.Equal(greeting, append(appendPreamble(nil, typeGreeting, VersionRange{1, 1}), static.Public()...)) {
		t.Error("the greeting differs")
	}
	x1, err := hpke.NewRecipient(hello[prefixSize:prefixSize+encapSize], static.key, hpke.HKDFSHA256(), hpke.ExportOnly(),
		helloInfo(greeting, VersionRange{1, 1}, hello[prefixSize+encapSize:]))
	if err != nil {
		t.Fatal(err)
	}
	x2, err := hpke.NewRecipient(reply[3:3+encapSize], eph, hpke.HKDFSHA256(), hpke.ExportOnly(), replyInfo(1, greeting, hello))
	if err != nil {
		t.Fatal(err)
	}
	keys, err := deriveKeys(1, x1.Export, x2.Export, greeting, hello, reply[:replySize-finishedSize])
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(keys.finished[:], reply[replySize-finishedSize:]) || !bytes.Equal(keys.binding[:], v["binding"]) {
		t.Fatal("the key schedule differs")
	}
	client := newChannel(&replay{frames: [][]byte{v["welcome"]}}, &sessionKeys{up: keys.up, down: keys.down}, Up)
	if m, err := client.Receive(); err != nil || m.Kind() != KindWelcome {
		t.Errorf("the recorded welcome: %v, %v", m, err)
	}
	server := newChannel(&replay{frames: [][]byte{v["report 1"], v["report 2"]}}, keys, Down)
	server.welcomed.Store(true)
	m, err := server.Receive()
	if r, ok := m.(*Report); !ok || err != nil || r.R != 7 || !bytes.Equal(r.Report, pattern(100000, 3)) {
		t.Errorf("the recorded report: %v", err)
	}
}

// replay is a connection on which the peer's frames are known beforehand.
type replay struct {
	frames [][]byte
	closed bool
}

func (r *replay) ReadFrame() ([]byte, error) {
	if r.closed {
		return nil, net.ErrClosed
	}
	if len(r.frames) == 0 {
		return nil, io.EOF
	}
	f := r.frames[0]
	r.frames = r.frames[1:]
	return bytes.Clone(f), nil
}
func (r *replay) WriteFrame([]byte) error          { return nil }
func (r *replay) SetReadDeadline(time.Time) error  { return nil }
func (r *replay) SetWriteDeadline(time.Time) error { return nil }
func (r *replay) Close() error                     { r.closed = true; return nil }
func (r *replay) RemoteAddr() string               { return "replay" }

func handshakeSeeds(t *testing.T) []vector {
	greeting, hello, reply := handshakeFrames(t)
	two := append(bytes.Clone(greeting), reply...)
	return []vector{
		{"greeting", "", greeting}, {"hello", "", hello}, {"greeting and reply", "", two}, {"hello preamble", "", hello[:prefixSize]},
		{"new version", "", appendPreamble(nil, typeGreeting, VersionRange{2, 9})}, {"empty", "", nil},
		{"zero ephemeral", "", append(bytes.Clone(hello[:prefixSize+encapSize]), make([]byte, ChannelKeySize)...)},
	}
}

// FuzzHandshake feeds both sides with frames of a hostile peer.
func FuzzHandshake(f *testing.F) {
	f.Fuzz(func(t *testing.T, data []byte) {
		server := &replay{frames: [][]byte{data}}
		if c, err := Accept(t.Context(), server, testKey()); err == nil {
			if m, err := c.Receive(); m != nil || err == nil {
				t.Fatalf("got %v, %v", m, err)
			}
		} else if !server.closed || c != nil {
			t.Fatal("an error left the connection open")
		}
		client := &replay{frames: [][]byte{data}}
		if len(data) > greetingSize {
			client.frames = [][]byte{data[:greetingSize], data[greetingSize:]}
		}
		if c, err := Dial(t.Context(), client, testKey().Fingerprint()); err == nil || c != nil || !client.closed {
			t.Fatalf("the client trusts a stranger: %v", err)
		}
	})
}

// receiveSeeds are scripts for FuzzReceive: per frame flags, a length of two bytes,
// and the payload.
func receiveSeeds() []vector {
	script := func(parts ...[]byte) (out []byte) {
		for _, p := range parts {
			out = append(append(out, p[0], byte((len(p)-1)>>8), byte(len(p)-1)), p[1:]...)
		}
		return out
	}
	whole := func(m Msg) []byte { return append([]byte{flagFirst | flagLast}, mustMarshal(m)...) }
	big := mustMarshal(&Report{R: 1, Report: make([]byte, 60000)})
	return []vector{
		{"ping", "", script(whole(&Ping{Nonce: 1}))},
		{"three", "", script(whole(&Ping{}), whole(&StageUp{Stage: []byte("x")}), whole(&Vector{Words: make([]byte, 12)}))},
		{"large", "", script(append([]byte{flagFirst | flagLast}, big...))},
		{"no last", "", script(append([]byte{flagFirst}, mustMarshal(&Ping{})...))},
		{"no first", "", script(append([]byte{flagLast}, mustMarshal(&Ping{})...))},
		{"limit", "", script(append([]byte{flagFirst}, appendPrefix(nil, KindVector, 1<<32-1)...))},
		{"wrong way", "", script(whole(&Committed{Sum: []byte("xxxx")}))},
		{"two frames", "", script(append([]byte{flagFirst}, append(appendPrefix(nil, KindReport, maxPayload), make([]byte, maxPayload-overhead)...)...), []byte{flagLast, 1, 2, 3, 4, 5})},
	}
}

// FuzzReceive is a peer that holds the keys and cuts messages as it likes: every
// script gives messages that encode again, then one error with a type.
func FuzzReceive(f *testing.F) {
	f.Fuzz(func(t *testing.T, script []byte) {
		sealer := newHalfDuplex(&[32]byte{1})
		conn := new(replay)
		for len(script) >= 3 {
			n := min(int(script[1])<<8|int(script[2]), len(script)-3, maxPayload)
			frame, err := sealer.seal(append(make([]byte, frameHeader, MaxFrame), script[3:3+n]...), script[0])
			if err != nil {
				t.Fatal(err)
			}
			conn.frames = append(conn.frames, frame)
			script = script[3+n:]
		}
		c := newChannel(conn, &sessionKeys{up: [32]byte{1}, down: [32]byte{2}}, Down)
		c.welcomed.Store(true)
		for {
			m, err := c.Receive()
			if err != nil {
				if m != nil || !conn.closed {
					t.Fatalf("a message or an open connection beside %v", err)
				}
				if kind := errorKind(err); kind == err.Error() && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
					t.Fatalf("an error without a type: %v", err)
				}
				return
			}
			if _, err := Marshal(m); err != nil {
				t.Fatal(err)
			}
		}
	})
}
