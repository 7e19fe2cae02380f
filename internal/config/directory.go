package config

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"maps"
	"net/url"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/pennypost/pennypost/internal/lazyregexp"
)

// Directory is an LDAP server or Active Directory: table [directory."d-0123456789"] of the file, by the DirectoryId that
// CreateOrganization is given. Its address must be a public one or in AllowedNetworks.
type Directory struct {
	// URL is ldaps://host, or ldap://host, where the connection goes on with TLS (StartTLS) before anything is said. A port may
	// follow; the server's certificate must be for the host.
	URL string `toml:"url"`
	// CAFile holds the certificates, in PEM, that the server's own is believed by. Empty means the system's.
	CAFile string `toml:"ca_file"`
	// Preset is what entries look like: rfc (inetOrgPerson, groupOfNames) or ad (Active Directory).
	Preset string `toml:"preset"`
	// BindDN and the password in BindPasswordFile, line ends around it ignored, are this server's own account there.
	BindDN           string `toml:"bind_dn"`
	BindPasswordFile string `toml:"bind_password_file"`
	// Base is the entry below which users and groups are looked for. UserBase and GroupBase are where new ones are made; empty
	// means Base.
	Base      string `toml:"base"`
	UserBase  string `toml:"user_base"`
	GroupBase string `toml:"group_base"`
	// UserFilter and GroupFilter say who is a user and what a group; empty means the preset's.
	UserFilter  string `toml:"user_filter"`
	GroupFilter string `toml:"group_filter"`
	// Attributes changes the preset's attribute names: name, group_name, member, mail, group_mail, display_name, first_name,
	// last_name, initials, telephone, street, job_title, city, company, zip_code, department, country, office. What has an empty
	// name is kept here alone.
	Attributes map[string]string `toml:"attributes"`
	// Writable lets users and groups be made, changed and deleted there, and passwords be reset.
	Writable bool `toml:"writable"`
	// Timeout bounds every operation; empty means 10s.
	Timeout string `toml:"timeout"`
}

// BindPassword reads the password of this server's account.
func (d Directory) BindPassword() (string, error) {
	text, err := os.ReadFile(d.BindPasswordFile)
	if err != nil {
		return "", fmt.Errorf("bind_password_file: %w", err)
	}
	password := strings.Trim(string(text), "\r\n")
	if password == "" || len(password) > 4096 {
		return "", fmt.Errorf("bind_password_file: %s does not hold a password", d.BindPasswordFile)
	}
	return password, nil
}

// TLS says whose certificates are believed.
func (d Directory) TLS() (*tls.Config, error) {
	config := &tls.Config{MinVersion: tls.VersionTLS12}
	if d.CAFile == "" {
		return config, nil
	}
	text, err := os.ReadFile(d.CAFile)
	if err != nil {
		return nil, fmt.Errorf("ca_file: %w", err)
	}
	config.RootCAs = x509.NewCertPool()
	if !config.RootCAs.AppendCertsFromPEM(text) {
		return nil, fmt.Errorf("ca_file: %s holds no certificate in PEM", d.CAFile)
	}
	return config, nil
}

// Wait is Timeout as a duration.
func (d Directory) Wait() (time.Duration, error) {
	if d.Timeout == "" {
		return 10 * time.Second, nil
	}
	wait, err := time.ParseDuration(d.Timeout)
	if err != nil || wait < time.Second || wait > time.Minute {
		return 0, fmt.Errorf("timeout %q is not a time of 1s to 1m", d.Timeout)
	}
	return wait, nil
}

var directoryID = lazyregexp.New(`\Ad-[0-9a-f]{10}\z`)

func (c *Config) checkDirectories() []error {
	var faults []error
	for _, id := range slices.Sorted(maps.Keys(c.Directory)) {
		d := c.Directory[id]
		var wrong []error
		if !directoryID.MatchString(id) {
			wrong = append(wrong, errors.New("this is not the id of a directory, d- and ten hexadecimal digits"))
		}
		u, err := url.Parse(d.URL)
		if err != nil || u.Scheme != "ldaps" && u.Scheme != "ldap" || u.Hostname() == "" || strings.Trim(u.Path, "/") != "" || u.User != nil || u.RawQuery != "" {
			wrong = append(wrong, fmt.Errorf("url %q is neither ldaps://host nor ldap://host (for StartTLS)", d.URL))
		}
		if d.Preset != "rfc" && d.Preset != "ad" {
			wrong = append(wrong, fmt.Errorf("preset %q is none of rfc, ad", d.Preset))
		}
		if d.Base == "" || d.BindDN == "" {
			wrong = append(wrong, errors.New("base and bind_dn are needed"))
		}
		_, err = d.BindPassword()
		wrong = append(wrong, err)
		_, err = d.TLS()
		wrong = append(wrong, err)
		_, err = d.Wait()
		wrong = append(wrong, err)
		for _, err := range wrong {
			if err != nil {
				faults = append(faults, fmt.Errorf("directory.%q: %w", id, err))
			}
		}
	}
	return faults
}
