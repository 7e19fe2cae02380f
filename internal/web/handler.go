// Package web is the sign-in page: a user signs in by the organisation's identity provider (OpenID Connect, authorization code with
// PKCE), sees the own personal access tokens, makes and deletes them, and signs out. Beside it is the page of a set-password link.
// They need no JavaScript. What a user may do is the core's to say; the page holds the browser's cookies and the provider's answers.
// Programs fetch here what a mail domain serves: its policy of MTA-STS and the settings of mail programs.
package web

import (
	"context"
	"crypto/subtle"
	"embed"
	"errors"
	"log/slog"
	"net/http"
	"net/netip"
	"strings"

	"github.com/pennypost/pennypost/internal/clock"
	"github.com/pennypost/pennypost/internal/dial"
	"github.com/pennypost/pennypost/internal/directory"
	"github.com/pennypost/pennypost/internal/fault"
	"github.com/pennypost/pennypost/internal/id"
	"github.com/pennypost/pennypost/internal/identity"
	"github.com/pennypost/pennypost/internal/lazy"
	"github.com/pennypost/pennypost/internal/secret"
	"github.com/pennypost/pennypost/internal/transport/domain"
)

// Config is what the page is made of. All are required but Providers and Log.
type Config struct {
	Door      *identity.Door
	Center    *identity.Center
	Directory *directory.Service
	Domains   *domain.Service
	// Providers are the identity providers by the ARNs of the instances that they stand for.
	Providers map[string]Provider
	// Dialer makes every connection to a provider.
	Dialer *dial.Dialer
	// Root seals what the browser keeps while its user is at the provider.
	Root  *secret.Key
	Clock clock.Clock
	Log   *slog.Logger // nil discards
}

// The page's addresses. Path and what is below it is the page's; redirects of providers end at callbackPath.
const (
	Path         = "/sign-in"
	callbackPath = Path + "/callback"
	tokensPath   = Path + "/tokens"
	// PasswordPath is the page of set-password links, whose secrets are its parameter LinkParameter.
	PasswordPath  = "/set-password"
	LinkParameter = "link"
)

// maxForm is how many bytes a form may have.
const maxForm = 64 << 10

//go:embed style.css
var files embed.FS

// Handler serves the page.
type Handler struct {
	config    Config
	log       *slog.Logger
	mux       lazy.Value[*http.ServeMux] // few servers have anybody who comes to the pages
	style     []byte
	providers map[string]*provider
	sessions  *sessions
}

// New returns the page.
func New(c Config) *Handler {
	h := &Handler{
		config: c, log: c.Log,
		providers: map[string]*provider{}, sessions: newSessions(c.Clock),
	}
	if h.log == nil {
		h.log = slog.New(slog.DiscardHandler)
	}
	var err error
	if h.style, err = files.ReadFile("style.css"); err != nil {
		panic("web: " + err.Error()) // it is embedded
	}
	for instance, p := range c.Providers {
		h.providers[instance] = newProvider(p, c.Dialer, c.Clock)
	}
	h.mux.Make = h.routes
	return h
}

func (h *Handler) routes() *http.ServeMux {
	mux := http.NewServeMux()
	for pattern, serve := range map[string]http.HandlerFunc{
		"GET " + Path:                         h.choose,
		"GET " + Path + "/to/{alias}":         h.start,
		"GET " + Path + "/to/{alias}/begin":   h.begin,
		"GET " + callbackPath:                 h.callback,
		"GET " + tokensPath:                   h.signedIn(h.tokens),
		"POST " + tokensPath:                  h.signedIn(h.form(h.create)),
		"POST " + tokensPath + "/{id}/delete": h.signedIn(h.form(h.delete)),
		"POST " + Path + "/out":               h.signedIn(h.form(h.signOut)),
		"GET " + Path + "/style.css":          h.styleSheet,
		"GET " + PasswordPath:                 h.askPassword,
		"POST " + PasswordPath:                h.setPassword,
	} {
		mux.HandleFunc(pattern, serve)
	}
	return mux
}

// Serves reports whether a request is the page's to answer.
func Serves(r *http.Request) bool {
	return r.URL.Path == Path || r.URL.Path == PasswordPath || strings.HasPrefix(r.URL.Path, Path+"/") || ServesFile(r)
}

// ServeHTTP answers one request. The request's RemoteAddr is taken for the client's address.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if ServesFile(r) {
		h.file(w, r)
		return
	}
	header := w.Header()
	header.Set("Content-Security-Policy", "default-src 'none'; style-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'")
	header.Set("X-Content-Type-Options", "nosniff")
	header.Set("Referrer-Policy", "no-referrer")
	header.Set("Cache-Control", "no-store")
	if r.TLS != nil {
		header.Set("Strict-Transport-Security", "max-age=31536000")
	}
	r.Body = http.MaxBytesReader(w, r.Body, maxForm)
	h.mux.Get().ServeHTTP(w, r)
}

func (h *Handler) styleSheet(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/css; charset=utf-8")
	w.Header().Set("Cache-Control", "max-age=3600")
	_, _ = w.Write(h.style) // a client that is gone is no fault
}

func (h *Handler) show(w http.ResponseWriter, r *http.Request, status int, v view) {
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(status)
	_, _ = w.Write([]byte(v.page())) // a client that is gone is no fault
}

// fail shows a page that says what went wrong with signing in.
func (h *Handler) fail(w http.ResponseWriter, r *http.Request, err error) {
	h.failAs(w, r, err, view{block: failBlock, Title: "Sign-in failed"})
}

// failAs shows v with the text of what went wrong.
func (h *Handler) failAs(w http.ResponseWriter, r *http.Request, err error, v view) {
	var broken *providerError
	status, text := http.StatusInternalServerError, "The server failed. Its log says more."
	switch f := fault.As(err); {
	case errors.As(err, &broken):
		status, text = http.StatusBadGateway, broken.text
		h.log.WarnContext(r.Context(), "an identity provider's answer is of no use", "problem", broken.text, "error", broken.cause)
	case f != nil:
		status, text = statusOf(f.Kind), f.Message
	case errors.Is(err, context.Canceled) && r.Context().Err() != nil:
		return // nobody is there to read it
	default:
		// The path alone: what stands behind it may be a secret.
		h.log.ErrorContext(r.Context(), "the sign-in page failed", "path", r.URL.Path, "error", err)
	}
	v.Text = text
	h.show(w, r, status, v)
}

// statusOf is the status of a page that tells a fault.
func statusOf(k fault.Kind) int {
	switch k {
	case fault.NotFound:
		return http.StatusNotFound
	case fault.Unauthenticated, fault.Denied, fault.State, fault.Exists, fault.InUse, fault.AlreadyRegistered, fault.Reserved, fault.Unsupported:
		return http.StatusForbidden
	case fault.Temporary, fault.DirectoryDown, fault.DirectoryRefusedUs:
		return http.StatusServiceUnavailable
	case fault.Internal:
		return http.StatusInternalServerError
	case fault.Invalid, fault.Limit, fault.OverQuota, fault.TooLarge, fault.BadPassword, fault.BadConfiguration, fault.Conflict:
		return http.StatusBadRequest
	}
	return http.StatusInternalServerError
}

// choose asks for the organisation. A host that is named after one has answered.
func (h *Handler) choose(w http.ResponseWriter, r *http.Request) {
	alias := strings.TrimSpace(r.URL.Query().Get("organization"))
	if named := h.config.Directory.AliasOf(alias); named != "" {
		alias = named
	}
	if alias == "" {
		alias = h.config.Directory.AliasOf(hostname(r))
	}
	if alias == "" {
		h.show(w, r, http.StatusOK, view{block: chooseBlock, Title: "Sign in"})
		return
	}
	if _, _, err := h.config.Center.ProviderOf(r.Context(), alias); err != nil {
		h.fail(w, r, err)
		return
	}
	http.Redirect(w, r, Path+"/to/"+alias, http.StatusSeeOther) // an alias that exists needs no escaping
}

// start leads to the provider by a link, which a policy on where forms may lead does not stop.
func (h *Handler) start(w http.ResponseWriter, r *http.Request) {
	alias := r.PathValue("alias")
	if _, _, err := h.config.Center.ProviderOf(r.Context(), alias); err != nil {
		h.fail(w, r, err)
		return
	}
	h.show(w, r, http.StatusOK, view{block: startBlock, Title: "Sign in to " + alias, Alias: alias})
}

// signedIn lets a request through that has a session, and leads others to the beginning.
func (h *Handler) signedIn(next func(http.ResponseWriter, *http.Request, *session)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if s := h.sessions.find(r); s != nil {
			next(w, r, s)
			return
		}
		h.dropCookie(w, r, sessionCookie)
		http.Redirect(w, r, Path, http.StatusSeeOther)
	}
}

// form lets a form through that carries the session's own word.
func (h *Handler) form(next func(http.ResponseWriter, *http.Request, *session)) func(http.ResponseWriter, *http.Request, *session) {
	return func(w http.ResponseWriter, r *http.Request, s *session) {
		if err := r.ParseForm(); err != nil {
			h.fail(w, r, fault.New(fault.Invalid, fault.None, "the form can't be read"))
			return
		}
		if subtle.ConstantTimeCompare([]byte(r.PostForm.Get("csrf")), []byte(s.csrf)) != 1 {
			h.fail(w, r, fault.New(fault.Denied, fault.None, "the form did not come from this page: go back, load it again, and try once more"))
			return
		}
		next(w, r, s)
	}
}

func (h *Handler) tokens(w http.ResponseWriter, r *http.Request, s *session) {
	h.list(w, r, s, http.StatusOK, view{})
}

// list shows the user's tokens, with what v adds.
func (h *Handler) list(w http.ResponseWriter, r *http.Request, s *session, status int, v view) {
	tokens, err := h.config.Center.OwnTokens(r.Context(), s.Principal)
	if f := fault.As(err); f != nil && v.Problem == "" {
		v.Problem = f.Message
	} else if err != nil && f == nil {
		h.fail(w, r, err)
		return
	}
	v.block, v.Title, v.Tokens, v.Scopes = tokensBlock, "Personal access tokens", tokens, identity.TokenScopes()
	v.User, v.CSRF = s.Principal.Name, s.csrf
	h.show(w, r, status, v)
}

func (h *Handler) create(w http.ResponseWriter, r *http.Request, s *session) {
	t, text, err := h.config.Center.CreateToken(r.Context(), s.Principal, r.PostForm.Get("name"), r.PostForm["scope"])
	h.done(w, r, s, err, view{Made: t, Secret: text})
}

func (h *Handler) delete(w http.ResponseWriter, r *http.Request, s *session) {
	id := r.PathValue("id")
	if len(id) > 64 || strings.ContainsFunc(id, func(c rune) bool { return c <= ' ' || c > '~' }) {
		h.fail(w, r, fault.New(fault.NotFound, fault.Resource, "there is no such token"))
		return
	}
	if err := h.config.Center.DeleteOwnToken(r.Context(), s.Principal, id); err != nil {
		h.done(w, r, s, err, view{})
		return
	}
	http.Redirect(w, r, tokensPath, http.StatusSeeOther)
}

// done shows the list with what came of a form.
func (h *Handler) done(w http.ResponseWriter, r *http.Request, s *session, err error, v view) {
	f := fault.As(err)
	switch {
	case err == nil:
		h.list(w, r, s, http.StatusOK, v)
	case f != nil:
		h.list(w, r, s, statusOf(f.Kind), view{Problem: f.Message})
	default:
		h.fail(w, r, err)
	}
}

func (h *Handler) signOut(w http.ResponseWriter, r *http.Request, s *session) {
	h.sessions.end(s)
	h.dropCookie(w, r, sessionCookie)
	http.Redirect(w, r, Path, http.StatusSeeOther)
}

// circumstances are how the request's user comes to the door.
func circumstances(r *http.Request) identity.Circumstances {
	how := identity.Circumstances{Protocol: "WebMail", UserAgent: r.UserAgent(), RequestID: id.UUID()}
	if at, err := netip.ParseAddrPort(r.RemoteAddr); err == nil {
		how.Address = at.Addr().Unmap()
	}
	return how
}
