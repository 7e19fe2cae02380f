package web

import (
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/pennypost/pennypost/internal/clock"
	"github.com/pennypost/pennypost/internal/identity"
)

const (
	// sessionLife is how long a sign-in to the page is good for; the provider makes the next one easy.
	sessionLife = time.Hour
	// flowLife is how long a user may take at the provider.
	flowLife    = 10 * time.Minute
	maxSessions = 10_000

	sessionCookie = "pennypost-session"
	flowCookie    = "pennypost-flow"
)

// session is a browser that is signed in. It is a session of the door, which ends it when the user's rights end, and is kept
// in memory, so that signing out ends it for whoever has the cookie.
type session struct {
	*identity.Session
	id, csrf string
	until    time.Time
}

// sessions are the signed-in browsers by what their cookies hold: 256 random bits.
type sessions struct {
	clock clock.Clock

	mu   sync.Mutex
	byID map[string]*session
}

func newSessions(c clock.Clock) *sessions { return &sessions{clock: c, byID: map[string]*session{}} }

// begin keeps a session of the door for a browser. Where there are too many, any other goes.
func (k *sessions) begin(in *identity.Session) *session {
	s := &session{Session: in, id: word(), csrf: word(), until: k.clock.Now().Add(sessionLife)}
	k.mu.Lock()
	var over []*session
	for _, other := range k.byID {
		if k.over(other) || len(k.byID)-len(over) >= maxSessions {
			over = append(over, other)
		}
	}
	for _, other := range over {
		delete(k.byID, other.id)
	}
	k.byID[s.id] = s
	k.mu.Unlock()
	for _, other := range over {
		other.Close()
	}
	return s
}

func (k *sessions) over(s *session) bool {
	select {
	case <-s.Done():
		return true
	default:
		return !k.clock.Now().Before(s.until)
	}
}

// find returns the session that a request's cookie names, nil where it names none that goes on.
func (k *sessions) find(r *http.Request) *session {
	cookie, err := r.Cookie(cookieName(r, sessionCookie))
	if err != nil {
		return nil
	}
	k.mu.Lock()
	s := k.byID[cookie.Value]
	k.mu.Unlock()
	if s != nil && k.over(s) {
		k.end(s)
		return nil
	}
	return s
}

func (k *sessions) end(s *session) {
	k.mu.Lock()
	delete(k.byID, s.id)
	k.mu.Unlock()
	s.Close()
}

// word is a text of 256 random bits.
func word() string {
	var b [32]byte
	_, _ = rand.Read(b[:]) // documented never to fail
	return base64.RawURLEncoding.EncodeToString(b[:])
}

// flow is a sign-in that is under way at the provider. The browser keeps it, sealed.
type flow struct {
	Alias, Instance        string
	State, Nonce, Verifier string
	Until                  time.Time
}

const flowPurpose = "sign-in flow"

func (h *Handler) keepFlow(w http.ResponseWriter, r *http.Request, f flow) error {
	text, err := json.Marshal(f)
	if err != nil {
		return err
	}
	sealed := h.config.Root.Seal(flowPurpose, f.State, text)
	h.setCookie(w, r, flowCookie, f.State+"."+base64.RawURLEncoding.EncodeToString(sealed), flowLife)
	return nil
}

// takeFlow returns the flow with the state that the provider gave back, and forgets it. It reports false where this browser
// began none such.
func (h *Handler) takeFlow(w http.ResponseWriter, r *http.Request, state string) (f flow, ok bool) {
	cookie, err := r.Cookie(cookieName(r, flowCookie))
	if err != nil || len(state) != len(word()) || len(cookie.Value) <= len(state) || cookie.Value[:len(state)+1] != state+"." {
		return flow{}, false
	}
	h.dropCookie(w, r, flowCookie)
	sealed, err := base64.RawURLEncoding.DecodeString(cookie.Value[len(state)+1:])
	if err != nil {
		return flow{}, false
	}
	text, err := h.config.Root.Open(flowPurpose, state, sealed)
	if err != nil || json.Unmarshal(text, &f) != nil || f.State != state || !h.config.Clock.Now().Before(f.Until) {
		return flow{}, false
	}
	return f, true
}

// secure reports whether the browser came over TLS. Plain HTTP is for this machine and for trusted proxies, whose word for it
// is therefore taken.
func secure(r *http.Request) bool {
	return r.TLS != nil || r.Header.Get("X-Forwarded-Proto") == "https"
}

// cookieName ties a cookie to this host and to TLS (RFC 6265bis), where there is TLS.
func cookieName(r *http.Request, name string) string {
	if secure(r) {
		return "__Host-" + name
	}
	return name
}

func (h *Handler) setCookie(w http.ResponseWriter, r *http.Request, name, value string, life time.Duration) {
	http.SetCookie(w, &http.Cookie{
		Name: cookieName(r, name), Value: value, Path: "/", MaxAge: int(life / time.Second),
		Secure: secure(r), HttpOnly: true, SameSite: http.SameSiteLaxMode,
	})
}

func (h *Handler) dropCookie(w http.ResponseWriter, r *http.Request, name string) {
	h.setCookie(w, r, name, "", -time.Second)
}

// hostname is the host that the browser asked for, without its port.
func hostname(r *http.Request) string {
	if host, _, err := net.SplitHostPort(r.Host); err == nil {
		return host
	}
	return r.Host
}

// redirectURI is where the provider sends the browser back to. A host that was made up is not registered at the provider.
func redirectURI(r *http.Request) string {
	scheme := "http"
	if secure(r) {
		scheme = "https"
	}
	return scheme + "://" + r.Host + callbackPath
}
