package tlsrpt

import (
	"net/url"
	"slices"
	"strings"

	"github.com/pennypost/pennypost/internal/message"
	"github.com/pennypost/pennypost/internal/transport/route"
)

const (
	maxDestinations = 5    // of a domain; the others are left out
	maxURI          = 1024 // bytes; a longer one is left out
)

// parseRecord returns where the TXT records of _smtp._tls want reports (RFC 8460 section 3): mailto and https URIs, in their order.
func parseRecord(records []string) (out []string) {
	fields, ok := route.Fields(records, "TLSRPTv1")
	if !ok {
		return nil
	}
	for _, f := range fields {
		key, value, _ := strings.Cut(f, "=")
		if strings.Trim(key, " \t") != "rua" {
			continue
		}
		for uri := range strings.SplitSeq(value, ",") {
			uri = strings.Trim(uri, " \t")
			if len(out) < maxDestinations && !slices.Contains(out, uri) && isURI(uri) && (mailto(uri) != "" || isHTTPS(uri)) {
				out = append(out, uri)
			}
		}
		break
	}
	return out
}

// isURI reports whether uri has no characters but those of URIs.
func isURI(uri string) bool {
	return len(uri) <= maxURI && !strings.ContainsFunc(uri, func(c rune) bool { return c <= ' ' || c > '~' })
}

// mailto returns the address of a mailto URI; empty where it is none.
func mailto(uri string) string {
	u, err := url.Parse(uri)
	if err != nil || u.Scheme != "mailto" {
		return ""
	}
	to, err := url.PathUnescape(u.Opaque)
	if err != nil {
		return ""
	}
	a, err := message.ParseAddress(to)
	if err != nil || a.Domain == "" {
		return ""
	}
	return a.String()
}

func isHTTPS(uri string) bool {
	u, err := url.Parse(uri)
	return err == nil && u.Scheme == "https" && u.Hostname() != "" && u.User == nil
}
