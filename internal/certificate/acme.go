package certificate

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"time"

	"github.com/mholt/acmez/v3"
	"github.com/mholt/acmez/v3/acme"

	"github.com/pennypost/pennypost/internal/clock"
	"github.com/pennypost/pennypost/internal/db"
	"github.com/pennypost/pennypost/internal/secret"
)

// The ways to show a CA that a name is ours (RFC 8555 section 8, RFC 8737).
const (
	HTTP01    = acme.ChallengeTypeHTTP01
	TLSALPN01 = acme.ChallengeTypeTLSALPN01
	DNS01     = acme.ChallengeTypeDNS01
)

// ACMEOptions are what a CA is reached by. All but Email, KeyID and MACKey, Roots and TXT are required.
type ACMEOptions struct {
	DB       *db.DB
	Root     *secret.Key
	Clock    clock.Clock
	Resolver *net.Resolver
	URL      string // of the CA's directory
	Email    string // where the CA writes to
	// KeyID and MACKey, in base64url, bind the account to one that the CA knows already.
	KeyID, MACKey string
	// Roots vouch for the directory's host; nil for the system's.
	Roots *x509.CertPool
	// Challenge is one of the ways above.
	Challenge string
	// TXT writes records, for DNS01.
	TXT TXT
	// Agent names the program to the CA.
	Agent string
}

// ACME is a CA that is spoken to by ACME, and what it is answered where it looks whether a name is ours.
type ACME struct {
	ACMEOptions
	answers
	store store
	http  *http.Client
	known *account       // what the CA knows us as; nil until it was asked
	wait  *time.Duration // how long the CA's last refusal asks to wait
}

const (
	// maxAnswer bounds an answer of the CA.
	maxAnswer = 1 << 20
	// callTime bounds a call of the CA.
	callTime = 30 * time.Second
	// idle is how long a connection to the CA is kept.
	idle = 10 * time.Second
)

// NewACME returns a CA. Nothing is sent to it before a certificate is asked for.
func NewACME(o ACMEOptions) *ACME {
	dialer := &net.Dialer{Resolver: o.Resolver, Timeout: callTime}
	wait := new(time.Duration)
	return &ACME{ACMEOptions: o, store: store{o.DB, o.Root}, wait: wait, http: &http.Client{Timeout: callTime, Transport: bounded{&http.Transport{
		Proxy: http.ProxyFromEnvironment, DialContext: dialer.DialContext, ForceAttemptHTTP2: true, IdleConnTimeout: idle,
		TLSClientConfig: &tls.Config{RootCAs: o.Roots, MinVersion: tls.VersionTLS12},
	}, o.Clock, wait}}}
}

// client is a new one each time: it never reads the directory again.
func (a *ACME) client() *acmez.Client {
	return &acmez.Client{
		Client:           &acme.Client{Directory: a.URL, UserAgent: a.Agent, PollTimeout: 2 * time.Minute, HTTPClient: a.http},
		ChallengeSolvers: map[string]acmez.Solver{a.Challenge: a.solver(a.ACMEOptions)},
	}
}

// bounded cuts answers off that are too long, and remembers how long a refusal asks to wait.
type bounded struct {
	http.RoundTripper
	clock clock.Clock
	wait  *time.Duration
}

func (b bounded) RoundTrip(r *http.Request) (*http.Response, error) {
	answer, err := b.RoundTripper.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	answer.Body = http.MaxBytesReader(nil, answer.Body, maxAnswer)
	if answer.StatusCode >= http.StatusBadRequest {
		after := answer.Header.Get("Retry-After")
		if seconds, err := strconv.ParseUint(after, 10, 31); err == nil {
			*b.wait = time.Duration(seconds) * time.Second
		} else if at, err := http.ParseTime(after); err == nil {
			*b.wait = at.Sub(b.clock.Now())
		}
	}
	return answer, nil
}

// Directory is the URL of the CA's directory.
func (a *ACME) Directory() string { return a.URL }

// Tidy removes the records of orders that were cut off.
func (a *ACME) Tidy(ctx context.Context) error {
	if a.TXT == nil {
		return nil
	}
	return byTXT{a.TXT, a.store, a.Clock}.tidy(ctx)
}

// Obtain orders a certificate, by an account that is made where there is none.
func (a *ACME) Obtain(ctx context.Context, o Order) ([]byte, error) {
	*a.wait = 0
	chain, err := a.obtain(ctx, o)
	var problem acme.Problem
	if errors.As(err, &problem) && problem.Type == acme.ProblemTypeRateLimited {
		err = limited{err, *a.wait}
	}
	if errors.As(err, &problem) && problem.Type == acme.ProblemTypeAccountDoesNotExist && a.known != nil {
		// It knew the account before. The same key gets another.
		a.known.url = ""
		if err := a.store.keepAccount(ctx, a.URL, a.known, a.Clock.Now()); err != nil {
			return nil, err
		}
		a.known, o.Replaces = nil, nil // what another account ordered can't be replaced
		return a.obtain(ctx, o)
	}
	return chain, err
}

func (a *ACME) obtain(ctx context.Context, o Order) ([]byte, error) {
	client := a.client()
	known, err := a.signIn(ctx, client.Client)
	if err != nil {
		return nil, err
	}
	csr, err := acmez.NewCSR(o.Key, []string{o.Name})
	if err != nil {
		return nil, err
	}
	p, err := acmez.OrderParametersFromCSR(acme.Account{Status: acme.StatusValid, Location: known.url, PrivateKey: known.key}, csr)
	if err != nil {
		return nil, err
	}
	p.Replaces = o.Replaces
	chains, err := client.ObtainCertificate(ctx, p)
	var problem acme.Problem
	if o.Replaces != nil && errors.As(err, &problem) && problem.Type == acme.ProblemTypeMalformed {
		// The CA does not know what is to be replaced, as one that lost its memory: that must not end in no certificate.
		p.Replaces = nil
		chains, err = client.ObtainCertificate(ctx, p)
	}
	if err != nil {
		return nil, err
	}
	if len(chains) == 0 {
		return nil, errors.New("the CA issued no certificate")
	}
	return chains[0].ChainPEM, nil
}

// signIn returns the account with the CA. Its key is on disk before the CA knows it: an account that was made and forgotten is found
// again by its key.
func (a *ACME) signIn(ctx context.Context, client *acme.Client) (*account, error) {
	if a.known != nil {
		return a.known, nil
	}
	known, err := a.store.account(ctx, a.URL)
	if err != nil {
		return nil, err
	}
	if known == nil {
		known = &account{}
		if known.key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader); err != nil {
			return nil, err
		}
		if err := a.store.keepAccount(ctx, a.URL, known, a.Clock.Now()); err != nil {
			return nil, err
		}
	}
	if known.url == "" || known.email != a.Email {
		made := acme.Account{Location: known.url, PrivateKey: known.key, TermsOfServiceAgreed: true}
		if a.Email != "" {
			made.Contact = []string{"mailto:" + a.Email}
		}
		var problem acme.Problem
		if known.url != "" {
			made, err = client.UpdateAccount(ctx, made)
			if errors.As(err, &problem) && problem.Type == acme.ProblemTypeAccountDoesNotExist {
				known.url, made.Location, err = "", "", nil // it knew it before
			}
		}
		if known.url == "" {
			if a.KeyID != "" {
				err = made.SetExternalAccountBinding(ctx, client, acme.EAB{KeyID: a.KeyID, MACKey: a.MACKey})
			}
			if err == nil {
				made, err = client.NewAccount(ctx, made)
			}
		}
		if err != nil {
			return nil, fmt.Errorf("the account with the CA: %w", err)
		}
		if known.email = a.Email; made.Location != "" { // an update does not repeat it
			known.url = made.Location
		}
		if err := a.store.keepAccount(ctx, a.URL, known, a.Clock.Now()); err != nil {
			return nil, err
		}
	}
	a.known = known
	return known, nil
}

// Renewal asks the CA when to replace a certificate (RFC 9773).
func (a *ACME) Renewal(ctx context.Context, leaf *x509.Certificate) (replace, again time.Time, err error) {
	ctx, cancel := context.WithTimeout(ctx, callTime)
	defer cancel()
	info, err := a.client().GetRenewalInfo(ctx, leaf)
	if err != nil {
		return time.Time{}, time.Time{}, err
	}
	if info.RetryAfter != nil {
		again = *info.RetryAfter
	}
	return info.SelectedTime, again, nil
}
