package web_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/pennypost/pennypost/internal/web"
)

// TestFilesOfDomains asks for the files of a domain that is proven, one that is not, and under names that make no sense.
func TestFilesOfDomains(t *testing.T) {
	onBoth(t, nil, func(h *house) {
		if err := h.directory.VouchForDomain(t.Context(), admin, h.acme.ID, "shop.example"); err != nil {
			t.Fatal(err)
		}
		if err := h.directory.RegisterDomain(t.Context(), admin, h.acme.ID, "pending.example", ""); err != nil {
			t.Fatal(err)
		}
		const sts, autoconfig, wellKnown = "/.well-known/mta-sts.txt", "/mail/config-v1.1.xml", "/.well-known/autoconfig/mail/config-v1.1.xml"
		for _, c := range []struct {
			method, host, path string
			status             int
			kind, says         string
		}{
			{"GET", "mta-sts.shop.example", sts, 200, "text/plain; charset=us-ascii", "version: STSv1\r\nmode: enforce\r\nmx: mail.host.example\r\nmax_age: 86400\r\n"},
			{"GET", "MTA-STS.Shop.Example.:8443", sts, 200, "text/plain; charset=us-ascii", "mode: enforce"},
			{"HEAD", "mta-sts.shop.example", sts, 200, "text/plain; charset=us-ascii", ""},
			{"GET", "autoconfig.shop.example", autoconfig, 200, "text/xml; charset=utf-8", "<domain>shop.example</domain>"},
			{"GET", "autoconfig.shop.example", autoconfig + "?emailaddress=nobody%40shop.example", 200, "text/xml; charset=utf-8", "<port>993</port>"},
			{"GET", "shop.example", wellKnown, 200, "text/xml; charset=utf-8", "<hostname>mail.host.example</hostname>"},
			{"GET", "acme.awsapps.com", wellKnown, 200, "text/xml; charset=utf-8", "<domain>acme.awsapps.com</domain>"},
			{"POST", "autoconfig.shop.example", autoconfig, 405, "", ""},
			{"GET", "mta-sts.pending.example", sts, 404, "", ""},
			{"GET", "autoconfig.pending.example", autoconfig, 404, "", ""},
			{"GET", "mta-sts.other.example", sts, 404, "", ""},
			{"GET", "shop.example", sts, 404, "", ""},
			{"GET", "autoconfig.shop.example", sts, 404, "", ""},
			{"GET", "shop.example", autoconfig, 404, "", ""},
			{"GET", "mta-sts.", sts, 404, "", ""},
			{"GET", "", wellKnown, 404, "", ""},
			{"GET", "mta-sts.a\x00b", sts, 404, "", ""},
			{"GET", "mta-sts.\xff", sts, 404, "", ""},
			{"GET", "[::1]:443", wellKnown, 404, "", ""},
			{"GET", strings.Repeat("a.", 30_000) + "example", wellKnown, 404, "", ""},
		} {
			r := httptest.NewRequestWithContext(t.Context(), c.method, c.path, http.NoBody)
			r.Host = c.host
			if !web.Serves(r) {
				t.Errorf("%s is not the page's", c.path)
			}
			w := httptest.NewRecorder()
			h.Config.Handler.ServeHTTP(w, r)
			if kind := w.Header().Get("Content-Type"); w.Code != c.status || c.status == 200 && kind != c.kind || !strings.Contains(w.Body.String(), c.says) {
				t.Errorf("%s %.100q %s: %d %q %q", c.method, c.host, c.path, w.Code, kind, w.Body)
			}
			if w.Header().Get("Set-Cookie") != "" || w.Header().Get("Strict-Transport-Security") != "" {
				t.Errorf("%q %s: %v", c.host, c.path, w.Header())
			}
		}
		for _, path := range []string{"/.well-known/other", "/mail", "/mail/config-v1.1.xml/x"} {
			if web.Serves(httptest.NewRequestWithContext(t.Context(), "GET", path, http.NoBody)) {
				t.Errorf("%s is the page's", path)
			}
		}
	})
}
