package tlsrpt

import (
	"net/url"
	"slices"
	"strings"

	"github.com/pennypost/pennypost/internal/transport/dayreport"
	"github.com/pennypost/pennypost/internal/transport/route"
)

// maxDestinations is how many addresses of a domain get its report.
const maxDestinations = 5

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
			if len(out) < maxDestinations && !slices.Contains(out, uri) && dayreport.IsURI(uri) && (!dayreport.Mailto(uri).IsZero() || isHTTPS(uri)) {
				out = append(out, uri)
			}
		}
		break
	}
	return out
}

func isHTTPS(uri string) bool {
	u, err := url.Parse(uri)
	return err == nil && u.Scheme == "https" && u.Hostname() != "" && u.User == nil
}
