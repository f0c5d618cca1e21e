package client

import (
	"context"
	"crypto/tls"
	"math/rand/v2"
	"time"

	"tacit/wire"
	"tacit/wire/wsconn"
)

// DialFunc opens a connection to the server; nil means a WebSocket to the pinned
// address.
type DialFunc func(ctx context.Context) (wire.FrameConn, error)

// dialTimeout bounds connecting, handshakes included.
const dialTimeout = 30 * time.Second

// webSocket dials the pinned server. A pinned certificate is the only one accepted;
// without a pin the system's authorities decide.
func webSocket(ref ServerRef) DialFunc {
	conf := &tls.Config{MinVersion: tls.VersionTLS13}
	if !ref.TLS.IsZero() {
		conf = wsconn.PinnedTLS(ref.TLS)
	}
	return func(ctx context.Context) (wire.FrameConn, error) {
		c, err := wsconn.Dial(ctx, ref.URL, conf, wsconn.Limits{})
		if err != nil {
			return nil, err // not a typed nil
		}
		return c, nil
	}
}

// connect opens a channel to the pinned key.
func connect(ctx context.Context, dial DialFunc, ref ServerRef) (*wire.Channel, error) {
	ctx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	fc, err := dial(ctx)
	if err != nil {
		return nil, err
	}
	return wire.Dial(ctx, fc, ref.Channel)
}

// backoff spaces retries: the first comes at once, then 0.1 s doubling to 15 s. Each
// wait is drawn from the upper half of its span, so that branches that lost one
// server do not come back as one.
type backoff struct{ tries int }

const (
	firstWait = 100 * time.Millisecond
	lastWait  = 15 * time.Second
)

func (b *backoff) reset() { b.tries = 0 }

// soon keeps the next wait below half a second.
func (b *backoff) soon() { b.tries = min(b.tries, 3) }

// next returns how long to wait before the next try.
func (b *backoff) next() time.Duration {
	b.tries++
	if b.tries == 1 {
		return 0
	}
	span := lastWait
	if n := b.tries - 2; n < 8 {
		span = min(firstWait<<n, lastWait)
	}
	return span/2 + rand.N(span/2+1)
}

// sleep waits, or returns the context's error.
func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return nil
	}
}
