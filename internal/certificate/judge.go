package certificate

import (
	"errors"
	"strings"
	"time"

	"github.com/mholt/acmez/v3/acme"
)

// elsewhere is why nothing was ordered for a name: it does not lead here.
type elsewhere struct{ error }

func (e elsewhere) Unwrap() error { return e.error }

// unwritten is why the record of DNS01 is not where a CA looks.
type unwritten struct{ error }

func (u unwritten) Unwrap() error { return u.error }

// limited is a refusal by a CA that has had enough for a while.
type limited struct {
	error
	wait time.Duration
}

func (l limited) Unwrap() error { return l.error }

// maxWait is how long a CA may put us off.
const maxWait = 7 * 24 * time.Hour

// maxTrouble is how much of an error is kept, in bytes.
const maxTrouble = 1000

// shown is an error as it is kept.
func shown(err error) string {
	text := strings.ToValidUTF8(strings.ReplaceAll(err.Error(), "\x00", ""), "\uFFFD")
	if len(text) > maxTrouble {
		text = strings.ToValidUTF8(text[:maxTrouble], "")
	}
	return text
}

// judge says how long to wait after a failure, the n-th in a row, and what an operator can do. Let's Encrypt takes five failed attempts
// for a name in an hour.
func judge(err error, n int) (pause time.Duration, advice string) {
	first, last := 5*time.Second, time.Hour
	advice = "see that the CA's directory can be reached from here: settings acme_directory, acme_ca_file"
	var problem acme.Problem
	if errors.As(err, new(elsewhere)) {
		first, last = survey, 24*time.Hour
		advice = "the domain's owner publishes the record that pennypost domain records shows, or nothing: then the name has no certificate"
	} else if errors.As(err, new(unwritten)) {
		first, last = 2*time.Minute, 24*time.Hour
		advice = "see that acme_dns_provider may change the zone of the record that acme_challenge = dns-01 needs"
	} else if errors.As(err, &problem) {
		first, last = 2*time.Minute, 12*time.Hour
		switch problem.Type {
		case acme.ProblemTypeRateLimited:
			first = time.Hour
			advice = "the CA limits how much it issues: wait, and try things out with its staging directory (setting acme_directory)"
		case acme.ProblemTypeConnection, acme.ProblemTypeUnauthorized, acme.ProblemTypeTLS, acme.ProblemTypeIncorrectResponse:
			advice = "see that the name leads here, and that the CA reaches what acme_challenge says: http-01 port 80 (setting acme_http, or a proxy that passes " +
				challengePath + " on to http), tls-alpn-01 port 443 (https, without a proxy that ends TLS), dns-01 the zone's name servers"
		case acme.ProblemTypeDNS:
			advice = "the CA can't look the name up: see that it has an A or AAAA record, and with dns-01 that acme_dns_provider keeps its zone"
		case acme.ProblemTypeCAA:
			advice = "a CAA record of the domain does not let this CA issue: add it there"
		case acme.ProblemTypeRejectedIdentifier, acme.ProblemTypeUnsupportedIdentifier:
			advice = "the CA issues nothing for this name: take it out of the setting acme"
		case acme.ProblemTypeExternalAccountRequired:
			advice = "the CA wants to know whose account this is: settings acme_eab_key_id and acme_eab_key_file"
		case acme.ProblemTypeUserActionRequired:
			advice = "the CA's terms have changed: read them at the address in the error"
		case acme.ProblemTypeInvalidContact, acme.ProblemTypeUnsupportedContact:
			advice = "the CA does not take the address in the setting acme_email"
		default:
			advice = "the CA refused, and says why in the error"
		}
	}
	pause = last
	if n <= 16 { // beyond it the product is
		pause = min(first<<(max(n, 1)-1), last)
	}
	var l limited
	if errors.As(err, &l) {
		pause = max(pause, min(l.wait, maxWait))
	}
	return pause, advice
}
