// Package domain says what the owner of a mail domain is to publish in DNS, looks whether that was done, and makes the files that the
// world fetches for a domain: the policy of MTA-STS and the settings of mail programs.
package domain
