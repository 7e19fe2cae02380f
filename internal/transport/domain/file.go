package domain

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/xml"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/pennypost/pennypost/internal/db"
	"github.com/pennypost/pennypost/internal/directory"
	"github.com/pennypost/pennypost/internal/fault"
)

// stsPolicy is the text that mta-sts.<domain> serves (RFC 8461 section 3.2).
func (s *Service) stsPolicy() string {
	return fmt.Sprintf("version: STSv1\r\nmode: %s\r\nmx: %s\r\nmax_age: %d\r\n", s.STS.Mode, s.Host, int64(s.STS.MaxAge/time.Second))
}

// stsRecord is the record that says which policy is served: its id changes with the policy.
func (s *Service) stsRecord() string {
	sum := sha256.Sum256([]byte(s.stsPolicy()))
	return "v=STSv1; id=" + hex.EncodeToString(sum[:10])
}

// STSPolicy is the policy of MTA-STS of a verified domain. Faults: NotFound (Domain).
func (s *Service) STSPolicy(ctx context.Context, domain string) (string, error) {
	if err := s.serves(ctx, domain); err != nil {
		return "", err
	}
	return s.stsPolicy(), nil
}

// Autoconfig is the file from which mail programs learn the servers of a verified domain, in Mozilla's format. It is the same for
// all users of the domain. Faults: NotFound (Domain).
func (s *Service) Autoconfig(ctx context.Context, domain string) (string, error) {
	if err := s.serves(ctx, domain); err != nil {
		return "", err
	}
	var out strings.Builder
	text := func(s string) string {
		var b strings.Builder
		_ = xml.EscapeText(&b, []byte(s)) // a Builder takes everything
		return b.String()
	}
	name := text(directory.Fold(domain))
	fmt.Fprintf(&out, `<?xml version="1.0" encoding="UTF-8"?>
<clientConfig version="1.1">
  <emailProvider id="%[1]s">
    <domain>%[1]s</domain>
    <displayName>%[1]s</displayName>
    <displayShortName>%[1]s</displayShortName>
`, name)
	for _, server := range []struct {
		element, kind, security string
		port                    int
	}{
		{"incomingServer", "imap", "SSL", s.Ports.IMAPS},
		{"incomingServer", "imap", "STARTTLS", s.Ports.IMAP},
		{"outgoingServer", "smtp", "SSL", s.Ports.Submissions},
		{"outgoingServer", "smtp", "STARTTLS", s.Ports.Submission},
	} {
		if server.port == 0 {
			continue
		}
		fmt.Fprintf(&out, `    <%[1]s type="%[2]s">
      <hostname>%[3]s</hostname>
      <port>%[4]d</port>
      <socketType>%[5]s</socketType>
      <username>%%EMAILADDRESS%%</username>
      <authentication>password-cleartext</authentication>
    </%[1]s>
`, server.element, server.kind, text(s.Host), server.port, server.security)
	}
	out.WriteString("  </emailProvider>\n</clientConfig>\n")
	return out.String(), nil
}

const (
	// servedFor is how long an answer to whether a domain is served is believed.
	servedFor = 10 * time.Second
	// maxServed is how many are kept, and maxName the longest name of a domain.
	maxServed = 1000
	maxName   = 255
)

// served remembers which domains files are served for: anybody may ask, and under any name.
type served struct {
	mu      sync.Mutex
	answers map[string]answer
}

type answer struct {
	serves bool
	until  time.Time
}

// serves returns NotFound (Domain) unless an active organisation has proven the domain.
func (s *Service) serves(ctx context.Context, domain string) error {
	absent := fault.New(fault.NotFound, fault.Domain, "there is no such domain here")
	if len(domain) > maxName {
		return absent
	}
	domain = directory.Fold(domain)
	now := s.Clock.Now()
	s.served.mu.Lock()
	known, ok := s.served.answers[domain]
	s.served.mu.Unlock()
	if !ok || !now.Before(known.until) {
		known = answer{until: now.Add(servedFor)}
		err := s.DB.Read(ctx, func(ctx context.Context, tx *db.Tx) (err error) {
			known.serves, err = s.Directory.IsLocalDomainTx(ctx, tx, domain)
			return err
		})
		if err != nil {
			return err
		}
		s.served.mu.Lock()
		if s.served.answers == nil || len(s.served.answers) >= maxServed {
			s.served.answers = map[string]answer{}
		}
		s.served.answers[domain] = known
		s.served.mu.Unlock()
	}
	if !known.serves {
		return absent
	}
	return nil
}
