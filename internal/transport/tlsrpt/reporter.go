package tlsrpt

import (
	"context"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/pennypost/pennypost/internal/clock"
	"github.com/pennypost/pennypost/internal/db"
	"github.com/pennypost/pennypost/internal/dial"
	"github.com/pennypost/pennypost/internal/dns"
	"github.com/pennypost/pennypost/internal/transport/route"
)

const (
	// maxWaiting is how many kinds of sessions are counted in memory; those beyond are dropped and logged.
	maxWaiting = 10_000
	// maxText is how many bytes of each text of a failure are kept, and maxPolicy of a policy.
	maxText   = 256
	maxPolicy = 8 << 10
	// linger is how long sessions wait in memory.
	linger = time.Minute
	// batch is how many rows are written or deleted at once.
	batch = 500
)

// Options are what a Reporter needs.
type Options struct {
	DB       *db.DB
	Clock    clock.Clock
	Log      *slog.Logger
	Resolver *dns.Resolver
	Dialer   *dial.Dialer // for reports that are wanted over HTTPS
	Roots    *x509.CertPool
	Mailer   Mailer
	// Organization is who reports, in words; Contact an address for questions; From the address that sends reports, whose domain is
	// the submitter.
	Organization, Contact, From string
	// Random is below n, and spreads the reports of a day (math/rand/v2.Int64N).
	Random func(n int64) int64
}

// Reporter counts sessions and reports them. It is safe for concurrent use. Its owner calls Handle, Start and Run.
type Reporter struct {
	Options
	client *http.Client

	mu      sync.Mutex
	waiting map[counter]int64
	dropped int64
}

// counter is what is counted together.
type counter struct {
	day                     int64
	domain, policy, failure string
}

// New returns a Reporter.
func New(o Options) *Reporter {
	return &Reporter{Options: o, client: postClient(o.Dialer, o.Roots), waiting: map[counter]int64{}}
}

// policyJSON is a policy as reports have it (RFC 8460 section 4.4).
type policyJSON struct {
	Type    string   `json:"policy-type"`
	Strings []string `json:"policy-string,omitempty"`
	Domain  string   `json:"policy-domain"`
	MX      []string `json:"mx-host,omitempty"`
}

// failureJSON is a kind of failure as reports have it.
type failureJSON struct {
	Result   route.Result `json:"result-type"`
	Local    string       `json:"sending-mta-ip,omitempty"`
	Host     string       `json:"receiving-mx-hostname,omitempty"`
	Helo     string       `json:"receiving-mx-helo,omitempty"`
	Address  string       `json:"receiving-ip,omitempty"`
	Sessions int64        `json:"failed-session-count"`
	Info     string       `json:"additional-information,omitempty"`
	Reason   string       `json:"failure-reason-code,omitempty"`
}

// Report counts a session. It does not wait; what it counts is durable about a minute later. A session without a policy's type, or
// to an address literal, is nothing that anybody wants to hear of.
func (r *Reporter) Report(_ context.Context, s route.Session) {
	if s.Policy.Type == "" || s.Domain == "" || strings.HasPrefix(s.Domain, "[") {
		return
	}
	c := counter{day: dayOf(r.Clock.Now()), domain: s.Domain}
	c.policy = encode(policyJSON{s.Policy.Type, shorten(s.Policy.Strings), s.Policy.Domain, shorten(s.Policy.MX)})
	if s.Result != route.Succeeded {
		c.failure = encode(failureJSON{
			Result: s.Result, Local: address(s.Local), Host: text(s.Host), Helo: text(s.Helo), Address: address(s.Address),
			Info: text(s.Info), Reason: text(s.Reason),
		})
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.count(c)
	if s.Policy.Type == route.PolicyTLSA && s.Policy.Domain != s.Domain {
		c.domain = s.Policy.Domain
		r.count(c)
	}
}

// count is called with the lock.
func (r *Reporter) count(c counter) {
	if _, known := r.waiting[c]; !known && len(r.waiting) >= maxWaiting {
		r.dropped++
		return
	}
	r.waiting[c]++
}

// Run makes what was counted durable until ctx ends, and what is left then. It returns nil then.
func (r *Reporter) Run(ctx context.Context) error {
	defer r.client.CloseIdleConnections()
	for over := false; !over; {
		over = r.Clock.Sleep(ctx, linger) != nil
		if err := r.flush(context.WithoutCancel(ctx)); err != nil {
			r.Log.ErrorContext(ctx, "TLS sessions could not be counted; trying again", "error", err)
		}
	}
	return nil
}

const addSessions = `INSERT INTO tls_session (day, domain, hash, policy, failure, sessions) VALUES ($1, $2, $3, $4, $5, $6)
	ON CONFLICT (day, domain, hash) DO UPDATE SET sessions = tls_session.sessions + excluded.sessions`

// flush writes what was counted. What could not be written waits on.
func (r *Reporter) flush(ctx context.Context) error {
	r.mu.Lock()
	counted, dropped := r.waiting, r.dropped
	r.waiting, r.dropped = map[counter]int64{}, 0
	r.mu.Unlock()
	if dropped > 0 {
		r.Log.WarnContext(ctx, "TLS sessions were not counted: they are of too many kinds", "sessions", dropped)
	}
	var err error
	for len(counted) > 0 && err == nil {
		part := make(map[counter]int64, min(batch, len(counted)))
		for c, n := range counted {
			if part[c] = n; len(part) == batch {
				break
			}
		}
		err = r.DB.Write(ctx, func(ctx context.Context, tx *db.Tx) error {
			for c, n := range part {
				sum := sha256.Sum256([]byte(c.policy + "\n" + c.failure))
				if _, err := tx.Exec(ctx, addSessions, c.day, c.domain, hex.EncodeToString(sum[:16]), c.policy, c.failure, n); err != nil {
					return err
				}
			}
			return nil
		})
		if err == nil {
			for c := range part {
				delete(counted, c)
			}
		}
	}
	if err == nil {
		return nil
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for c, n := range counted {
		if _, known := r.waiting[c]; !known && len(r.waiting) >= maxWaiting {
			r.dropped += n
			continue
		}
		r.waiting[c] += n
	}
	return fmt.Errorf("write the TLS sessions: %w", err)
}

const aDay = 24 * time.Hour

func dayOf(t time.Time) int64 { return t.Unix() / int64(aDay/time.Second) }

func begins(day int64) time.Time { return time.Unix(day*int64(aDay/time.Second), 0).UTC() }

func encode(v any) string {
	b, err := json.Marshal(v)
	if err != nil {
		return "{}" // texts and numbers always encode
	}
	return string(b)
}

func address(a netip.Addr) string {
	if !a.IsValid() {
		return ""
	}
	return a.Unmap().WithZone("").String()
}

// text bounds what others said, and makes it text.
func text(s string) string {
	s = strings.ReplaceAll(strings.ToValidUTF8(s, "\uFFFD"), "\x00", "\uFFFD")
	if len(s) <= maxText {
		return s
	}
	end := maxText
	for !utf8.RuneStart(s[end]) {
		end--
	}
	return s[:end]
}

// shorten leaves out the last of the strings where together they are too long.
func shorten(list []string) []string {
	size := 0
	for i, s := range list {
		if size += len(s); size > maxPolicy {
			return list[:i]
		}
	}
	return list
}
