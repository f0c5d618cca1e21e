package client

import (
	"context"
	"errors"
	"fmt"
	"log/slog"

	"tacit/id"
	"tacit/internal/durable"
	"tacit/vault"
	"tacit/wire"
)

// Software is what the agent calls itself to the server.
var Software = "tacit"

// JoinOptions says how to join.
type JoinOptions struct {
	// Config names the site and the state directory. Memory keeps the state instead
	// of a directory.
	Config *Config
	Memory *Memory

	JoinString string
	Dial       DialFunc                 // nil: a WebSocket to the string's address
	Provider   vault.Provider           // nil: a key file in the state directory
	Wait       bool                     // until an administrator has decided
	OnPending  func(fingerprint string) // called once, when the application is in
	Logger     *slog.Logger

	disk *durable.Disk // tests
}

// Joined is what joining brought.
type Joined struct {
	Agent       id.AgentID
	Fingerprint string // of the agent's key, for two people to compare
	Org, Site   string
	Server      ServerRef
	Pending     bool // not approved yet; join again to ask
}

// Join asks for membership with a joining string: it makes the identity's keys
// here, keeps them sealed before anyone hears of them, proves that it holds them,
// and (with Wait) stays until an administrator has approved. It may be repeated: an
// agent that has joined says so again. Lost connections are retried until ctx ends;
// a *[StopError] is final.
func Join(ctx context.Context, opt JoinOptions) (*Joined, error) {
	js, err := id.ParseJoinString(opt.JoinString)
	if err != nil {
		return nil, &StopError{What: "the joining string is damaged", Do: "copy it whole, from tacit-join1- to its end", Err: err}
	}
	if opt.Config == nil {
		return nil, errors.New("client: join: no configuration")
	}
	if opt.Config.Site != js.Site {
		return nil, &StopError{What: fmt.Sprintf("the joining string is for site %q, this agent is %q", js.Site, opt.Config.Site),
			Do: "ask the operator for a string for this site, or change site: in the agent's file"}
	}
	ref := ServerRef{URL: js.URL, TLS: js.TLS, Channel: js.Channel, Charter: js.Charter}
	if c := opt.Config.Server; !c.IsZero() && (c.Channel != ref.Channel || c.Charter != ref.Charter) {
		return nil, &StopError{What: "the joining string is of another server than server: in the agent's file",
			Do: "remove server: from the file; joining keeps it in the state directory"}
	}
	st, err := openState(opt.Config.State, opt.disk, opt.Provider, opt.Memory)
	if err != nil {
		return nil, err
	}
	defer st.close()
	m, err := st.membership()
	if err != nil {
		return nil, err
	}
	if m != nil && m.Approved && (m.Server.Channel != ref.Channel || m.Server.Charter != ref.Charter) {
		return nil, &StopError{What: "this agent is a member of another federation", Do: "give each federation a state directory of its own"}
	}
	if err := st.makeIdentity(); err != nil {
		return nil, err
	}
	pub := st.key.Public()
	out := &Joined{Agent: pub.AgentID(), Fingerprint: pub.Fingerprint(), Org: js.Org, Site: js.Site, Server: ref}
	if m != nil && m.Approved {
		return out, nil
	}
	m = &membership{Server: ref, Org: js.Org, Site: js.Site, Agent: out.Agent}
	if err := st.setMembership(m); err != nil {
		return nil, err
	}
	dial := opt.Dial
	if dial == nil {
		dial = webSocket(ref)
	}
	a := &application{key: st.key, js: js, ref: ref, dial: dial, opt: &opt, joined: out}
	if out.Pending, err = a.run(ctx); err != nil || out.Pending {
		return out, err
	}
	m.Approved = true
	return out, st.setMembership(m)
}

// application is one run of Join over as many connections as it takes.
type application struct {
	key    *id.PrivateKey
	js     *id.JoinString
	ref    ServerRef
	dial   DialFunc
	opt    *JoinOptions
	joined *Joined
	told   bool // OnPending was called
}

func (a *application) run(ctx context.Context) (pending bool, err error) {
	var wait backoff
	for {
		pending, err = a.once(ctx, &wait)
		if err == nil || ctx.Err() != nil {
			return pending, errors.Join(ctx.Err(), err)
		}
		if stop := final(err); stop != nil {
			return false, stop
		}
		if !a.opt.Wait && !a.told {
			return false, err // nothing is waiting for us: let a person see the error
		}
		if a.opt.Logger != nil {
			a.opt.Logger.Warn("the server cannot be reached; trying again", "error", err)
		}
		if err := sleep(ctx, wait.next()); err != nil {
			return false, err
		}
	}
}

// once applies over one connection.
func (a *application) once(ctx context.Context, wait *backoff) (pending bool, err error) {
	ch, err := connect(ctx, a.dial, a.ref)
	if err != nil {
		return false, err
	}
	defer ch.Close()
	stop := context.AfterFunc(ctx, func() { ch.Close() })
	defer stop()
	m := &wire.Join{Token: a.js.Token, Org: a.js.Org, Site: a.js.Site, Software: Software}
	m.Sign(a.key, ch.Binding())
	if err := ch.Send(m); err != nil {
		return false, err
	}
	for {
		msg, err := ch.Receive()
		if err != nil {
			return false, err
		}
		switch msg := msg.(type) {
		case *wire.JoinStatus:
			if msg.Agent != a.joined.Agent || msg.Fingerprint != a.joined.Fingerprint {
				return false, &StopError{What: "the server answers for another key than this agent's", Do: "ask the operator what answers at " + a.ref.URL}
			}
			wait.reset()
			switch msg.State {
			case wire.JoinApproved:
				return false, nil
			case wire.JoinRefused:
				return false, &StopError{What: "the federation refuses this site", Do: "ask the administrator", Err: errors.New(msg.Reason)}
			}
			if !a.told && a.opt.OnPending != nil {
				a.opt.OnPending(a.joined.Fingerprint)
			}
			a.told = true
			if !a.opt.Wait {
				return true, nil
			}
		case *wire.Error:
			return false, msg
		default:
			return false, fmt.Errorf("client: join: unexpected %s", msg.Kind())
		}
	}
}
