package web_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/pennypost/pennypost/internal/directory"
	"github.com/pennypost/pennypost/internal/identity"
)

const chosen = "annsPa$$w0rd"

func (h *house) link(user string, life time.Duration) string {
	h.t.Helper()
	l, err := h.center.CreatePasswordLink(h.t.Context(), admin, h.acme.ID, user, life)
	if err != nil {
		h.t.Fatal(err)
	}
	return l.Secret
}

func passwordForm(link, password, again string) url.Values {
	return url.Values{"link": {link}, "username": {"ann@acme.awsapps.com"}, "password": {password}, "again": {again}}
}

func TestALinkLeadsToAPassword(t *testing.T) {
	onBoth(t, here, func(h *house) {
		link := h.link("ann", time.Hour)
		b := h.browser()
		for range 2 { // a mail scanner, and then the user
			r := b.get("/set-password?link=" + link)
			b.says(r, http.StatusOK, `value="ann@acme.awsapps.com" size="21" autocomplete="username" readonly`)
			for name, want := range map[string]string{
				"Content-Security-Policy": "default-src 'none'; style-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'",
				"Referrer-Policy":         "no-referrer", "Cache-Control": "no-store", "Set-Cookie": "",
			} {
				if got := r.Header.Get(name); got != want {
					t.Errorf("%s is %q", name, got)
				}
			}
		}
		b.says(b.get("/set-password?link="+link), http.StatusOK, directory.PasswordPolicy)
		if strings.Contains(b.page, "<script") || strings.Contains(b.page, "action=\"/set-password?") {
			t.Error(b.page)
		}
		b.says(b.post("/set-password", passwordForm(link, chosen, chosen+"x")), http.StatusBadRequest, `id="problem">The two passwords are not the same`)
		b.says(b.post("/set-password", passwordForm(link, "short", "short")), http.StatusBadRequest, "The password has 5 characters")
		b.says(b.post("/set-password", passwordForm(link, chosen, chosen)), http.StatusOK, "<strong>ann@acme.awsapps.com</strong>")
		if strings.Contains(b.page, chosen) || strings.Contains(b.page, link) {
			t.Error(b.page)
		}
		in, err := h.door.Authenticate(t.Context(), identity.Credentials{Username: "ann@acme.awsapps.com", Password: chosen}, identity.Circumstances{Protocol: "IMAP"})
		if err != nil {
			t.Fatal(err)
		}
		in.Close()
	})
}

// TestAUselessLinkHasOnePage shows that what is wrong with a link can't be told from the page.
func TestAUselessLinkHasOnePage(t *testing.T) {
	onBoth(t, here, func(h *house) {
		b := h.browser()
		used := h.link("ann", time.Hour)
		b.says(b.post("/set-password", passwordForm(used, chosen, chosen)), http.StatusOK, "Your password is set")
		expired := h.link("bob", time.Hour)
		h.clock.Advance(time.Hour)
		page := ""
		for _, link := range []string{used, expired, "", "x", strings.Repeat("A", 43), "%00", "%ff"} {
			for _, r := range []*http.Response{
				b.get("/set-password?link=" + link),
				b.get("/set-password"),
				b.post("/set-password", passwordForm(link, chosen, chosen)),
				b.post("/set-password", passwordForm(link, "a", "b")),
			} {
				b.says(r, http.StatusForbidden, "This link can&#39;t be used: it is wrong, was used already or has expired")
				if page == "" {
					page = b.page
				}
				if b.page != page {
					t.Errorf("%q: %s", link, b.page)
				}
			}
		}
		b.says(b.post("/set-password", url.Values{"link": {strings.Repeat("x", 100_000)}}), http.StatusBadRequest, "can&#39;t be read")
	})
}

func TestTooManyWrongLinks(t *testing.T) {
	onBoth(t, here, func(h *house) {
		link := h.link("ann", time.Hour)
		b := h.browser()
		for range 100 {
			b.get("/set-password?link=" + strings.Repeat("A", 43))
		}
		b.says(b.get("/set-password?link="+link), http.StatusServiceUnavailable, "There were too many failed attempts from your network")
		b.says(b.post("/set-password", passwordForm(link, chosen, chosen)), http.StatusServiceUnavailable, "There were too many failed attempts from your network")
		h.clock.Advance(time.Minute)
		b.says(b.post("/set-password", passwordForm(link, chosen, chosen)), http.StatusOK, "Your password is set")
	})
}
