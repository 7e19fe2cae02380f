package web

import (
	"context"
	"net/http"
	"strings"

	"github.com/pennypost/pennypost/internal/fault"
)

// The files of mail domains. Which domain is meant, the request's host says.
const (
	stsPath        = "/.well-known/mta-sts.txt"                     // RFC 8461 section 3.3, on mta-sts.<domain>
	autoconfigPath = "/mail/config-v1.1.xml"                        // Mozilla's, on autoconfig.<domain>
	wellKnownPath  = "/.well-known/autoconfig/mail/config-v1.1.xml" // and on <domain> itself
)

// ServesFile reports whether a request is for a file of a domain.
func ServesFile(r *http.Request) bool {
	return r.URL.Path == stsPath || r.URL.Path == autoconfigPath || r.URL.Path == wellKnownPath
}

// file answers for a file of a domain. The address that mail programs send along (emailaddress) changes nothing: whether somebody has
// it is not told to strangers.
func (h *Handler) file(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		w.Header().Set("Allow", "GET, HEAD")
		http.Error(w, "only GET", http.StatusMethodNotAllowed)
		return
	}
	label, kind := "", "text/xml; charset=utf-8"
	read := func(ctx context.Context, domain string) (string, error) {
		return h.config.Domains.Autoconfig(ctx, domain)
	}
	switch r.URL.Path {
	case stsPath:
		label, kind, read = "mta-sts.", "text/plain; charset=us-ascii", h.config.Domains.STSPolicy
	case autoconfigPath:
		label = "autoconfig."
	}
	domain, ok := strings.CutPrefix(strings.ToLower(strings.TrimSuffix(hostname(r), ".")), label)
	if !ok || domain == "" {
		http.NotFound(w, r)
		return
	}
	text, err := read(r.Context(), domain)
	switch f := fault.As(err); {
	case err == nil:
	case f != nil && f.Kind == fault.NotFound:
		http.NotFound(w, r)
		return
	default:
		if r.Context().Err() == nil {
			h.log.ErrorContext(r.Context(), "a file of a domain could not be served", "path", r.URL.Path, "error", err)
		}
		http.Error(w, "the server failed", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", kind)
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.Header().Set("Cache-Control", "max-age=300")
	_, _ = w.Write([]byte(text)) // a client that is gone is no fault
}
