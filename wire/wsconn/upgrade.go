package wsconn

import (
	"fmt"
	"net/http"
	"slices"

	"github.com/gorilla/websocket"
)

// Upgrade turns an HTTP request into a connection. On error it has answered the
// request. Requests with an Origin come from browsers, which have no business here,
// and those that do not name [Subprotocol] are refused.
func Upgrade(w http.ResponseWriter, r *http.Request, l Limits) (*Conn, error) {
	l = l.withDefaults()
	if len(r.Header.Values("Origin")) > 0 {
		http.Error(w, "browsers are refused", http.StatusForbidden)
		return nil, fmt.Errorf("wsconn: refused a browser from %s", r.RemoteAddr)
	}
	if websocket.IsWebSocketUpgrade(r) && !slices.Contains(websocket.Subprotocols(r), Subprotocol) {
		http.Error(w, "the subprotocol is "+Subprotocol, http.StatusBadRequest)
		return nil, fmt.Errorf("wsconn: %s does not speak %s", r.RemoteAddr, Subprotocol)
	}
	u := websocket.Upgrader{
		HandshakeTimeout: l.HandshakeTimeout,
		WriteBufferSize:  writeBufferSize,
		WriteBufferPool:  writeBuffers,
		Subprotocols:     []string{Subprotocol},
		CheckOrigin:      func(*http.Request) bool { return true }, // decided above
	}
	ws, err := u.Upgrade(w, r, nil)
	if err != nil {
		return nil, fmt.Errorf("wsconn: upgrade %s: %w", r.RemoteAddr, err)
	}
	return newConn(ws, l), nil
}
