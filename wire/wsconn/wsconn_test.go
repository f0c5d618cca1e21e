package wsconn

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gorilla/websocket"

	"tacit/id"
)

// serve starts a TLS server that hands every connection to accepted.
func serve(t *testing.T, l Limits) (url string, pin id.Digest, accepted chan *Conn) {
	t.Helper()
	cert, err := SelfSigned([]string{"127.0.0.1", "localhost"}, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	accepted = make(chan *Conn, 16)
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if c, err := Upgrade(w, r, l); err == nil {
			accepted <- c
		}
	}))
	s.TLS = ServerTLS(cert)
	s.Config.ErrorLog = log.New(io.Discard, "", 0)
	s.StartTLS()
	t.Cleanup(s.Close)
	return "wss" + strings.TrimPrefix(s.URL, "https") + Path, SPKI(cert.Leaf), accepted
}

func pair(t *testing.T) (client, server *Conn) {
	t.Helper()
	url, pin, accepted := serve(t, Limits{})
	client, err := Dial(t.Context(), url, PinnedTLS(pin), Limits{})
	if err != nil {
		t.Fatal(err)
	}
	server = <-accepted
	t.Cleanup(func() { client.Close(); server.Close() })
	return client, server
}

func TestFramesArriveIntact(t *testing.T) {
	client, server := pair(t)
	for _, way := range [][2]*Conn{{client, server}, {server, client}} {
		sizes := []int{0, 1, 125, 126, 65535, maxFrame - 1, maxFrame, 7}
		go func() {
			for i, n := range sizes {
				if err := way[0].WriteFrame(bytes.Repeat([]byte{byte(i)}, n)); err != nil {
					t.Error(err)
				}
			}
		}()
		for i, n := range sizes {
			if got, err := way[1].ReadFrame(); err != nil || !bytes.Equal(got, bytes.Repeat([]byte{byte(i)}, n)) {
				t.Fatalf("frame of %d bytes: got %d, %v", n, len(got), err)
			}
		}
	}
}

func TestConcurrentWriters(t *testing.T) {
	client, server := pair(t)
	var wg sync.WaitGroup
	for w := range 4 {
		wg.Go(func() {
			for range 50 {
				if err := client.WriteFrame(bytes.Repeat([]byte{byte(w)}, 20000)); err != nil {
					t.Error(err)
				}
			}
		})
	}
	for range 200 {
		f, err := server.ReadFrame()
		if err != nil || len(f) != 20000 || bytes.Count(f, f[:1]) != 20000 {
			t.Fatalf("%d bytes, %v", len(f), err)
		}
	}
	wg.Wait()
}

func TestClose(t *testing.T) {
	client, server := pair(t)
	if err := client.WriteFrame([]byte("last")); err != nil {
		t.Fatal(err)
	}
	client.Close()
	client.Close()
	if f, err := server.ReadFrame(); err != nil || string(f) != "last" {
		t.Errorf("what was sent before the close: %q, %v", f, err)
	}
	if _, err := server.ReadFrame(); err != io.EOF {
		t.Errorf("got %v, want io.EOF", err)
	}
	if _, err := client.ReadFrame(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("got %v, want net.ErrClosed", err)
	}
	if err := client.WriteFrame(nil); !errors.Is(err, net.ErrClosed) {
		t.Errorf("got %v, want net.ErrClosed", err)
	}
}

func TestLostConnection(t *testing.T) {
	client, server := pair(t)
	tc := client.ws.NetConn().(*tls.Conn)
	tc.NetConn().Close()
	if _, err := server.ReadFrame(); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("got %v, want io.ErrUnexpectedEOF", err)
	}
}

func TestCloseUnblocks(t *testing.T) {
	client, server := pair(t)
	errs := make(chan error, 2)
	go func() { _, err := client.ReadFrame(); errs <- err }()
	go func() { // the server does not read
		for {
			if err := client.WriteFrame(make([]byte, maxFrame)); err != nil {
				errs <- err
				return
			}
		}
	}()
	time.Sleep(100 * time.Millisecond) // long enough for the socket to fill; less only tests less
	begin := time.Now()
	client.Close()
	for range 2 {
		if err := <-errs; !errors.Is(err, net.ErrClosed) {
			t.Errorf("got %v, want net.ErrClosed", err)
		}
	}
	if d := time.Since(begin); d > time.Second {
		t.Errorf("Close took %v", d)
	}
	server.Close()
}

// A TLS connection whose socket is full closes without its goodbye.
func TestCloseWithFullSocket(t *testing.T) {
	client, _ := pair(t)
	begin := time.Now()
	client.SetWriteDeadline(begin.Add(300 * time.Millisecond))
	var err error
	for err == nil { // the server does not read
		err = client.WriteFrame(make([]byte, maxFrame))
	}
	if d := time.Since(begin); d > 2*time.Second || !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("got %v after %v", err, d)
	}
}

func TestDeadline(t *testing.T) {
	client, _ := pair(t)
	client.SetReadDeadline(time.Now().Add(20 * time.Millisecond))
	if _, err := client.ReadFrame(); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("got %v, want os.ErrDeadlineExceeded", err)
	}
}

// raw opens a WebSocket without our client.
func raw(t *testing.T, url string, h http.Header, protocols ...string) (*websocket.Conn, *http.Response, error) {
	t.Helper()
	d := websocket.Dialer{TLSClientConfig: InnerTLS(), Subprotocols: protocols, EnableCompression: true}
	ws, resp, err := d.Dial(url, h)
	if err == nil {
		t.Cleanup(func() { ws.Close() })
	}
	return ws, resp, err
}

func TestUpgradeRefuses(t *testing.T) {
	url, _, accepted := serve(t, Limits{})
	for name, tt := range map[string]struct {
		header http.Header
		proto  []string
		status int
	}{
		"a browser":           {http.Header{"Origin": {"https://evil.example"}}, []string{Subprotocol}, 403},
		"a same-site browser": {http.Header{"Origin": {strings.Replace(url, "wss", "https", 1)}}, []string{Subprotocol}, 403},
		"no subprotocol":      {nil, nil, 400},
		"another subprotocol": {nil, []string{"tacit.v0"}, 400},
	} {
		if _, resp, err := raw(t, url, tt.header, tt.proto...); err == nil || resp == nil || resp.StatusCode != tt.status {
			t.Errorf("%s: got %v, %v; want status %d", name, resp, err, tt.status)
		}
	}
	client := http.Client{Transport: &http.Transport{TLSClientConfig: InnerTLS()}}
	defer client.CloseIdleConnections()
	resp, err := client.Get(strings.Replace(url, "wss", "https", 1))
	if err != nil || resp.StatusCode != 400 {
		t.Errorf("plain GET: got %v, %v; want status 400", resp, err)
	}
	resp.Body.Close()
	if len(accepted) != 0 {
		t.Error("one of them was accepted")
	}
	ws, resp, err := raw(t, url, nil, Subprotocol)
	if err != nil || ws.Subprotocol() != Subprotocol {
		t.Errorf("a client of ours: %v", err)
	}
	if resp.Header.Get("Sec-Websocket-Extensions") != "" {
		t.Error("compression was negotiated")
	}
}

func TestHostilePeer(t *testing.T) {
	url, _, accepted := serve(t, Limits{})
	connect := func() (*websocket.Conn, *Conn) {
		ws, _, err := raw(t, url, nil, Subprotocol)
		if err != nil {
			t.Fatal(err)
		}
		c := <-accepted
		t.Cleanup(func() { c.Close() })
		return ws, c
	}
	t.Run("text", func(t *testing.T) {
		ws, c := connect()
		ws.WriteMessage(websocket.TextMessage, []byte("hello"))
		if _, err := c.ReadFrame(); !errors.Is(err, ErrText) {
			t.Errorf("got %v, want ErrText", err)
		}
	})
	t.Run("too large by one", func(t *testing.T) {
		ws, c := connect()
		go ws.WriteMessage(websocket.BinaryMessage, make([]byte, maxFrame+1))
		if _, err := c.ReadFrame(); !errors.Is(err, ErrTooLarge) {
			t.Errorf("got %v, want ErrTooLarge", err)
		}
	})
	t.Run("announces 2^62 bytes", func(t *testing.T) {
		ws, c := connect()
		ws.NetConn().Write([]byte{0x82, 0xff, 0x40, 0, 0, 0, 0, 0, 0, 0, 1, 2, 3, 4})
		begin := time.Now()
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		_, err := c.ReadFrame()
		runtime.ReadMemStats(&after)
		if !errors.Is(err, ErrTooLarge) || time.Since(begin) > time.Second {
			t.Errorf("got %v after %v, want ErrTooLarge at once", err, time.Since(begin))
		}
		if n := after.TotalAlloc - before.TotalAlloc; n > 1<<20 {
			t.Errorf("%d bytes were allocated", n)
		}
	})
	t.Run("fragments beyond the limit", func(t *testing.T) {
		ws, c := connect()
		w, _ := ws.NextWriter(websocket.BinaryMessage)
		go io.Copy(w, bytes.NewReader(make([]byte, 10*maxFrame)))
		if _, err := c.ReadFrame(); !errors.Is(err, ErrTooLarge) {
			t.Errorf("got %v, want ErrTooLarge", err)
		}
	})
	t.Run("unmasked", func(t *testing.T) {
		ws, c := connect()
		ws.NetConn().Write([]byte{0x82, 1, 'x'})
		if _, err := c.ReadFrame(); err == nil || err == io.EOF {
			t.Errorf("got %v, want an error", err)
		}
	})
}

func TestTLS(t *testing.T) {
	url, pin, accepted := serve(t, Limits{})
	for name, tt := range map[string]struct {
		config *tls.Config
		want   error
	}{
		"the pinned key":  {PinnedTLS(pin), nil},
		"no check":        {InnerTLS(), nil},
		"another pin":     {PinnedTLS(id.Digest{1}), ErrCertificate},
		"the authorities": {PinnedTLS(id.Digest{}), errors.New("")},
	} {
		c, err := Dial(t.Context(), url, tt.config, Limits{})
		if tt.want == nil {
			if err != nil {
				t.Errorf("%s: %v", name, err)
				continue
			}
			if v := c.ws.NetConn().(*tls.Conn).ConnectionState(); v.Version != tls.VersionTLS13 || v.CurveID != tls.X25519MLKEM768 {
				t.Errorf("%s: TLS %x, group %v", name, v.Version, v.CurveID)
			}
			c.Close()
			(<-accepted).Close()
		} else if err == nil || errors.Is(tt.want, ErrCertificate) && !errors.Is(err, ErrCertificate) {
			t.Errorf("%s: got %v", name, err)
		}
	}
	old := InnerTLS()
	old.MinVersion, old.MaxVersion = tls.VersionTLS12, tls.VersionTLS12
	if _, err := Dial(t.Context(), url, old, Limits{}); err == nil {
		t.Error("the server speaks TLS 1.2")
	}
}

func TestDialErrors(t *testing.T) {
	for _, bad := range []string{"", "https://x/", "wss://", "wss://user:secret@host/", "://"} {
		if _, err := Dial(t.Context(), bad, nil, Limits{}); err == nil {
			t.Errorf("dialled %q", bad)
		}
	}
	answers := httptest.NewServer(http.NotFoundHandler())
	defer answers.Close()
	var he *HTTPError
	if _, err := Dial(t.Context(), "ws"+strings.TrimPrefix(answers.URL, "http"), nil, Limits{}); !errors.As(err, &he) || he.Status != 404 {
		t.Errorf("got %v, want status 404", err)
	}
	other := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		u := websocket.Upgrader{}
		if ws, err := u.Upgrade(w, r, nil); err == nil {
			ws.Close()
		}
	}))
	defer other.Close()
	if _, err := Dial(t.Context(), "ws"+strings.TrimPrefix(other.URL, "http"), nil, Limits{}); err == nil || !strings.Contains(err.Error(), Subprotocol) {
		t.Errorf("got %v, want the missing subprotocol", err)
	}
}

// listen accepts TCP connections and hands them to f.
func listen(t *testing.T, f func(net.Conn)) (addr string) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ln.Close() })
	go func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			go func() { defer c.Close(); f(c) }()
		}
	}()
	return ln.Addr().String()
}

// A server or proxy that is silent, or talks without end, before the WebSocket stands.
func TestDialIsBounded(t *testing.T) {
	silent := listen(t, func(c net.Conn) { io.Copy(io.Discard, c) })
	endless := listen(t, func(c net.Conn) {
		io.WriteString(c, "HTTP/1.1 101 Switching Protocols\r\n")
		for {
			if _, err := c.Write(bytes.Repeat([]byte("X-A: b\r\n"), 1000)); err != nil {
				return
			}
		}
	})
	noProxy := func(*http.Request) (*url.URL, error) { return nil, nil }
	via := func(addr string) func(*http.Request) (*url.URL, error) {
		return func(*http.Request) (*url.URL, error) { return &url.URL{Scheme: "http", Host: addr}, nil }
	}
	l := Limits{HandshakeTimeout: 150 * time.Millisecond}
	for name, f := range map[string]func() error{
		"silent server":      func() error { _, err := dial(t.Context(), "ws://"+silent, nil, l, noProxy); return err },
		"silent TLS server":  func() error { _, err := dial(t.Context(), "wss://"+silent, InnerTLS(), l, noProxy); return err },
		"silent proxy":       func() error { _, err := dial(t.Context(), "wss://a.example", InnerTLS(), l, via(silent)); return err },
		"endless head":       func() error { _, err := dial(t.Context(), "ws://"+endless, nil, Limits{}, noProxy); return err },
		"endless proxy head": func() error { _, err := dial(t.Context(), "wss://a.example", nil, Limits{}, via(endless)); return err },
		"cancelled": func() error {
			ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
			defer cancel()
			_, err := dial(ctx, "ws://"+silent, nil, Limits{}, noProxy)
			return err
		},
	} {
		begin := time.Now()
		if err := f(); err == nil || time.Since(begin) > 2*time.Second {
			t.Errorf("%s: %v after %v", name, err, time.Since(begin))
		}
	}
}

func TestProxy(t *testing.T) {
	target, pin, accepted := serve(t, Limits{})
	var asked atomic.Value
	proxy := listen(t, func(c net.Conn) {
		br := bufio.NewReader(c)
		r, err := http.ReadRequest(br)
		if err != nil {
			return
		}
		asked.Store(r.Method + " " + r.Host + " " + r.Header.Get("Proxy-Authorization"))
		if r.Header.Get("Proxy-Authorization") == "" {
			io.WriteString(c, "HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n")
			return
		}
		up, err := net.Dial("tcp", r.Host)
		if err != nil {
			return
		}
		defer up.Close()
		io.WriteString(c, "HTTP/1.1 200 Connection established\r\n\r\n")
		go io.Copy(up, br)
		io.Copy(c, up)
	})
	through := func(user *url.Userinfo) (*Conn, error) {
		return dial(t.Context(), target, PinnedTLS(pin), Limits{}, func(r *http.Request) (*url.URL, error) {
			if r.URL.Scheme != "https" {
				t.Errorf("the proxy is chosen for %v", r.URL)
			}
			return &url.URL{Scheme: "http", Host: proxy, User: user}, nil
		})
	}
	c, err := through(url.UserPassword("me", "pass"))
	if err != nil {
		t.Fatal(err)
	}
	s := <-accepted
	if err := c.WriteFrame([]byte("through")); err != nil {
		t.Fatal(err)
	}
	if f, err := s.ReadFrame(); err != nil || string(f) != "through" {
		t.Errorf("got %q, %v", f, err)
	}
	c.Close()
	s.Close()
	host := strings.TrimSuffix(strings.TrimPrefix(target, "wss://"), Path)
	if want := "CONNECT " + host + " Basic bWU6cGFzcw=="; asked.Load() != want {
		t.Errorf("the proxy was asked %q, want %q", asked.Load(), want)
	}
	var he *HTTPError
	if _, err := through(nil); !errors.As(err, &he) || he.Status != 407 || !he.Proxy {
		t.Errorf("got %v, want the proxy's 407", err)
	} else if strings.Contains(err.Error(), "pass") {
		t.Error("the error names the password")
	}
}

// bubble runs f in a synctest bubble, where time is free, over net.Pipe.
func bubble(t *testing.T, l Limits, f func(client, server *Conn, clientRaw net.Conn)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		a, b := net.Pipe()
		upgraded := make(chan *Conn)
		go func() {
			br := bufio.NewReader(b)
			r, err := http.ReadRequest(br)
			if err != nil {
				t.Error(err)
				return
			}
			c, err := Upgrade(&hijacker{conn: b, rw: bufio.NewReadWriter(bufio.NewReader(b), bufio.NewWriter(b))}, r, l)
			if err != nil {
				t.Error(err)
			}
			upgraded <- c
		}()
		d := websocket.Dialer{Subprotocols: []string{Subprotocol},
			NetDialContext: func(context.Context, string, string) (net.Conn, error) { return a, nil }}
		ws, _, err := d.Dial("ws://bubble", nil)
		if err != nil {
			t.Fatal(err)
		}
		f(newConn(ws, l.withDefaults()), <-upgraded, a)
	}) // fails if a goroutine is left
}

type hijacker struct {
	conn net.Conn
	rw   *bufio.ReadWriter
	http.ResponseWriter
}

func (h *hijacker) Hijack() (net.Conn, *bufio.ReadWriter, error) { return h.conn, h.rw, nil }

func read(c *Conn) chan error {
	done := make(chan error, 1)
	go func() {
		for {
			if _, err := c.ReadFrame(); err != nil {
				done <- err
				return
			}
		}
	}()
	return done
}

// Two sides that say nothing for an hour stay connected by their pings alone.
func TestHeartbeatKeepsSilentPeers(t *testing.T) {
	bubble(t, Limits{}, func(client, server *Conn, _ net.Conn) {
		a, b := read(client), read(server)
		time.Sleep(time.Hour)
		if len(a) > 0 || len(b) > 0 {
			t.Error("one of them gave up")
		}
		client.Close()
		server.Close()
		t.Logf("client: %v; server: %v", <-a, <-b)
	})
}

// A peer whose machine is gone, without a FIN, is found within 25 s; so is one
// that trickles.
func TestDeadPeerIsFound(t *testing.T) {
	for name, during := range map[string]func(raw net.Conn, stop <-chan struct{}){
		"half-open": func(raw net.Conn, stop <-chan struct{}) { // its kernel still takes bytes
			io.Copy(io.Discard, raw)
		},
		"frozen": func(raw net.Conn, stop <-chan struct{}) { <-stop }, // not even that
		"a byte a second": func(raw net.Conn, stop <-chan struct{}) {
			go io.Copy(io.Discard, raw)
			raw.Write([]byte{0x82, 0xfe, 0xff, 0xff, 1, 2, 3, 4})
			for {
				if _, err := raw.Write([]byte{0}); err != nil {
					return
				}
				time.Sleep(time.Second)
			}
		},
		"pings within a frame": func(raw net.Conn, stop <-chan struct{}) {
			go io.Copy(io.Discard, raw)
			raw.Write([]byte{0x02, 0x81, 1, 2, 3, 4, 5}) // a first fragment
			for {
				if _, err := raw.Write([]byte{0x89, 0x80, 1, 2, 3, 4}); err != nil {
					return
				}
				time.Sleep(time.Second)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, Limits{}, func(client, server *Conn, raw net.Conn) {
				client.ping.Stop() // the peer's program is gone
				client.closed.Store(true)
				stop, ended := make(chan struct{}), make(chan struct{})
				begin := time.Now()
				go func() { during(raw, stop); close(ended) }()
				err := <-read(server)
				if !errors.Is(err, ErrSilent) || !errors.Is(err, os.ErrDeadlineExceeded) {
					t.Errorf("got %v, want ErrSilent", err)
				}
				if d := time.Since(begin); d > 25*time.Second {
					t.Errorf("found after %v", d)
				}
				close(stop)
				raw.Close()
				<-ended
			})
		})
	}
}

// A flood of pings, unanswerable because the peer does not read, holds one goroutine.
func TestPingFlood(t *testing.T) {
	bubble(t, Limits{}, func(client, server *Conn, raw net.Conn) {
		client.ping.Stop()
		client.closed.Store(true)
		done := read(server)
		synctest.Wait()
		before := runtime.NumGoroutine()
		for range 200 {
			raw.Write([]byte{0x89, 0x80, 1, 2, 3, 4})
		}
		synctest.Wait()
		if n := runtime.NumGoroutine() - before; n > 2 {
			t.Errorf("%d goroutines more after 200 pings", n)
		}
		server.Close()
		raw.Close()
		<-done
	})
}

// A peer that lives but does not read is cut by the frame that does not leave.
func TestSlowReaderIsCut(t *testing.T) {
	bubble(t, Limits{}, func(client, server *Conn, raw net.Conn) {
		begin := time.Now()
		var err error
		for err == nil {
			err = server.WriteFrame(make([]byte, maxFrame))
		}
		if d := time.Since(begin); d > 25*time.Second || !errors.Is(err, ErrSilent) {
			t.Errorf("cut after %v with %v", d, err)
		}
		client.Close()
	})
}

// A program that is busy for minutes and does not call ReadFrame stays connected,
// and so does the peer in its eyes.
func TestBusyReaderStays(t *testing.T) {
	// net.Pipe has no buffer in which pings could wait, so this takes real sockets
	// and short times.
	l := Limits{PingInterval: 20 * time.Millisecond, PongWait: 100 * time.Millisecond}
	url, pin, accepted := serve(t, l)
	client, err := Dial(t.Context(), url, PinnedTLS(pin), l)
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	server := <-accepted
	defer server.Close()
	done := read(server)
	time.Sleep(400 * time.Millisecond) // the client's program does not read
	if err := server.WriteFrame([]byte("still there")); err != nil {
		t.Fatal(err)
	}
	if f, err := client.ReadFrame(); err != nil || string(f) != "still there" {
		t.Errorf("got %q, %v", f, err)
	}
	select {
	case err := <-done:
		t.Errorf("the server gave up: %v", err)
	default:
	}
}

// Connections leave no goroutine behind, whoever ends them and however.
func TestNoLeaks(t *testing.T) {
	url, pin, accepted := serve(t, Limits{})
	base := runtime.NumGoroutine()
	for i := range 20 {
		c, err := Dial(t.Context(), url, PinnedTLS(pin), Limits{})
		if err != nil {
			t.Fatal(err)
		}
		s := <-accepted
		a, b := read(c), read(s)
		switch i % 3 {
		case 0:
			c.Close()
		case 1:
			s.Close()
		default:
			c.ws.NetConn().(*tls.Conn).NetConn().Close()
		}
		<-a
		<-b
	}
	for range 100 {
		if runtime.NumGoroutine() <= base {
			return
		}
		time.Sleep(20 * time.Millisecond)
	}
	buf := make([]byte, 1<<16)
	t.Errorf("%d goroutines, %d before\n%s", runtime.NumGoroutine(), base, buf[:runtime.Stack(buf, true)])
}

func TestErrorsName(t *testing.T) {
	for _, tt := range []struct {
		err  error
		want string
	}{
		{&HTTPError{Status: 502}, "wsconn: the server answered 502 Bad Gateway"},
		{&HTTPError{Status: 407, Proxy: true}, "wsconn: the proxy answered 407 Proxy Authentication Required"},
	} {
		if got := fmt.Sprint(tt.err); got != tt.want {
			t.Errorf("got %q, want %q", got, tt.want)
		}
	}
}
