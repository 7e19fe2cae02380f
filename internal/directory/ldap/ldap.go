// Package ldap is an external directory of package directory: an LDAP server or Active Directory, in which an organisation's
// users, groups and passwords are mastered. What it holds is mirrored by package organization; resources are kept here alone.
package ldap

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/url"
	"time"

	"github.com/go-ldap/ldap/v3"

	"github.com/pennypost/pennypost/internal/directory"
	"github.com/pennypost/pennypost/internal/fault"
)

// Config says where a directory is and what its entries look like. All but TLS, UserBase, GroupBase and Timeout are required.
type Config struct {
	// URL is ldaps://host:port, or ldap://host:port for StartTLS, without which nothing is said.
	URL string
	// TLS says whose certificates are believed; nil takes the system's. The name that must be in the certificate is the URL's.
	TLS *tls.Config
	// Dial makes the connections: a dialer of package dial.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
	// BindDN and BindPassword are the server's own account.
	BindDN, BindPassword string
	// Base is the entry below which users and groups are looked for, UserBase and GroupBase those where new ones are made;
	// empty means Base.
	Base, UserBase, GroupBase string
	Schema                    Schema
	// Writable lets users and groups be made, changed and deleted there. Without it the directory is only read.
	Writable bool
	// Timeout bounds every operation; 0 means ten seconds.
	Timeout time.Duration
}

const (
	defaultTimeout = 10 * time.Second
	nameLimit      = 20 // of Active Directory's sAMAccountName, and WorkMail's for every directory but its own
)

// Directory is an LDAP server. It is safe for concurrent use.
type Directory struct {
	config Config
	host   string // and port
	start  bool   // StartTLS
	tls    *tls.Config
	// service has connections that are signed in as the server's own account; those of users sign in as anybody and are used for
	// nothing else.
	service, users *pool
}

var _ directory.Mirrored = (*Directory)(nil)

// New returns the directory at c.URL. Nothing is connected to before it is needed. The caller must Close it.
func New(c Config) (*Directory, error) {
	u, err := url.Parse(c.URL)
	if err != nil || u.Hostname() == "" || u.Scheme != "ldap" && u.Scheme != "ldaps" {
		return nil, errors.New("the URL of a directory is ldaps://host or, with StartTLS, ldap://host")
	}
	d := &Directory{config: c, start: u.Scheme == "ldap"}
	if d.config.Timeout <= 0 {
		d.config.Timeout = defaultTimeout
	}
	for _, base := range []*string{&d.config.UserBase, &d.config.GroupBase} {
		if *base == "" {
			*base = c.Base
		}
	}
	for _, dn := range []string{c.Base, d.config.UserBase, d.config.GroupBase} {
		if _, err := ldap.ParseDN(dn); err != nil || dn == "" {
			return nil, errors.New("the bases of a directory are distinguished names: " + dn + " is none")
		}
	}
	if c.BindDN == "" || c.BindPassword == "" {
		return nil, errors.New("the account of a directory needs a name and a password")
	}
	if err := c.Schema.check(); err != nil {
		return nil, err
	}
	port := u.Port()
	switch {
	case port == "" && d.start:
		port = ldap.DefaultLdapPort
	case port == "":
		port = ldap.DefaultLdapsPort
	}
	d.host = net.JoinHostPort(u.Hostname(), port)
	d.tls = &tls.Config{MinVersion: tls.VersionTLS12}
	if c.TLS != nil {
		d.tls = c.TLS.Clone()
	}
	d.tls.ServerName = u.Hostname()
	d.service, d.users = newPool(d.connectAsOurselves), newPool(d.connect)
	return d, nil
}

// Close ends the connections that are not in use.
func (d *Directory) Close() { d.service.close(); d.users.close() }

// Type is what DescribeOrganization calls the directory: a writable one is like a managed Active Directory, one that is only
// read like an AD Connector.
func (d *Directory) Type() string {
	if d.config.Writable {
		return directory.WritableDirectoryType
	}
	return directory.ReadOnlyDirectoryType
}

// NameLimit is how many characters a new user's name may have.
func (d *Directory) NameLimit() int { return nameLimit }

// Probe reports whether the directory answers, lets the server's own account in and has the base.
func (d *Directory) Probe(ctx context.Context) error {
	return d.use(ctx, func(conn *ldap.Conn) error {
		_, err := conn.Search(d.request(d.config.Base, ldap.ScopeBaseObject, "(objectClass=*)", "1.1"))
		if ldap.IsErrorWithCode(err, ldap.LDAPResultNoSuchObject) {
			return fault.Wrap(err, fault.DirectoryDown, fault.Directory, "the external directory does not have, or show, the base that is configured")
		}
		return err
	})
}

// use lends fn a connection of the server's own account for at most the timeout, and words its error.
func (d *Directory) use(ctx context.Context, fn func(conn *ldap.Conn) error) error {
	ctx, cancel := context.WithTimeout(ctx, d.config.Timeout)
	defer cancel()
	return d.word(d.service.use(ctx, fn))
}

// request is a search that follows no alias.
func (d *Directory) request(base string, scope int, filter string, attributes ...string) *ldap.SearchRequest {
	return ldap.NewSearchRequest(base, scope, ldap.NeverDerefAliases, 0, 0, false, filter, attributes, nil)
}

// word turns an error of the library into a fault; a fault stays what it is.
func (d *Directory) word(err error) error {
	var ours handed
	if errors.As(err, &ours) {
		return ours.error
	}
	if err == nil || fault.As(err) != nil {
		return err
	}
	var e *ldap.Error
	if !errors.As(err, &e) {
		return d.down(err)
	}
	switch e.ResultCode {
	case ldap.LDAPResultInsufficientAccessRights, ldap.LDAPResultStrongAuthRequired, ldap.LDAPResultAuthorizationDenied:
		return fault.Wrap(err, fault.DirectoryRefusedUs, fault.Directory, "the external directory does not let this server's account do that")
	case ldap.LDAPResultSizeLimitExceeded, ldap.LDAPResultTimeLimitExceeded, ldap.LDAPResultAdminLimitExceeded:
		return fault.Wrap(err, fault.DirectoryRefusedUs, fault.Directory, "the external directory's limits for this server's account are too low")
	case ldap.LDAPResultUnwillingToPerform, ldap.LDAPResultReferral:
		return fault.Wrap(err, fault.Unsupported, fault.Directory, "the external directory does not take this change")
	case ldap.LDAPResultEntryAlreadyExists:
		return fault.Wrap(err, fault.Exists, fault.Entity, "the external directory has an entry of this name already")
	case ldap.LDAPResultNoSuchObject:
		return fault.Wrap(err, fault.NotFound, fault.Entity, "the external directory has no such entry")
	case ldap.LDAPResultConstraintViolation, ldap.LDAPResultInvalidAttributeSyntax, ldap.LDAPResultObjectClassViolation,
		ldap.LDAPResultNamingViolation, ldap.LDAPResultInvalidDNSyntax, ldap.LDAPResultUndefinedAttributeType,
		ldap.LDAPResultNotAllowedOnRDN, ldap.LDAPResultNotAllowedOnNonLeaf:
		return fault.Wrap(err, fault.Invalid, fault.Entity, "the external directory does not accept these values")
	}
	return d.down(err)
}

func (d *Directory) down(cause error) error {
	return fault.Wrap(cause, fault.DirectoryDown, fault.Directory, "the external directory does not answer")
}

func readOnly() error {
	return fault.New(fault.Unsupported, fault.Directory, "the external directory is only read: make this change in the directory itself")
}
