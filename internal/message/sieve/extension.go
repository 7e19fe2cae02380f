package sieve

import "slices"

// extensions are the capabilities that a script can require, sorted.
var extensions = []string{
	"body", "comparator-i;ascii-casemap", "comparator-i;ascii-numeric", "comparator-i;octet", "copy", "date", "duplicate", "editheader",
	"encoded-character", "envelope", "environment", "ereject", "fileinto", "imap4flags", "index", "mailbox", "reject", "relational",
	"special-use", "subaddress", "vacation", "vacation-seconds", "variables",
}

// Extensions returns the capabilities that scripts can require, sorted: ManageSieve's SIEVE (RFC 5804 section 1.7).
func Extensions() []string { return slices.Clone(extensions) }
