package identity

import (
	"sync"
	"time"

	"github.com/pennypost/pennypost/internal/directory"
	"github.com/pennypost/pennypost/internal/feed"
	"github.com/pennypost/pennypost/internal/principal"
)

// Session is one signed-in connection. It ends by Close, or by itself when what let its user in does not any more.
type Session struct {
	Principal principal.Principal
	// SignIn is what the directory knew of the user at sign-in.
	SignIn directory.SignIn
	// Token is the id of the personal access token that stood in place of the password, empty where none did.
	Token string

	identity *Identity // where an identity provider vouched for the user
	expires  time.Time // of the token, zero for never
	registry *sessions
	once     sync.Once
	done     chan struct{}
}

// Done is closed when the session has ended: the connection must be closed, and nothing more done in its name.
func (s *Session) Done() <-chan struct{} { return s.done }

// Close ends the session. It may be called twice, and from any goroutine.
func (s *Session) Close() {
	s.once.Do(func() {
		s.registry.remove(s)
		close(s.done)
	})
}

// sessions are the open sessions by user, and the users of whom a change was announced.
type sessions struct {
	wake chan struct{} // holds one notice that changed is not empty

	mu      sync.Mutex
	byUser  map[string]map[*Session]struct{}
	changed map[string]struct{}
}

func newSessions(f *feed.Feed) *sessions {
	r := &sessions{wake: make(chan struct{}, 1), byUser: map[string]map[*Session]struct{}{}, changed: map[string]struct{}{}}
	f.Watch("user", r.announce)
	f.Watch("organization", r.announceOrganization)
	return r
}

// userKey is the key of the feed's topic of a user.
func userKey(org directory.OrgID, id directory.EntityID) string {
	return string(org) + "/" + string(id)
}

// announce marks a user with sessions as changed. It runs inside the feed and does not block. Who opens a session looks at the user
// once more after that.
func (r *sessions) announce(user string) {
	r.mu.Lock()
	_, here := r.byUser[user]
	if here {
		r.changed[user] = struct{}{}
	}
	r.mu.Unlock()
	if here {
		r.notify()
	}
}

func (r *sessions) announceOrganization(org string) {
	r.mu.Lock()
	for user := range r.byUser {
		if len(user) > len(org) && user[:len(org)] == org && user[len(org)] == '/' {
			r.changed[user] = struct{}{}
		}
	}
	r.mu.Unlock()
	r.notify()
}

func (r *sessions) notify() {
	select {
	case r.wake <- struct{}{}:
	default: // a notice waits already
	}
}

// takeChanged returns the users of whom, or of whose organisation, a change was announced.
func (r *sessions) takeChanged() map[string]struct{} {
	r.mu.Lock()
	defer r.mu.Unlock()
	users := r.changed
	r.changed = map[string]struct{}{}
	return users
}

// open registers a session.
func (r *sessions) open(s *Session) {
	s.registry, s.done = r, make(chan struct{})
	user := userKey(s.SignIn.Organization, s.SignIn.ID)
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.byUser[user] == nil {
		r.byUser[user] = map[*Session]struct{}{}
	}
	r.byUser[user][s] = struct{}{}
}

// expire marks the users of sessions whose tokens have expired.
func (r *sessions) expire(now time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for user, open := range r.byUser {
		for s := range open {
			if !s.expires.IsZero() && !now.Before(s.expires) {
				r.changed[user] = struct{}{}
				r.notify()
			}
		}
	}
}

func (r *sessions) remove(s *Session) {
	user := userKey(s.SignIn.Organization, s.SignIn.ID)
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.byUser[user], s)
	if len(r.byUser[user]) == 0 {
		delete(r.byUser, user)
	}
}

// of returns the open sessions of a user.
func (r *sessions) of(user string) []*Session {
	r.mu.Lock()
	defer r.mu.Unlock()
	list := make([]*Session, 0, len(r.byUser[user]))
	for s := range r.byUser[user] {
		list = append(list, s)
	}
	return list
}

func (r *sessions) closeAll() {
	r.mu.Lock()
	var list []*Session
	for _, of := range r.byUser {
		for s := range of {
			list = append(list, s)
		}
	}
	r.mu.Unlock()
	for _, s := range list {
		s.Close()
	}
}
