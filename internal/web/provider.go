package web

import (
	"context"
	"crypto/subtle"
	"crypto/tls"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"

	"github.com/pennypost/pennypost/internal/clock"
	"github.com/pennypost/pennypost/internal/dial"
	"github.com/pennypost/pennypost/internal/fault"
	"github.com/pennypost/pennypost/internal/identity"
)

// Provider is an OpenID Connect provider where this server is registered as a client.
type Provider struct {
	Issuer       string
	ClientID     string
	ClientSecret string
	// TLS, where it is not nil, says whom to believe.
	TLS *tls.Config
}

// The bounds of what a provider may cost: nobody waits longer, reads more or asks more at once, and its description is
// believed for a while.
const (
	providerTimeout = 10 * time.Second
	maxAnswer       = 1 << 20
	maxAsking       = 8
	believed        = time.Hour
)

// providerError says that a provider did not answer as it should. The text is the user's to read, the cause the log's.
type providerError struct {
	text  string
	cause error
}

func (e *providerError) Error() string { return e.text + ": " + e.cause.Error() }
func (e *providerError) Unwrap() error { return e.cause }

// provider is a Provider with what its discovery document says.
type provider struct {
	Provider
	client *http.Client
	clock  clock.Clock
	asking chan struct{} // one place for each request at once

	mu    sync.Mutex
	known *known
	until time.Time
}

// known is what discovery found.
type known struct {
	*oidc.Provider
	endpoint oauth2.Endpoint
}

func newProvider(p Provider, d *dial.Dialer, c clock.Clock) *provider {
	return &provider{
		Provider: p, clock: c, asking: make(chan struct{}, maxAsking),
		client: d.Client(dial.HTTPOptions{
			Timeout: providerTimeout, MaxBody: maxAnswer, TLS: p.TLS, AllowHTTP: strings.HasPrefix(p.Issuer, "http:"),
		}),
	}
}

// ask takes a place among those who ask the provider, so that one that hangs holds no more than a few requests.
func (p *provider) ask() (leave func(), err error) {
	select {
	case p.asking <- struct{}{}:
		return func() { <-p.asking }, nil
	default:
		return nil, fault.New(fault.Temporary, fault.None, "the identity provider is slow, and many wait for it; try again later")
	}
}

// discover returns what the provider says of itself.
func (p *provider) discover(ctx context.Context) (*known, error) {
	p.mu.Lock()
	k, until := p.known, p.until
	p.mu.Unlock()
	if k != nil && p.clock.Now().Before(until) {
		return k, nil
	}
	found, err := oidc.NewProvider(oidc.ClientContext(ctx, p.client), p.Issuer)
	if err != nil {
		return nil, p.unreachable(err)
	}
	k = &known{Provider: found, endpoint: found.Endpoint()}
	var more struct {
		AuthMethods []string `json:"token_endpoint_auth_methods_supported"`
	}
	if err := found.Claims(&more); err != nil {
		return nil, p.unreachable(err)
	}
	// Guessing the way would cost the code, which is good for one request.
	k.endpoint.AuthStyle = oauth2.AuthStyleInHeader
	if len(more.AuthMethods) > 0 && !slices.Contains(more.AuthMethods, "client_secret_basic") {
		k.endpoint.AuthStyle = oauth2.AuthStyleInParams
	}
	for _, address := range []string{k.endpoint.AuthURL, k.endpoint.TokenURL} {
		if u, err := url.Parse(address); err != nil || u.Host == "" || u.Scheme != "https" && !strings.HasPrefix(p.Issuer, u.Scheme+":") {
			return nil, p.unreachable(fmt.Errorf("the endpoint %.200q can't be used", address))
		}
	}
	p.mu.Lock()
	p.known, p.until = k, p.clock.Now().Add(believed)
	p.mu.Unlock()
	return k, nil
}

// unreachable words the failure of a request to the provider.
func (p *provider) unreachable(err error) error {
	text := "The organization's identity provider can't be reached, or does not answer as one. Try again later, or tell your administrator."
	if dial.IsRefused(err) {
		text = "This server may not connect to the organization's identity provider. Its operator can allow that with the setting allowed_networks."
	}
	return &providerError{text, fmt.Errorf("identity provider %s: %w", p.Issuer, err)}
}

func (k *known) config(p *provider, r *http.Request) *oauth2.Config {
	return &oauth2.Config{
		ClientID: p.ClientID, ClientSecret: p.ClientSecret, Endpoint: k.endpoint, RedirectURL: redirectURI(r),
		Scopes: []string{oidc.ScopeOpenID, "profile", "email"},
	}
}

// begin sends the browser to the provider.
func (h *Handler) begin(w http.ResponseWriter, r *http.Request) {
	alias := r.PathValue("alias")
	_, configuration, err := h.config.Center.ProviderOf(r.Context(), alias)
	if err != nil {
		h.fail(w, r, err)
		return
	}
	p, k, err := h.reach(r.Context(), configuration.Instance)
	if err != nil {
		h.fail(w, r, err)
		return
	}
	f := flow{
		Alias: alias, Instance: configuration.Instance, State: word(), Nonce: word(), Verifier: oauth2.GenerateVerifier(),
		Until: h.config.Clock.Now().Add(flowLife),
	}
	if err := h.keepFlow(w, r, f); err != nil {
		h.fail(w, r, err)
		return
	}
	http.Redirect(w, r, k.config(p, r).AuthCodeURL(f.State, oidc.Nonce(f.Nonce), oauth2.S256ChallengeOption(f.Verifier)), http.StatusSeeOther)
}

// reach returns the provider of an instance and what it says of itself.
func (h *Handler) reach(ctx context.Context, instance string) (*provider, *known, error) {
	p, ok := h.providers[instance]
	if !ok {
		return nil, nil, fault.New(fault.NotFound, fault.Resource, "the organization's identity provider is not configured on this server")
	}
	leave, err := p.ask()
	if err != nil {
		return nil, nil, err
	}
	defer leave()
	k, err := p.discover(ctx)
	return p, k, err
}

// callback takes what the provider says of the user to the door.
func (h *Handler) callback(w http.ResponseWriter, r *http.Request) {
	query := r.URL.Query()
	f, ok := h.takeFlow(w, r, query.Get("state"))
	if !ok {
		h.fail(w, r, fault.New(fault.Denied, fault.None, "this sign-in was not begun in this browser, or took too long; begin again"))
		return
	}
	who, err := h.redeem(r, f, query)
	if err != nil {
		h.fail(w, r, err)
		return
	}
	// The organisation may have changed meanwhile: the door looks again.
	org, _, err := h.config.Center.ProviderOf(r.Context(), f.Alias)
	if err != nil {
		h.fail(w, r, err)
		return
	}
	in, err := h.config.Door.AdmitIdentity(r.Context(), org, who, circumstances(r))
	if err != nil {
		h.fail(w, r, err)
		return
	}
	if before := h.sessions.find(r); before != nil {
		h.sessions.end(before)
	}
	h.setCookie(w, r, sessionCookie, h.sessions.begin(in).id, sessionLife)
	http.Redirect(w, r, tokensPath, http.StatusSeeOther)
}

// redeem trades the code for an ID token, verifies it and returns whom it names.
func (h *Handler) redeem(r *http.Request, f flow, query url.Values) (identity.Identity, error) {
	if refusal := query.Get("error"); refusal != "" {
		return identity.Identity{}, fault.New(fault.Denied, fault.None, "the identity provider did not sign you in: %.64q", refusal)
	}
	p, k, err := h.reach(r.Context(), f.Instance)
	if err != nil {
		return identity.Identity{}, err
	}
	if issuer := query.Get("iss"); issuer != "" && issuer != p.Issuer { // RFC 9207
		return identity.Identity{}, &providerError{"Another identity provider answered than the one that was asked.", fmt.Errorf("iss is %.200q", issuer)}
	}
	leave, err := p.ask()
	if err != nil {
		return identity.Identity{}, err
	}
	defer leave()
	ctx := oidc.ClientContext(r.Context(), p.client)
	answer, err := k.config(p, r).Exchange(ctx, query.Get("code"), oauth2.VerifierOption(f.Verifier))
	if err != nil {
		return identity.Identity{}, p.unreachable(err)
	}
	said, err := p.verify(ctx, k, answer, f.Nonce)
	if err != nil {
		return identity.Identity{}, &providerError{"The identity provider's answer can't be believed. Tell your administrator.", err}
	}
	return identity.IdentityOf(f.Instance, said)
}

// verify checks an ID token (OpenID Connect Core 1.0 section 3.1.3.7) and returns its claims.
func (p *provider) verify(ctx context.Context, k *known, answer *oauth2.Token, nonce string) (identity.Claims, error) {
	raw, ok := answer.Extra("id_token").(string)
	if !ok {
		return identity.Claims{}, errors.New("there is no id_token")
	}
	token, err := k.Verifier(&oidc.Config{ClientID: p.ClientID, Now: p.clock.Now}).Verify(ctx, raw)
	if err != nil {
		return identity.Claims{}, err
	}
	if subtle.ConstantTimeCompare([]byte(token.Nonce), []byte(nonce)) != 1 {
		return identity.Claims{}, errors.New("the nonce is not the one that was sent")
	}
	var c claims
	if err := token.Claims(&c); err != nil {
		return identity.Claims{}, err
	}
	if c.Name == "" && c.Email == "" { // in the code flow a provider may keep them for this request (section 5.4)
		info, err := k.UserInfo(ctx, oauth2.StaticTokenSource(answer))
		if err != nil {
			return identity.Claims{}, err
		}
		if info.Subject != token.Subject { // section 5.3.2
			return identity.Claims{}, errors.New("the user info is somebody else's")
		}
		if err := info.Claims(&c); err != nil {
			return identity.Claims{}, err
		}
	}
	return identity.Claims{
		Issuer: token.Issuer, Subject: token.Subject, PreferredUsername: c.Name, Email: c.Email,
		EmailVerified: c.Verified == true || c.Verified == "true",
	}, nil
}

// claims are those of section 5.1 that are looked at.
type claims struct {
	Name     string `json:"preferred_username"`
	Email    string `json:"email"`
	Verified any    `json:"email_verified"` // some providers give it as text
}
