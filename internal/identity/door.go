// Package identity is the one door: every sign-in of every protocol goes through Door.Authenticate, which verifies the
// secret, limits guessing, writes the audit record and returns a session that ends when the user's rights do. It also keeps
// the access keys of administrators. There is no second way in.
package identity

import (
	"context"
	"crypto/sha256"
	"log/slog"
	"net/netip"
	"time"

	"github.com/pennypost/pennypost/internal/audit"
	"github.com/pennypost/pennypost/internal/clock"
	"github.com/pennypost/pennypost/internal/directory"
	"github.com/pennypost/pennypost/internal/fault"
	"github.com/pennypost/pennypost/internal/feed"
	"github.com/pennypost/pennypost/internal/principal"
)

// Credentials are what somebody presents at the door.
type Credentials struct {
	// Username is an address of the user; "<alias>\name" or "<alias>.<suffix>\name"; or a bare name while exactly one enabled
	// user of the server has it. Case does not matter.
	Username string
	Password string
}

// Circumstances are how somebody comes to the door.
type Circumstances struct {
	Protocol  string // "IMAP", "SMTP": the words of WorkMail's access rules and audit logs
	Address   netip.Addr
	UserAgent string // empty where the protocol has none
	RequestID string
}

// Limits bounds guessing. Zero values mean the defaults.
type Limits struct {
	// AccountFailures wrong passwords for one account are allowed at once (default 20), then one each AccountRefill (30 s).
	AccountFailures int
	AccountRefill   time.Duration
	// AddressFailures refused sign-ins from one address (an IPv6 /64) are allowed at once (default 100), then one each
	// AddressRefill (6 s).
	AddressFailures int
	AddressRefill   time.Duration
	// Remembered is how many good passwords are remembered in memory (default 100,000).
	Remembered int
}

func (l Limits) withDefaults() Limits {
	set := func(n *int, d int) {
		if *n == 0 {
			*n = d
		}
	}
	set(&l.AccountFailures, 20)
	set(&l.AddressFailures, 100)
	set(&l.Remembered, 100_000)
	if l.AccountRefill == 0 {
		l.AccountRefill = 30 * time.Second
	}
	if l.AddressRefill == 0 {
		l.AddressRefill = 6 * time.Second
	}
	return l
}

// Door lets users in. Run must be running for sessions to end when their users' rights do.
type Door struct {
	directory *directory.Service
	audit     *audit.Log
	log       *slog.Logger

	remembered *goodSecrets
	accounts   *guessLimit
	addresses  *guessLimit
	sessions   *sessions
}

// NewDoor returns the door to the users of d. A nil log discards.
func NewDoor(d *directory.Service, a *audit.Log, f *feed.Feed, c clock.Clock, log *slog.Logger, l Limits) *Door {
	l = l.withDefaults()
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	return &Door{
		directory: d, audit: a, log: log,
		remembered: newGoodSecrets(l.Remembered),
		accounts:   newGuessLimit(l.AccountFailures, l.AccountRefill, c),
		addresses:  newGuessLimit(l.AddressFailures, l.AddressRefill, c),
		sessions:   newSessions(f),
	}
}

// errRefused is every refusal's answer, whatever the reason: the audit record alone tells them apart.
var errRefused = fault.New(fault.Unauthenticated, fault.None, "the user name or the password is wrong, or this user may not sign in")

// Authenticate lets the holder of the credentials in, or refuses with an Unauthenticated fault that is the same for every
// reason. It answers Temporary when too many sign-ins wait. The caller must Close the session.
func (d *Door) Authenticate(ctx context.Context, c Credentials, how Circumstances) (*Session, error) {
	who, err := d.directory.SignInByName(ctx, c.Username)
	known := err == nil
	if err != nil && fault.KindOf(err) != fault.NotFound {
		return nil, err
	}
	user := userKey(who.Organization, who.ID)
	if !known || !d.remembered.has(user, c.Password, who.PasswordVersion) {
		if reason, err := d.verify(ctx, who, known, c, how.Address); err != nil || reason != "" {
			return nil, d.refuse(ctx, who, c, how, reason, err)
		}
	}
	if !who.MaySignIn() {
		return nil, d.refuse(ctx, who, c, how, "not enabled", nil)
	}
	s := d.sessions.open(principal.Principal{
		Kind: principal.User, ID: string(who.ID), Organization: string(who.Organization), Name: who.Name,
		Protocol: how.Protocol, Address: how.Address, RequestID: how.RequestID,
	}, who)
	// What changed between the first look and the registration was announced before anybody listened: look once more.
	if reason, err := d.stale(ctx, s); err != nil || reason != "" {
		s.Close()
		return nil, d.refuse(ctx, who, c, how, reason, err)
	}
	if err := d.audit.Record(ctx, audit.Of(s.Principal, s.Principal.Organization, signInOperation, s.Principal.ID)); err != nil {
		s.Close()
		return nil, err
	}
	return s, nil
}

// verify checks the password, and the limits on guessing it. It returns the reason of a refusal, or an error when it could
// not find out. An unknown user costs what a known one costs, also once there were too many failures: else the quick answer
// would tell who is known.
func (d *Door) verify(ctx context.Context, who directory.SignIn, known bool, c Credentials, from netip.Addr) (string, error) {
	user, account, address := userKey(who.Organization, who.ID), unknownKey(c.Username), addressKey(from)
	if known {
		account = user
	}
	failed := false
	for _, l := range []struct {
		limit   *guessLimit
		key     string
		blocked string
	}{
		{d.addresses, address, "too many failures from the address"},
		{d.accounts, account, "too many failures for the account"},
	} {
		may, err := l.limit.begin(ctx, l.key)
		if err != nil {
			return "", err
		}
		if !may {
			return l.blocked, nil
		}
		defer func() { l.limit.end(l.key, failed) }()
	}
	if known && d.remembered.has(user, c.Password, who.PasswordVersion) { // by one who was waited for
		return "", nil
	}
	ok, err := d.directory.VerifySignIn(ctx, who, c.Password)
	if err != nil {
		return "", err
	}
	switch {
	case !known:
		failed = true
		return "unknown user", nil
	case !ok:
		failed = true
		return "wrong password", nil
	case !who.MaySignIn(): // not remembered: a second try must not be quicker than one with a wrong password
		failed = true
		return "not enabled", nil
	}
	if !who.Elsewhere {
		d.remembered.add(user, c.Password, who.PasswordVersion)
	}
	return "", nil
}

// unknownKey is what failures with a name that nobody has are counted by: a sum, since the name may be of any length.
func unknownKey(name string) string {
	sum := sha256.Sum256([]byte(directory.Fold(name)))
	return string(sum[:])
}

// refuse records a refusal and returns what the caller is told. An err that is set is a failure to find out, not a refusal.
func (d *Door) refuse(ctx context.Context, who directory.SignIn, c Credentials, how Circumstances, reason string, err error) error {
	if err != nil {
		return err
	}
	r := audit.Of(principal.Principal{
		Kind: principal.User, ID: string(who.ID), Organization: string(who.Organization), Name: c.Username,
		Protocol: how.Protocol, Address: how.Address, RequestID: how.RequestID,
	}, string(who.Organization), signInOperation, string(who.ID))
	r.Outcome, r.Detail = fault.Unauthenticated.String(), reason
	if err := d.audit.Record(ctx, r); err != nil {
		// The refusal stands even where it can't be recorded.
		d.log.ErrorContext(ctx, "a refused sign-in was not recorded", "error", err, "protocol", how.Protocol, "address", how.Address)
	}
	return errRefused
}

// signInOperation is the operation of the door's audit records.
const signInOperation = "SignIn"

// addressKey is what failures are counted by: an IPv4 address, or the /64 that one IPv6 customer has.
func addressKey(a netip.Addr) string {
	a = a.Unmap()
	if a.Is6() {
		if p, err := a.Prefix(64); err == nil {
			return p.String()
		}
	}
	return a.String()
}

// Run ends sessions when their users' passwords, states or organisations change, until ctx ends. Each change is acted on
// within a second. It returns when every session that it watched has been told to end.
func (d *Door) Run(ctx context.Context) error {
	for {
		select {
		case <-ctx.Done():
			d.sessions.closeAll()
			return nil
		case <-d.sessions.wake:
		}
		for _, user := range d.sessions.takeChanged() {
			d.remembered.forget(user)
			for _, s := range d.sessions.of(user) {
				reason, err := d.stale(ctx, s)
				if err != nil {
					// Nothing says again that the user changed: who may stay will sign in anew.
					reason = "the user changed and can't be looked up"
					if ctx.Err() == nil {
						d.log.ErrorContext(ctx, "a session's user can't be looked up", "error", err, "user", s.Principal.ID)
					}
				}
				if reason != "" {
					d.log.InfoContext(ctx, "session ended", "reason", reason, "user", s.Principal.ID, "organization", s.Principal.Organization, "protocol", s.Principal.Protocol)
					s.Close()
				}
			}
		}
	}
}

// stale returns why a session may not go on, empty while it may.
func (d *Door) stale(ctx context.Context, s *Session) (string, error) {
	now, err := d.directory.SignInByID(ctx, s.SignIn.Organization, s.SignIn.ID)
	switch {
	case fault.KindOf(err) == fault.NotFound && err != nil:
		return "the user was deleted", nil
	case err != nil:
		return "", err
	case now.PasswordVersion != s.SignIn.PasswordVersion:
		return "the password was changed", nil
	case !now.MaySignIn():
		return "the user or the organization is not enabled", nil
	}
	return "", nil
}
