package certificate

import (
	"context"
	"crypto/tls"
	"slices"
	"strings"
	"time"
)

// held is the certificate of a name.
type held struct {
	issued time.Time
	until  time.Time
	// certificate is nil while it is in the store alone, and of the operator's own names never.
	certificate *tls.Certificate
}

// maxLoaded is how many certificates of More are kept in memory: each is some ten kilobytes.
const maxLoaded = 256

// Load reads what the store has, so that it is shown from the first handshake on.
func (m *Manager) Load(ctx context.Context) error {
	rows, err := m.store.rows(ctx)
	if err != nil {
		return err
	}
	m.remember(ctx, rows)
	return nil
}

// remember makes what is held as the rows say. A certificate of an own name that can't be read counts as none, and is ordered anew.
func (m *Manager) remember(ctx context.Context, rows map[string]*row) {
	m.mu.Lock()
	for name := range m.held {
		if r := rows[name]; r == nil || !r.has() {
			delete(m.held, name)
		}
	}
	var lacking []*row
	for name, r := range rows {
		h := m.held[name]
		if !r.has() || h != nil && h.issued.Equal(r.Issued) {
			continue
		}
		if slices.Contains(m.Names, name) {
			lacking = append(lacking, r)
			continue
		}
		m.held[name] = &held{issued: r.Issued, until: r.NotAfter}
	}
	m.mu.Unlock()
	for _, r := range lacking {
		c, err := m.store.load(ctx, r.Name)
		if err != nil {
			m.Log.ErrorContext(ctx, "a certificate can't be read and is ordered anew", "name", r.Name, "error", err)
			if r.renew = (time.Time{}); r.attempts == 0 { // else it waits as any that failed
				r.due = time.Time{}
			}
			continue
		}
		m.hold(r, c)
	}
}

// hold shows c from now on.
func (m *Manager) hold(r *row, c *tls.Certificate) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.held[r.Name] = &held{issued: r.Issued, until: r.NotAfter}
	m.putLocked(r.Name, c)
}

// putLocked keeps a certificate in memory. Where there are too many of More, those go that are there: who is asked for comes again.
func (m *Manager) putLocked(name string, c *tls.Certificate) {
	if !slices.Contains(m.Names, name) {
		if m.loaded >= maxLoaded {
			for other, h := range m.held {
				if !slices.Contains(m.Names, other) {
					h.certificate = nil
				}
			}
			m.loaded = 0
		}
		m.loaded++
	}
	m.held[name].certificate = c
}

// Certificate returns the certificate for the name that a client asks for, that of the first own name that has a good one where it asks
// for none or for one that has none, and nil where there is no certificate at all. One that has expired is still that of an own name, as
// TLSA records may be of its key.
func (m *Manager) Certificate(hello *tls.ClientHelloInfo) *tls.Certificate {
	name := strings.ToLower(strings.TrimSuffix(hello.ServerName, "."))
	now := m.Clock.Now()
	m.mu.RLock()
	h := m.held[name]
	if h != nil && !h.until.After(now) && !slices.Contains(m.Names, name) {
		h = nil
	}
	var c, first *tls.Certificate
	if h != nil {
		c = h.certificate
	}
	good := false
	for _, own := range m.Names {
		if o := m.held[own]; o != nil && (first == nil || !good && o.until.After(now)) {
			first, good = o.certificate, o.until.After(now)
		}
	}
	m.mu.RUnlock()
	if h == nil || c != nil {
		if c == nil {
			c = first
		}
		return c
	}
	ctx := hello.Context()
	c, err := m.store.load(ctx, name)
	if err != nil {
		if ctx.Err() == nil {
			m.Log.ErrorContext(ctx, "a certificate can't be read", "name", name, "error", err)
		}
		return first
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.held[name] == h && h.certificate == nil { // nothing newer came meanwhile
		m.putLocked(name, c)
	}
	return c
}
