package web_test

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"io"
	"maps"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pennypost/pennypost/internal/audit"
	"github.com/pennypost/pennypost/internal/clock"
	"github.com/pennypost/pennypost/internal/db"
	"github.com/pennypost/pennypost/internal/db/dbtest"
	"github.com/pennypost/pennypost/internal/dial"
	"github.com/pennypost/pennypost/internal/directory"
	"github.com/pennypost/pennypost/internal/feed"
	"github.com/pennypost/pennypost/internal/identity"
	"github.com/pennypost/pennypost/internal/job"
	"github.com/pennypost/pennypost/internal/policy"
	"github.com/pennypost/pennypost/internal/principal"
	"github.com/pennypost/pennypost/internal/secret"
	"github.com/pennypost/pennypost/internal/transport/domain"
	"github.com/pennypost/pennypost/internal/transport/route"
	"github.com/pennypost/pennypost/internal/web"
)

const (
	instance = "arn:aws:sso:::instance/ssoins-0123456789abcdef"
	subject  = "01234567-89ab-cdef-0123-456789abcdef"
)

var (
	admin   = principal.Principal{Kind: principal.Administrator, ID: "AKIATEST"}
	newYear = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	here    = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}
)

// house is the page over TLS, on a core with an organisation acme, its users ann and bob, and a provider.
type house struct {
	*httptest.Server
	t         *testing.T
	clock     *clock.Fake
	audit     *audit.Log
	directory *directory.Service
	center    *identity.Center
	door      *identity.Door
	provider  *provider
	policy    *policy.Service
	acme      *directory.Organization
}

func onBoth(t *testing.T, allowed []netip.Prefix, fn func(h *house)) {
	t.Helper()
	migrations := slices.Concat(directory.Migrations(), policy.Migrations(), audit.Migrations(), job.Migrations(), identity.Migrations())
	dbtest.Run(t, migrations, func(t *testing.T, d *db.DB) { fn(newHouse(t, d, allowed)) })
}

func newHouse(t *testing.T, d *db.DB, allowed []netip.Prefix) *house {
	h := &house{t: t, clock: clock.NewFake(newYear)}
	notices, root := feed.New(), secret.Ephemeral()
	h.audit = audit.New(d, h.clock, audit.Config{})
	h.directory = directory.New(directory.Config{HashCost: directory.TestHashCost, DB: d, Audit: h.audit, Clock: h.clock, Feed: notices})
	h.policy = policy.New(h.directory, h.clock)
	h.center = identity.NewCenter(identity.CenterConfig{
		DB: d, Directory: h.directory, Audit: h.audit, Feed: notices, Clock: h.clock, Root: root, Account: "000000000000",
		Mapped: func(string) bool { return true },
	})
	h.door = identity.NewDoor(h.directory, h.policy, h.center, h.audit, notices, h.clock, nil, identity.Limits{})
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- h.door.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	h.provider = newProvider(t, h.clock.Now)
	h.provider.claims = map[string]any{"sub": subject, "preferred_username": "Ann"}
	roots := x509.NewCertPool()
	roots.AddCert(h.provider.Certificate())
	h.Server = httptest.NewTLSServer(web.New(web.Config{
		Door: h.door, Center: h.center, Directory: h.directory,
		Domains: domain.New(domain.Config{
			DB: d, Directory: h.directory, Clock: h.clock, Host: "mail.host.example", Ports: domain.Ports{IMAPS: 993, Submissions: 465},
			STS: domain.STS{Mode: route.STSEnforce, MaxAge: 24 * time.Hour},
		}),
		Dialer: dial.New(nil, allowed), Root: root, Clock: h.clock,
		Providers: map[string]web.Provider{
			instance: {Issuer: h.provider.URL, ClientID: clientID, ClientSecret: clientSecret, TLS: &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}},
		},
	}))
	t.Cleanup(h.Close)

	err := d.Write(t.Context(), func(ctx context.Context, tx *db.Tx) (err error) {
		h.acme, err = h.directory.InsertOrganizationTx(ctx, tx, directory.NewOrganization{Alias: "acme", Account: "000000000000", Region: "us-east-1"})
		if err != nil {
			return err
		}
		if err := h.directory.AddTestDomainTx(ctx, tx, h.acme); err != nil {
			return err
		}
		if err := h.policy.BeginTx(ctx, tx, h.acme); err != nil {
			return err
		}
		_, err = h.directory.SetStateTx(ctx, tx, h.acme, directory.OrgRequested, directory.OrgActive, "")
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	for i, name := range []string{"ann", "bob"} {
		id, err := h.directory.CreateUser(t.Context(), admin, h.acme.ID, directory.NewUser{Name: name, DisplayName: name})
		if err != nil {
			t.Fatal(err)
		}
		err = d.Write(t.Context(), func(ctx context.Context, tx *db.Tx) error {
			e, err := h.directory.FindForTx(ctx, tx, h.acme, string(id), directory.Narrow{})
			if err != nil {
				return err
			}
			a, err := directory.ParseAddress(name + "@acme.awsapps.com")
			if err != nil {
				return err
			}
			return h.directory.EnableTx(ctx, tx, h.acme, e, a, int64(i+1), true)
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	h.put(func(*identity.Provider) {})
	return h
}

// put changes how the organisation signs in.
func (h *house) put(change func(*identity.Provider)) {
	h.t.Helper()
	v, err := h.center.Provider(h.t.Context(), admin, h.acme.ID)
	if err != nil {
		application, err := h.center.CreateApplication(h.t.Context(), admin, "mail", instance, "")
		if err != nil {
			h.t.Fatal(err)
		}
		v = identity.Provider{Instance: instance, Application: application, TokensActive: true}
	}
	change(&v)
	if err := h.center.PutProvider(h.t.Context(), admin, h.acme.ID, v); err != nil {
		h.t.Fatal(err)
	}
}

// browser follows links and forms, and keeps cookies.
type browser struct {
	*http.Client
	h    *house
	jar  *cookiejar.Jar
	page string
}

func (h *house) browser() *browser {
	h.t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		h.t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AddCert(h.Certificate())
	roots.AddCert(h.provider.Certificate())
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}}
	h.t.Cleanup(transport.CloseIdleConnections)
	return &browser{Client: &http.Client{Jar: jar, Transport: transport}, h: h, jar: jar}
}

func (b *browser) do(r *http.Request, err error) *http.Response {
	b.h.t.Helper()
	if err != nil {
		b.h.t.Fatal(err)
	}
	response, err := b.Do(r)
	if err != nil {
		b.h.t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		b.h.t.Fatal(err)
	}
	b.page = string(body)
	return response
}

func (b *browser) get(path string) *http.Response {
	b.h.t.Helper()
	return b.do(http.NewRequestWithContext(b.h.t.Context(), http.MethodGet, b.h.URL+path, nil))
}

func (b *browser) post(path string, form url.Values) *http.Response {
	b.h.t.Helper()
	r, err := http.NewRequestWithContext(b.h.t.Context(), http.MethodPost, b.h.URL+path, strings.NewReader(form.Encode()))
	if err == nil {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	return b.do(r, err)
}

// says fails unless the page has the status and the words.
func (b *browser) says(r *http.Response, status int, words string) {
	b.h.t.Helper()
	if r.StatusCode != status || !strings.Contains(b.page, words) {
		b.h.t.Errorf("%s: %d %s\nwant %d and %q", r.Request.URL, r.StatusCode, b.page, status, words)
	}
}

func (b *browser) csrf() string {
	b.h.t.Helper()
	m := regexp.MustCompile(`name="csrf" value="([^"]+)"`).FindStringSubmatch(b.page)
	if m == nil {
		b.h.t.Fatalf("there is no form on %s", b.page)
	}
	return m[1]
}

// signIn goes all the way, and fails unless it ends among the tokens.
func (b *browser) signIn() {
	b.h.t.Helper()
	b.says(b.get("/sign-in/to/acme/begin"), http.StatusOK, "Signed in as <strong>ann</strong>")
}

var madeToken = regexp.MustCompile(`ppat_[A-Za-z0-9_-]{56}`)

func TestAUserKeepsTokens(t *testing.T) {
	onBoth(t, here, func(h *house) {
		b := h.browser()
		b.says(b.get("/sign-in"), http.StatusOK, `name="organization"`)
		b.says(b.get("/sign-in?organization=%20ACME"), http.StatusOK, "/sign-in/to/ACME/begin")
		b.says(b.get("/sign-in?organization=acme.awsapps.com"), http.StatusOK, "/sign-in/to/acme/begin")
		for _, nobody := range []string{"other", "a%00b", "../x", "%ff"} {
			b.says(b.get("/sign-in?organization="+nobody), http.StatusNotFound, "no organization signs in here")
		}
		b.says(b.get("/sign-in/to/nobody/begin"), http.StatusNotFound, "no organization signs in here")
		b.says(b.get("/sign-in/tokens"), http.StatusOK, `name="organization"`) // without a session one begins
		b.signIn()
		u, err := h.directory.DescribeUser(t.Context(), admin, h.acme.ID, "ann")
		if err != nil || u.IdentityProviderUserID != subject || u.IdentityProviderStoreID == "" {
			t.Errorf("the user is %+v, %v", u, err)
		}

		form := func(name string) url.Values {
			return url.Values{"csrf": {b.csrf()}, "name": {name}, "scope": {"IMAP", "SMTP"}}
		}
		b.says(b.post("/sign-in/tokens", form(`<b>"phone"`)), http.StatusBadRequest, "name has 1 to 64")
		b.says(b.post("/sign-in/tokens", form(`my & "phone"`)), http.StatusOK, `<strong>my &amp; &#34;phone&#34;</strong>`)
		text := madeToken.FindString(b.page)
		if in, err := h.door.Authenticate(t.Context(), identity.Credentials{Username: "ann@acme.awsapps.com", Password: text}, identity.Circumstances{Protocol: "SMTP"}); err != nil {
			t.Errorf("the token %q: %v", text, err)
		} else {
			in.Close()
		}
		b.get("/sign-in/tokens")
		if strings.Contains(b.page, text) {
			t.Error("the token is shown twice")
		}
		id := text[len("ppat_"):][:13]
		b.says(b.post("/sign-in/tokens/"+id+"/delete", url.Values{"csrf": {b.csrf()}}), http.StatusOK, "You have no personal access tokens")
		b.says(b.post("/sign-in/tokens/%00/delete", url.Values{"csrf": {b.csrf()}}), http.StatusNotFound, "no such token")

		// INACTIVE is said, and blocks.
		h.put(func(v *identity.Provider) { v.TokensActive = false })
		b.says(b.get("/sign-in/tokens"), http.StatusOK, "not active")
		b.says(b.post("/sign-in/tokens", form("x")), http.StatusBadRequest, "not active")
		h.put(func(v *identity.Provider) { v.TokensActive = true })

		// Signing out ends the session for whoever has its cookie.
		thief := h.browser()
		at, err := url.Parse(h.URL)
		if err != nil {
			t.Fatal(err)
		}
		thief.jar.SetCookies(at, b.jar.Cookies(at))
		thief.says(thief.get("/sign-in/tokens"), http.StatusOK, "Signed in as")
		b.says(b.post("/sign-in/out", url.Values{"csrf": {thief.csrf()}}), http.StatusOK, `name="organization"`)
		thief.says(thief.get("/sign-in/tokens"), http.StatusOK, `name="organization"`)
	})
}

func TestTheCookiesAndHeadersProtect(t *testing.T) {
	onBoth(t, here, func(h *house) {
		b := h.browser()
		b.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
		begun := b.get("/sign-in/to/acme/begin")
		for _, c := range begun.Cookies() {
			if c.Name != "__Host-pennypost-flow" || !c.Secure || !c.HttpOnly || c.SameSite != http.SameSiteLaxMode || c.Path != "/" || c.Domain != "" {
				t.Errorf("the flow's cookie is %+v", c)
			}
		}
		to, err := url.Parse(begun.Header.Get("Location"))
		if err != nil || begun.StatusCode != http.StatusSeeOther || len(begun.Cookies()) != 1 || !strings.HasPrefix(to.String(), h.provider.URL+"/authorize?") {
			t.Fatalf("begun with %v, %v", begun.Header, err)
		}
		for name, want := range map[string]string{
			"Content-Security-Policy": "default-src 'none'; style-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'",
			"X-Content-Type-Options":  "nosniff", "Cache-Control": "no-store", "Referrer-Policy": "no-referrer",
		} {
			if got := begun.Header.Get(name); got != want {
				t.Errorf("%s is %q", name, got)
			}
		}

		b.CheckRedirect = nil
		b.signIn()
		at, err := url.Parse(h.URL)
		if err != nil {
			t.Fatal(err)
		}
		if cookies := b.jar.Cookies(at); len(cookies) != 1 || cookies[0].Name != "__Host-pennypost-session" {
			t.Errorf("the browser keeps %v", cookies)
		}
		for _, wrong := range []url.Values{{"name": {"x"}, "scope": {"IMAP"}}, {"csrf": {"x"}, "name": {"x"}, "scope": {"IMAP"}}} {
			b.says(b.post("/sign-in/tokens", wrong), http.StatusForbidden, "did not come from this page")
		}
		b.says(b.post("/sign-in/tokens", url.Values{"name": {strings.Repeat("x", 100_000)}}), http.StatusBadRequest, "can&#39;t be read")
		if r := b.get("/sign-in/style.css"); r.Header.Get("Content-Type") != "text/css; charset=utf-8" || b.page == "" {
			t.Errorf("the style is %v", r.Header)
		}
		if r := b.get("/sign-in/to"); r.StatusCode != http.StatusNotFound {
			t.Errorf("an address without a page: %d", r.StatusCode)
		}

		// An hour later one signs in again; so does one whose link was taken away.
		h.clock.Advance(time.Hour)
		b.says(b.get("/sign-in/tokens"), http.StatusOK, `name="organization"`)
		b.signIn()
		none := ""
		if err := h.directory.UpdateUser(t.Context(), admin, h.acme.ID, "ann", directory.UserChange{IdentityProviderUserID: &none}); err != nil {
			t.Fatal(err)
		}
		for end := time.Now().Add(10 * time.Second); strings.Contains(b.page, "Signed in as"); b.get("/sign-in/tokens") {
			if time.Now().After(end) {
				t.Fatal("the session did not end")
			}
		}
	})
}

func TestACallbackThatNobodyBeganIsRefused(t *testing.T) {
	onBoth(t, here, func(h *house) {
		b := h.browser()
		const words = "was not begun in this browser"
		b.says(b.get("/sign-in/callback?code=code-0&state=x"), http.StatusForbidden, words)
		b.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
		state := func() string {
			t.Helper()
			to, err := url.Parse(b.get("/sign-in/to/acme/begin").Header.Get("Location"))
			if err != nil {
				t.Fatal(err)
			}
			return to.Query().Get("state")
		}
		mine := state()
		b.says(h.browser().get("/sign-in/callback?code=code-0&state="+mine), http.StatusForbidden, "")
		other := h.browser()
		other.says(other.get("/sign-in/callback?code=code-0&state="+mine), http.StatusForbidden, words)
		b.says(b.get("/sign-in/callback?error=access_denied&state="+mine), http.StatusForbidden, "access_denied")
		b.says(b.get("/sign-in/callback?code=code-0&state="+mine), http.StatusForbidden, words) // it is used up
		late := state()
		h.clock.Advance(10 * time.Minute)
		b.says(b.get("/sign-in/callback?code=code-1&state="+late), http.StatusForbidden, words)
		b.says(b.get("/sign-in/callback?code=made-up&state="+state()), http.StatusBadGateway, "can&#39;t be reached, or does not answer as one")
		b.says(b.get("/sign-in/callback?code=c&iss=https://evil.example&state="+state()), http.StatusBadGateway, "Another identity provider")
	})
}

// TestAProviderThatAnswersNonsense spoils one answer after another: each gives a page that says so, and no session.
func TestAProviderThatAnswersNonsense(t *testing.T) {
	const (
		discovery = "/.well-known/openid-configuration"
		noAnswer  = "can&#39;t be reached, or does not answer as one"
		noBelief  = "can&#39;t be believed"
	)
	stranger, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	with := func(name string, value any) func(map[string]any) map[string]any {
		return func(d map[string]any) map[string]any { d[name] = value; return d }
	}
	junk := func(map[string]any) map[string]any { return nil }
	cases := map[string]struct {
		path   string
		spoil  func(map[string]any) map[string]any
		sign   func(t *testing.T, claims map[string]any) string
		claims map[string]any
		status int
		words  string
	}{
		"junk for discovery":     {path: discovery, spoil: junk, words: noAnswer},
		"another issuer":         {path: discovery, spoil: with("issuer", "https://evil.example"), words: noAnswer},
		"a script to go to":      {path: discovery, spoil: with("authorization_endpoint", "javascript:alert(1)"), words: noAnswer},
		"a plain token endpoint": {path: discovery, spoil: with("token_endpoint", "http://127.0.0.1/token"), words: noAnswer},
		"a huge document":        {path: discovery, spoil: with("x", strings.Repeat("x", 2<<20)), words: noAnswer},
		"junk for keys":          {path: "/keys", spoil: junk, words: noBelief},
		"other keys":             {path: "/keys", spoil: with("keys", []any{}), words: noBelief},
		"junk for tokens":        {path: "/token", spoil: junk, words: noAnswer},
		"no id_token":            {path: "/token", spoil: with("id_token", nil), words: noBelief},
		"an id_token of junk":    {path: "/token", spoil: with("id_token", "a.b.c"), words: noBelief},
		"another audience":       {claims: map[string]any{"aud": "other"}, words: noBelief},
		"an issuer in the token": {claims: map[string]any{"iss": "https://evil.example"}, words: noBelief},
		"an expired token":       {claims: map[string]any{"exp": newYear.Unix()}, words: noBelief},
		"another nonce":          {claims: map[string]any{"nonce": "replayed"}, words: noBelief},
		"no nonce":               {claims: map[string]any{"nonce": nil}, words: noBelief},
		"no signature": {sign: func(t *testing.T, claims map[string]any) string {
			t.Helper()
			return unsigned(t, "none", claims) + "."
		}, words: noBelief},
		"a stranger's signature": {sign: func(t *testing.T, claims map[string]any) string {
			t.Helper()
			return rs256(t, stranger, claims)
		}, words: noBelief},
		"a signature by the client's secret": {sign: func(t *testing.T, claims map[string]any) string {
			t.Helper()
			text := unsigned(t, "HS256", claims)
			sum := hmac.New(sha256.New, []byte(clientSecret))
			_, _ = sum.Write([]byte(text))
			return text + "." + encode(sum.Sum(nil))
		}, words: noBelief},
		"somebody else's user info": {claims: map[string]any{"preferred_username": nil}, path: "/userinfo", spoil: with("sub", "x"), words: noBelief},
		"an unverified email": {
			claims: map[string]any{"preferred_username": nil, "email": "ann@acme.awsapps.com"}, status: http.StatusBadRequest, words: "neither a preferred_username nor a verified email",
		},
		"a user whom nobody knows": {claims: map[string]any{"preferred_username": "carl"}, status: http.StatusNotFound, words: "does not exist"},
	}
	onBoth(t, here, func(h *house) {
		for what, c := range cases {
			h.clock.Advance(2 * time.Hour) // what was believed of the provider is not any more
			h.provider.spoil = map[string]func(map[string]any) map[string]any{}
			if c.spoil != nil {
				h.provider.spoil[c.path] = c.spoil
			}
			h.provider.claims = map[string]any{"sub": subject, "preferred_username": "Ann"}
			maps.Copy(h.provider.claims, c.claims)
			h.provider.sign = nil
			if c.sign != nil {
				h.provider.sign = func(claims map[string]any) string { return c.sign(t, claims) }
			}
			if c.status == 0 {
				c.status = http.StatusBadGateway
			}
			b := h.browser()
			if r := b.get("/sign-in/to/acme/begin"); r.StatusCode != c.status || !strings.Contains(b.page, c.words) {
				t.Errorf("%s: %d %s", what, r.StatusCode, b.page)
			}
			at, err := url.Parse(h.URL)
			if err != nil {
				t.Fatal(err)
			}
			for _, cookie := range b.jar.Cookies(at) {
				if strings.HasSuffix(cookie.Name, "-session") {
					t.Errorf("%s: there is a session: %v", what, cookie)
				}
			}
			if u, err := h.directory.DescribeUser(t.Context(), admin, h.acme.ID, "ann"); err != nil || u.IdentityProviderUserID != "" {
				t.Errorf("%s: ann is linked as %+v, %v", what, u, err)
			}
		}
		h.provider.spoil, h.provider.sign = nil, nil
		h.provider.claims = map[string]any{"sub": subject, "preferred_username": "Ann"}
		h.clock.Advance(2 * time.Hour)
		h.browser().signIn() // none of it lasts
	})
}

func TestWhoAProviderMeans(t *testing.T) {
	onBoth(t, here, func(h *house) {
		h.provider.claims = map[string]any{"sub": "auth0|42", "email": "bob@acme.awsapps.com", "email_verified": "true"}
		b := h.browser()
		b.says(b.get("/sign-in/to/acme/begin"), http.StatusOK, "Signed in as <strong>bob</strong>")
		u, err := h.directory.DescribeUser(t.Context(), admin, h.acme.ID, "bob")
		if err != nil || !regexp.MustCompile(`^[0-9a-f]{8}-[0-9a-f]{4}-5[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$`).MatchString(u.IdentityProviderUserID) {
			t.Errorf("bob is linked as %+v, %v", u, err)
		}
		h.provider.claims = map[string]any{"sub": subject} // the name stands in the user info
		b.says(b.get("/sign-in/to/acme/begin"), http.StatusOK, "Signed in as <strong>ann</strong>")
		h.provider.claims = map[string]any{"sub": "auth0|43", "preferred_username": "ann"}
		other := h.browser()
		other.says(other.get("/sign-in/to/acme/begin"), http.StatusForbidden, "is linked to another identity")
	})
}

func TestAProviderInThePrivateNetworkMustBeAllowed(t *testing.T) {
	onBoth(t, nil, func(h *house) {
		b := h.browser()
		b.says(b.get("/sign-in/to/acme/begin"), http.StatusBadGateway, "allowed_networks")
	})
}

// TestThePageLeavesTheAPIItsAddresses holds which addresses are the page's.
func TestThePageLeavesTheAPIItsAddresses(t *testing.T) {
	for path, want := range map[string]bool{
		"/sign-in": true, "/sign-in/": true, "/sign-in/tokens": true, "/set-password": true,
		"/": false, "/messages/1": false, "/sign-inside": false, "/set-password/": false, "/set-passwords": false, "//sign-in": false, "/messages/sign-in": false, "/messages/..%2fsign-in": false,
	} {
		if got := web.Serves(httptest.NewRequest(http.MethodGet, path, nil)); got != want {
			t.Errorf("%s is the page's: %t", path, got)
		}
	}
}

// TestAProviderThatHangsHoldsFew lets as many wait for a provider as may: one more is told so at once.
func TestAProviderThatHangsHoldsFew(t *testing.T) {
	onBoth(t, here, func(h *house) {
		entered, release := make(chan struct{}, 8), make(chan struct{})
		h.provider.spoil["/.well-known/openid-configuration"] = func(d map[string]any) map[string]any {
			entered <- struct{}{}
			<-release
			return d
		}
		var waiting sync.WaitGroup
		for range cap(entered) {
			b := h.browser()
			waiting.Go(func() { b.says(b.get("/sign-in/to/acme/begin"), http.StatusOK, "Signed in as <strong>ann</strong>") })
		}
		for range cap(entered) {
			<-entered
		}
		b := h.browser()
		b.says(b.get("/sign-in/to/acme/begin"), http.StatusServiceUnavailable, "many wait for it")
		close(release)
		waiting.Wait()
	})
}
