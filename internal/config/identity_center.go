package config

import (
	"fmt"
	"maps"
	"net"
	"net/url"
	"os"
	"slices"
	"strings"

	"github.com/pennypost/pennypost/internal/lazyregexp"
)

// IdentityCenter is the OpenID Connect provider that stands for an Identity Center instance: what WorkMail's API calls by
// the instance's ARN is this provider.
type IdentityCenter struct {
	// Issuer is the provider's URL, exactly as its discovery document says it. It is https, but for one on this machine.
	Issuer string `toml:"issuer"`
	// ClientID and ClientSecretFile are what the provider gave this server when it was registered there. The file holds the
	// secret alone; line ends around it are ignored.
	ClientID         string `toml:"client_id"`
	ClientSecretFile string `toml:"client_secret_file"`
	// CAFile holds the certificates, in PEM, that the provider's own is believed by. Empty means the system's.
	CAFile string `toml:"ca_file"`
}

// ClientSecret reads the secret.
func (i IdentityCenter) ClientSecret() (string, error) {
	text, err := os.ReadFile(i.ClientSecretFile)
	if err != nil {
		return "", fmt.Errorf("client_secret_file: %w", err)
	}
	secret := strings.TrimSpace(string(text))
	if secret == "" || len(secret) > 4096 {
		return "", fmt.Errorf("client_secret_file: %s does not hold a secret", i.ClientSecretFile)
	}
	return secret, nil
}

var instanceARN = lazyregexp.New(`\Aarn:(aws|aws-us-gov|aws-cn|aws-iso|aws-iso-b):sso:::instance/(sso)?ins-[a-zA-Z0-9.-]{16}\z`)

func (c *Config) checkIdentityCenters() []error {
	var faults []error
	for _, arn := range slices.Sorted(maps.Keys(c.IdentityCenter)) {
		i := c.IdentityCenter[arn]
		wrong := func(format string, args ...any) {
			faults = append(faults, fmt.Errorf("identity_center.%q: %s", arn, fmt.Sprintf(format, args...)))
		}
		if !instanceARN.MatchString(arn) {
			wrong("this is not the ARN of an instance, arn:aws:sso:::instance/ssoins- and 16 characters")
		}
		u, err := url.Parse(i.Issuer)
		if err != nil || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" ||
			u.Scheme != "https" && (u.Scheme != "http" || !loopback(net.JoinHostPort(u.Hostname(), "0"))) {
			wrong("issuer %q is not an https URL without query (http is for a provider on this machine)", i.Issuer)
		}
		if i.ClientID == "" {
			wrong("client_id is missing")
		}
		if _, err := i.ClientSecret(); err != nil {
			wrong("%v", err)
		}
		if i.CAFile != "" {
			if _, err := os.Stat(i.CAFile); err != nil {
				wrong("ca_file: %v", err)
			}
		}
	}
	return faults
}
