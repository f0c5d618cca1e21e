package wsconn

import (
	"bufio"
	"context"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"

	"github.com/gorilla/websocket"
)

// maxHandshake is what a peer or proxy may send before the WebSocket stands:
// certificates and HTTP headers.
const maxHandshake = 256 << 10

var errHandshakeSize = errors.New("more than 256 KiB before the connection stands")

// HTTPError: the server, or a proxy before it, answered with HTTP instead of a
// WebSocket.
type HTTPError struct {
	Status int
	Proxy  bool
}

func (e *HTTPError) Error() string {
	who := "the server"
	if e.Proxy {
		who = "the proxy"
	}
	return fmt.Sprintf("wsconn: %s answered %d %s", who, e.Status, http.StatusText(e.Status))
}

// Dial connects to a wss:// URL (ws:// for tests), through the CONNECT proxy that
// HTTPS_PROXY and NO_PROXY name, if any.
func Dial(ctx context.Context, rawURL string, tc *tls.Config, l Limits) (*Conn, error) {
	return dial(ctx, rawURL, tc, l, http.ProxyFromEnvironment)
}

func dial(ctx context.Context, rawURL string, tc *tls.Config, l Limits, proxy func(*http.Request) (*url.URL, error)) (*Conn, error) {
	l = l.withDefaults()
	u, err := url.Parse(rawURL)
	if err != nil || u.Host == "" || u.User != nil || u.Scheme != "wss" && u.Scheme != "ws" {
		return nil, fmt.Errorf("wsconn: %q is no wss:// address", rawURL)
	}
	ctx, cancel := context.WithTimeout(ctx, l.HandshakeTimeout)
	defer cancel()
	bound := new(boundedConn)
	d := websocket.Dialer{
		NetDialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
			conn, err := dialProxied(ctx, u, addr, proxy)
			if err != nil {
				return nil, err
			}
			bound.Conn = conn
			bound.opened.Store(&conn)
			if bound.aborted.Load() {
				conn.Close()
			}
			return bound, nil
		},
		TLSClientConfig: tc,
		Subprotocols:    []string{Subprotocol},
		ReadBufferSize:  4 << 10,
		WriteBufferSize: writeBufferSize,
		WriteBufferPool: writeBuffers,
	}
	// gorilla watches ctx only until TCP stands; afterwards closing the socket stops it.
	stop := context.AfterFunc(ctx, bound.abort)
	ws, resp, err := d.DialContext(ctx, rawURL, nil)
	if !stop() {
		err = context.Cause(ctx)
	}
	if err != nil {
		bound.abort()
		if errors.Is(err, websocket.ErrBadHandshake) && resp != nil {
			err = &HTTPError{Status: resp.StatusCode}
		}
		return nil, fmt.Errorf("wsconn: connect to %s: %w", u.Host, err)
	}
	if ws.Subprotocol() != Subprotocol {
		ws.Close()
		return nil, fmt.Errorf("wsconn: connect to %s: the server does not speak %s", u.Host, Subprotocol)
	}
	bound.stands.Store(true)
	return newConn(ws, l), nil
}

// boundedConn bounds what is read before stands, because net/http and crypto/tls
// bound some of it only by time.
type boundedConn struct {
	net.Conn // set by the dialing goroutine before the connection is used
	read     int
	stands   atomic.Bool
	aborted  atomic.Bool
	opened   atomic.Pointer[net.Conn]
}

func (b *boundedConn) abort() {
	b.aborted.Store(true)
	if c := b.opened.Load(); c != nil {
		(*c).Close()
	}
}

func (b *boundedConn) Read(p []byte) (int, error) {
	if b.stands.Load() {
		return b.Conn.Read(p)
	}
	if b.read >= maxHandshake {
		return 0, errHandshakeSize
	}
	n, err := b.Conn.Read(p[:min(len(p), maxHandshake-b.read)])
	b.read += n
	return n, err
}

// dialProxied connects to addr, or to the proxy for u and through it to addr.
func dialProxied(ctx context.Context, u *url.URL, addr string, proxy func(*http.Request) (*url.URL, error)) (net.Conn, error) {
	target := &url.URL{Scheme: "https", Host: u.Host}
	if u.Scheme == "ws" {
		target.Scheme = "http"
	}
	via, err := proxy(&http.Request{URL: target})
	if err != nil {
		return nil, fmt.Errorf("proxy setting: %w", err)
	}
	var nd net.Dialer
	if via == nil {
		return nd.DialContext(ctx, "tcp", addr)
	}
	if via.Scheme != "http" && via.Scheme != "https" {
		return nil, fmt.Errorf("proxy setting: scheme %q is not http or https", via.Scheme)
	}
	host := via.Host
	if via.Port() == "" {
		host = net.JoinHostPort(via.Hostname(), map[string]string{"http": "80", "https": "443"}[via.Scheme])
	}
	conn, err := nd.DialContext(ctx, "tcp", host)
	if err != nil {
		return nil, fmt.Errorf("proxy %s: %w", host, err)
	}
	if via.Scheme == "https" {
		conn = tls.Client(conn, &tls.Config{ServerName: via.Hostname(), MinVersion: tls.VersionTLS12})
	}
	tunnel, err := connect(ctx, conn, addr, via.User)
	if err != nil {
		conn.Close()
		return nil, fmt.Errorf("proxy %s: %w", host, err)
	}
	return tunnel, nil
}

// maxConnectReply bounds a proxy's answer to CONNECT.
const maxConnectReply = 16 << 10

// connect asks the proxy at the other end of conn for a tunnel (RFC 9110, 9.3.6).
func connect(ctx context.Context, conn net.Conn, addr string, user *url.Userinfo) (net.Conn, error) {
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	defer stop()
	req := &http.Request{Method: http.MethodConnect, URL: &url.URL{Opaque: addr}, Host: addr, Header: http.Header{}}
	if user != nil {
		password, _ := user.Password()
		req.Header.Set("Proxy-Authorization",
			"Basic "+base64.StdEncoding.EncodeToString([]byte(user.Username()+":"+password)))
	}
	if err := req.Write(conn); err != nil {
		return nil, err
	}
	head, err := readHead(conn)
	if err != nil {
		return nil, err
	}
	resp, err := http.ReadResponse(bufio.NewReader(strings.NewReader(head)), req)
	if err != nil {
		return nil, err
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, &HTTPError{Status: resp.StatusCode, Proxy: true}
	}
	if !stop() {
		return nil, context.Cause(ctx)
	}
	return conn, nil
}

// readHead reads an HTTP head byte by byte, so that what follows it in the tunnel
// stays unread. It is short and rare.
func readHead(r io.Reader) (string, error) {
	var head []byte
	var one [1]byte
	for len(head) < maxConnectReply {
		if _, err := io.ReadFull(r, one[:]); err != nil {
			return "", err
		}
		if head = append(head, one[0]); one[0] == '\n' && strings.HasSuffix(string(head[max(0, len(head)-4):]), "\r\n\r\n") {
			return string(head), nil
		}
	}
	return "", fmt.Errorf("its answer is longer than %d bytes", maxConnectReply)
}
