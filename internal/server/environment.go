package server

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"slices"
	"time"
)

// state is what a running server says of itself on the control socket.
type state struct {
	Ready     bool              `json:"ready"`
	Addresses map[string]string `json:"addresses"` // by the setting's key, those that are on
	CAFile    string            `json:"ca_file"`   // empty: clients know whom to trust
	Region    string            `json:"region"`
	Hostname  string            `json:"hostname"`
}

// Environment is what a client on this machine needs to reach the server that holds a data directory.
type Environment struct {
	Endpoint  string // of the API: http://127.0.0.1:8480
	Region    string
	Key       AccessKey
	Addresses map[string]string // host:port by the setting's key: http, imaps …
	CAFile    string            // the certificate to trust; empty where the server's has a public issuer
}

const (
	// stateTimeout is how long the server may take to say what it is: one that was stopped never answers.
	stateTimeout = 5 * time.Second
	// dialTimeout is how long a listener may take to accept.
	dialTimeout = 2 * time.Second
)

// Inspect asks the server that holds dir where it can be reached, and tries every listener. keyID chooses the access key;
// empty means the first administrator's. It fails where no server holds dir, a listener does not accept, or the key is not in
// force.
func Inspect(ctx context.Context, dir, keyID string) (Environment, error) {
	s, err := askState(ctx, dir)
	if errors.Is(err, errNoServer) {
		return Environment{}, fmt.Errorf("no server runs on %s: start one with pennypost serve, or name its directory with --data", dir)
	}
	if err != nil {
		return Environment{}, err
	}
	if !s.Ready {
		return Environment{}, fmt.Errorf("the server on %s is not ready yet", dir)
	}
	for _, key := range slices.Sorted(maps.Keys(s.Addresses)) {
		d := net.Dialer{Timeout: dialTimeout}
		c, err := d.DialContext(ctx, "tcp", s.Addresses[key])
		if err != nil {
			return Environment{}, fmt.Errorf("the server on %s does not accept connections for %s: %w", dir, key, err)
		}
		_ = c.Close() // nothing was said
	}
	e := Environment{Region: s.Region, Addresses: s.Addresses, CAFile: s.CAFile}
	switch {
	case s.Addresses["http"] != "":
		e.Endpoint = "http://" + s.Addresses["http"]
	case s.Addresses["https"] != "":
		e.Endpoint = "https://" + s.Addresses["https"]
	default:
		return Environment{}, fmt.Errorf("the server on %s offers no API: its settings http and https are empty", dir)
	}
	if keyID != "" {
		return e, callControl(ctx, dir, "key-secret", keyRef{keyID}, &e.Key)
	}
	if e.Key, err = ReadAdminKey(dir); err == nil {
		err = callControl(ctx, dir, "key-secret", keyRef{e.Key.ID}, &AccessKey{})
	}
	if err != nil {
		return Environment{}, fmt.Errorf("the first administrator's access key: %w; name another one with --key (pennypost key list or create)", err)
	}
	return e, nil
}

// askState asks the server that holds dir what it is. The error is errNoServer where there is none.
func askState(ctx context.Context, dir string) (s state, err error) {
	asking, cancel := context.WithTimeout(ctx, stateTimeout)
	defer cancel()
	err = callControl(asking, dir, "state", nothing{}, &s)
	if errors.Is(err, context.DeadlineExceeded) && ctx.Err() == nil {
		return s, fmt.Errorf("the server on %s does not answer within %s: is it stopped, as by SIGSTOP?", dir, stateTimeout)
	}
	return s, err
}

// dialable turns the address of a listener into one to connect to: who listens on all addresses is reached on this machine, by IPv4. Go's
// listeners on all addresses take that whether they were given 0.0.0.0 or [::], and call themselves [::] where the machine has no IPv6 too.
func dialable(a net.Addr) string {
	host, port, err := net.SplitHostPort(a.String())
	if err != nil {
		return a.String()
	}
	if ip := net.ParseIP(host); ip != nil && ip.IsUnspecified() {
		host = "127.0.0.1"
	}
	return net.JoinHostPort(host, port)
}
