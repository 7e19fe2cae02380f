package directory

import (
	"strings"

	"github.com/pennypost/pennypost/internal/fault"
)

const (
	addressLimit = 254 // bytes of a whole address
	localLimit   = 64  // bytes before the @
)

// Address is a checked mail address of the kind an organisation may give out.
type Address struct {
	Text   string // as written
	Key    string // folded: what is compared
	Domain string // folded, without the @
}

// ParseAddress checks a mail address that is to belong to an entity: up to 64 of letters, digits and ._%+- before the @,
// a domain name of two labels or more behind it, 254 bytes in all.
func ParseAddress(s string) (Address, error) {
	local, domain, ok := strings.Cut(s, "@")
	switch {
	case len(s) > addressLimit:
		return Address{}, fault.New(fault.Invalid, fault.Address, "address %q is longer than %d bytes", s[:addressLimit], addressLimit)
	case !ok || local == "" || len(local) > localLimit || !only(local, isLocalByte):
		return Address{}, fault.New(fault.Invalid, fault.Address, "address %q must have 1 to %d of letters, digits and ._%%+- before an @", s, localLimit)
	}
	if err := checkDomainName(domain); err != nil {
		return Address{}, fault.New(fault.Invalid, fault.Address, "address %q has no valid domain after the @", s)
	}
	if Fold(local) == "amazonjournaling" {
		return Address{}, fault.New(fault.Invalid, fault.Address, "address %q is reserved for journal reports", s)
	}
	return Address{Text: s, Key: Fold(s), Domain: Fold(domain)}, nil
}

func isLocalByte(c byte) bool {
	return isAlnum(c) || c == '.' || c == '_' || c == '%' || c == '+' || c == '-'
}

// Untag returns the address without its tag: "ann+shop@example.com" becomes "ann@example.com". A tag is what follows the
// first "+" of the local part. ok is false where there is no tag, or nothing before it.
func Untag(address string) (base string, ok bool) {
	at := strings.LastIndexByte(address, '@')
	plus := strings.IndexByte(address, '+')
	if at < 0 || plus <= 0 || plus > at {
		return "", false
	}
	return address[:plus] + address[at:], true
}

const (
	domainLimit = 209 // characters, as RegisterMailDomain has it
	labelLimit  = 63  // RFC 1035 section 2.3.4
)

// checkDomainName checks a mail domain: two labels or more of letters, digits and inner hyphens (RFC 1123 section 2.1), the
// last one not all digits, so that no IP address passes.
func checkDomainName(name string) error {
	bad := func(why string) error {
		return fault.New(fault.Invalid, fault.Domain, "domain %q %s", name, why)
	}
	if len(name) < 3 || len(name) > domainLimit {
		return bad("must have 3 to 209 characters")
	}
	labels := strings.Split(name, ".")
	if len(labels) < 2 {
		return bad("needs a dot: give the whole name")
	}
	for _, label := range labels {
		if label == "" || len(label) > labelLimit || label[0] == '-' || label[len(label)-1] == '-' ||
			!only(label, func(c byte) bool { return isAlnum(c) || c == '-' }) {
			return bad("must consist of labels of 1 to 63 letters, digits and inner hyphens")
		}
	}
	last := labels[len(labels)-1]
	if len(last) < 2 || only(last, func(c byte) bool { return '0' <= c && c <= '9' }) {
		return bad("must end in a top-level domain of two characters or more, not all digits")
	}
	return nil
}

// isAddressLike reports whether s is worth looking up among the addresses.
func isAddressLike(s string) bool { return strings.Contains(s, "@") }
