package courier

import (
	"crypto/x509"
	"errors"
	"net/netip"
	"strings"

	"github.com/pennypost/pennypost/internal/transport/route"
)

// Security is how the connection to a gateway is protected.
type Security uint8

// The ways. There is none in which TLS may be missing.
const (
	StartTLS Security = iota
	ImplicitTLS
	Cleartext // to loopback only
)

// Gateway is a server that takes mail for anybody, named by hand.
type Gateway struct {
	Host string // a name, or an IP address, that its certificate bears
	Port uint16
	// Username and Secret sign in; empty ones don't.
	Username, Secret string
	Security         Security
	// SES says that it is Amazon SES: it takes 50 recipients at a time, and its refusals are worded for who doesn't know it.
	SES bool
	// NullSender is the reverse-path of what has none, where the gateway refuses the null one; empty where it doesn't.
	NullSender string
	// Roots judge its certificate; nil for the Courier's.
	Roots *x509.CertPool
	// Dialer reaches it; nil for the Courier's, which is guarded. The operator's own gateway may be in a private network.
	Dialer Dialer
}

// check says what is wrong with a gateway.
func (g *Gateway) check() error {
	switch {
	case g.Host == "" || g.Port == 0:
		return errors.New("it needs a host and a port")
	case (g.Username == "") != (g.Secret == ""):
		return errors.New("a user name and a secret come together")
	case strings.ContainsRune(g.Username+g.Secret, 0):
		return errors.New("a NUL can't be in a user name or a secret")
	case g.Security > Cleartext:
		return errors.New("its security is not known")
	case g.Security == Cleartext && g.Username != "":
		return errors.New("a secret is sent under TLS only")
	case g.Security == Cleartext && !isLoopback(g.Host):
		return errors.New("only a host on loopback (localhost, 127.0.0.1, ::1) can do without TLS")
	}
	return nil
}

func isLoopback(host string) bool {
	a, err := netip.ParseAddr(host)
	return strings.EqualFold(host, "localhost") || err == nil && a.IsLoopback()
}

// target is where the gateway is.
func (g *Gateway) target(name string) target {
	t := target{address: joinPort(g.Host, g.Port), gateway: g, requireOK: g.Security != Cleartext}
	if g.Security != Cleartext {
		t.tls = route.TLS{Level: route.Verified, Names: []string{g.Host}, Roots: g.Roots}
	}
	t.key = keyOf(name, g.Host, g.Port, &t.tls)
	return t
}
