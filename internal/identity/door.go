// Package identity is the one door: every sign-in of every protocol goes through Door.Authenticate, which verifies the
// secret, limits guessing, writes the audit record and returns a session that ends when the user's rights do. It also keeps
// the access keys of administrators. There is no second way in.
package identity

import (
	"context"
	"crypto/sha256"
	"log/slog"
	"net/netip"
	"strings"
	"sync"
	"time"

	"github.com/pennypost/pennypost/internal/audit"
	"github.com/pennypost/pennypost/internal/clock"
	"github.com/pennypost/pennypost/internal/directory"
	"github.com/pennypost/pennypost/internal/fault"
	"github.com/pennypost/pennypost/internal/feed"
	"github.com/pennypost/pennypost/internal/netblock"
	"github.com/pennypost/pennypost/internal/policy"
	"github.com/pennypost/pennypost/internal/principal"
)

// Credentials are what somebody presents at the door.
type Credentials struct {
	// Username is an address of the user; "<alias>\name" or "<alias>.<suffix>\name"; or a bare name while exactly one enabled
	// user of the server has it. Case does not matter.
	Username string
	// Password may be a personal access token of the user instead.
	Password string
}

// Circumstances are how somebody comes to the door.
type Circumstances struct {
	Protocol  string // one of policy.Actions: the words of WorkMail's access rules and audit logs; or ManageSieve
	Address   netip.Addr
	UserAgent string // empty where the protocol has none
	RequestID string
}

// ManageSieve is the protocol by which users manage their scripts. WorkMail has no word for it: records call it by its name, while access
// rules and tokens treat it as IMAP, beside which mail programs speak it.
const ManageSieve = "ManageSieve"

// wayIn is what access rules and tokens call the protocol.
func (c Circumstances) wayIn() string {
	if c.Protocol == ManageSieve {
		return "IMAP"
	}
	return c.Protocol
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
	policy    *policy.Service
	center    *Center
	audit     *audit.Log
	clock     clock.Clock
	log       *slog.Logger

	remembered *goodSecrets
	accounts   *guessLimit
	addresses  *guessLimit
	sessions   *sessions
	repeated   *repeatedTries
}

// NewDoor returns the door to the users of d under the access rules of p. A nil center knows no tokens and no identity providers;
// a nil log discards.
func NewDoor(
	d *directory.Service, p *policy.Service, center *Center, a *audit.Log, f *feed.Feed, c clock.Clock, log *slog.Logger, l Limits,
) *Door {
	l = l.withDefaults()
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	remembered := newGoodSecrets(l.Remembered)
	f.Watch("user", remembered.forget)
	return &Door{
		directory: d, policy: p, center: center, audit: a, clock: c, log: log,
		remembered: remembered,
		accounts:   newGuessLimit(l.AccountFailures, l.AccountRefill, c),
		addresses:  newGuessLimit(l.AddressFailures, l.AddressRefill, c),
		sessions:   newSessions(f),
		repeated:   newRepeatedTries(c),
	}
}

// errRefused is every refusal's answer, whatever the reason: the audit record alone tells them apart.
var errRefused = &fault.Error{Kind: fault.Unauthenticated, Message: "the user name or the password is wrong, or this user may not sign in"}

// Authenticate lets the holder of the credentials in, or refuses with an Unauthenticated fault that is the same for every
// reason. It answers Temporary when too many sign-ins wait. The caller must Close the session.
func (d *Door) Authenticate(ctx context.Context, c Credentials, how Circumstances) (*Session, error) {
	who, err := d.directory.SignInByName(ctx, c.Username)
	known := err == nil
	if err != nil && fault.KindOf(err) != fault.NotFound {
		return nil, err
	}
	p, err := d.center.prove(ctx, who, c.Password, how.wayIn())
	if err != nil {
		return nil, err
	}
	barred := ""
	if known {
		if barred, err = d.barred(ctx, who, how); err != nil {
			return nil, err
		}
	}
	// One who may not come in pays for the hash each time: a quick answer would tell that the password is right.
	if !known || barred != "" || !p.admits() && !d.remembers(who, p, c.Password) {
		if reason, err := d.verify(ctx, who, known, barred, p, c, how.Address); err != nil || reason != "" {
			return nil, d.refuse(ctx, who, c, how, p, reason, err)
		}
	}
	return d.enter(ctx, who, c, how, p, nil)
}

// enter opens the session of a user who has shown who he is, unless he may not come in all the same, and records it.
func (d *Door) enter(ctx context.Context, who directory.SignIn, c Credentials, how Circumstances, p proof, i *Identity) (*Session, error) {
	if reason, err := d.barred(ctx, who, how); err != nil || reason != "" {
		return nil, d.refuse(ctx, who, c, how, p, reason, err)
	}
	s := &Session{
		Principal: principal.Principal{
			Kind: principal.User, ID: string(who.ID), Organization: string(who.Organization), Name: who.Name,
			Protocol: how.Protocol, Address: how.Address, UserAgent: how.UserAgent, RequestID: how.RequestID,
		},
		SignIn: who, identity: i,
	}
	detail := ""
	if p.admits() {
		s.Token, s.expires, detail = p.token.ID, p.token.Expires, tokenIs(p.token.ID)
	}
	d.sessions.open(s)
	// What changed between the first look and the registration was announced before anybody listened: look once more.
	if reason, err := d.stale(ctx, s); err != nil || reason != "" {
		s.Close()
		return nil, d.refuse(ctx, who, c, how, p, reason, err)
	}
	r := audit.Of(s.Principal, s.Principal.Organization, signInOperation, s.Principal.ID)
	r.Detail = detail
	r.Told = d.told(ctx, r, c.Username, how, p, d.clock.Now(), 1)
	if err := d.audit.Record(ctx, r); err != nil {
		s.Close()
		return nil, err
	}
	if s.Token != "" {
		if err := d.center.used(ctx, p.token); err != nil {
			d.log.WarnContext(ctx, "the use of a token was not written down", "error", err, "token", s.Token)
		}
	}
	return s, nil
}

// barred returns why somebody may not come in whatever the password, empty for one who may: the state of the user, or the
// organisation's access rules.
func (d *Door) barred(ctx context.Context, who directory.SignIn, how Circumstances) (string, error) {
	if !who.MaySignIn() {
		return notEnabled, nil
	}
	v, err := d.policy.MayEnter(ctx, who.Organization, policy.Access{Action: how.wayIn(), Address: how.Address, User: who.ID})
	if err != nil || v.Allowed {
		return "", err
	}
	return because(accessRule, v.Rules), nil
}

// because is the reason of a refusal by rules of a kind, in the audit record.
func because(kind string, rules []string) string {
	if len(rules) == 0 {
		return "no " + kind + " allows it"
	}
	return "denied by " + kind + " " + strings.Join(rules, ", ")
}

const notEnabled = "not enabled"

// remembers reports whether the password is one that lets the user in and was verified before.
func (d *Door) remembers(who directory.SignIn, p proof, password string) bool {
	return !p.passwordsOff && d.remembered.has(userKey(who.Organization, who.ID), password, who.PasswordVersion)
}

// verify checks the password, and the limits on guessing it. It returns the reason of a refusal, or an error when it could
// not find out; barred is one that the caller knows, for one whose password is right. An unknown user costs what a known one
// costs, also once there were too many failures: else the quick answer would tell who is known.
func (d *Door) verify(
	ctx context.Context, who directory.SignIn, known bool, barred string, p proof, c Credentials, from netip.Addr,
) (string, error) {
	user, account, address := userKey(who.Organization, who.ID), unknownKey(c.Username), addressKey(from)
	if known {
		account = user
	}
	var failedAddress, failedAccount bool
	for _, l := range []struct {
		limit   *guessLimit
		key     string
		failed  *bool
		blocked string
	}{
		{d.addresses, address, &failedAddress, blockedAddress},
		{d.accounts, account, &failedAccount, blockedAccount},
	} {
		may, err := l.limit.begin(ctx, l.key)
		if err != nil {
			return "", err
		}
		if !may {
			return l.blocked, nil
		}
		defer func() { l.limit.end(l.key, *l.failed) }()
	}
	if known && barred == "" && d.remembers(who, p, c.Password) { // by one who was waited for
		return "", nil
	}
	ok, err := d.directory.VerifySignIn(ctx, who, c.Password)
	if err != nil {
		return "", err
	}
	right := known && (ok && !p.passwordsOff || p.admits())
	failedAddress = !right || barred != ""
	// A right password or token is no guess: a phone that a rule keeps out must not lock its user out of the other ways in.
	failedAccount = !right || barred == notEnabled
	switch {
	case !known:
		return "unknown user", nil
	case p.admits(): // so that it is barred
		return barred, nil
	case !ok && p.useless != "":
		return p.useless + ": " + p.token.ID, nil
	case !ok:
		return "wrong password", nil
	case p.passwordsOff: // which cost what a wrong one does, so as not to tell that it is right
		return noPasswords, nil
	case barred != "":
		return barred, nil
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
func (d *Door) refuse(ctx context.Context, who directory.SignIn, c Credentials, how Circumstances, p proof, reason string, err error) error {
	if err != nil {
		return err
	}
	r := audit.Of(principal.Principal{
		Kind: principal.User, ID: string(who.ID), Organization: string(who.Organization), Name: c.Username,
		Protocol: how.Protocol, Address: how.Address, RequestID: how.RequestID,
	}, string(who.Organization), signInOperation, string(who.ID))
	r.Outcome, r.Detail = fault.Unauthenticated.String(), reason
	account := unknownKey(c.Username)
	if who.ID != "" {
		account = userKey(who.Organization, who.ID)
	}
	if d.repeated.add(r, how, p, account) {
		return errRefused
	}
	r.Told = d.told(ctx, r, c.Username, how, p, d.clock.Now(), 1)
	if err := d.audit.Record(ctx, r); err != nil {
		// The refusal stands even where it can't be recorded.
		d.log.ErrorContext(ctx, "a refused sign-in was not recorded", "error", err, "protocol", how.Protocol, "address", how.Address)
	}
	return errRefused
}

// signInOperation is the operation of the door's audit records.
const signInOperation = "SignIn"

// addressKey is what failures are counted by.
func addressKey(a netip.Addr) string { return netblock.Of(a).String() }

// expiryTick is how late the session of a token that expires may end.
const expiryTick = 10 * time.Second

// Run ends sessions when their users' passwords, tokens, states, organisations or access rules change, until ctx ends. Each
// change is acted on within a second. It returns when every session that it watched has been told to end.
func (d *Door) Run(ctx context.Context) error {
	var ticks sync.WaitGroup
	ticks.Go(func() {
		for d.clock.Sleep(ctx, expiryTick) == nil {
			d.sessions.expire(d.clock.Now())
		}
	})
	defer ticks.Wait()
	for {
		select {
		case <-ctx.Done():
			d.sessions.closeAll()
			return nil
		case <-d.sessions.wake:
		}
		for user := range d.sessions.takeChanged() {
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
	case s.Token == "" && s.identity == nil && now.PasswordVersion != s.SignIn.PasswordVersion:
		return "the password was changed", nil
	}
	if reason, err := d.barred(ctx, now, Circumstances{Protocol: s.Principal.Protocol, Address: s.Principal.Address}); err != nil || reason != "" {
		return reason, err
	}
	return d.center.stale(ctx, s, now)
}
