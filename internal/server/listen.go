package server

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"syscall"

	"github.com/pennypost/pennypost/internal/config"
)

// listen opens every address of the configuration, or none. The listeners are by their setting's key.
func listen(ctx context.Context, c *config.Config) (map[string]net.Listener, error) {
	open := map[string]net.Listener{}
	for _, l := range c.Listeners() {
		listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", l.Address)
		if err != nil {
			err = listenError(c, l, open, err)
			closeAll(open)
			return nil, err
		}
		open[l.Key] = listener
	}
	return open, nil
}

func closeAll(listeners map[string]net.Listener) {
	for _, l := range listeners {
		_ = l.Close() // it served nobody, or its server has reported what it had to
	}
}

// listenError says which setting named the address and which flag changes it. open are the listeners that are open already.
func listenError(c *config.Config, l config.Listener, open map[string]net.Listener, err error) error {
	flag := flagOf(l.Key)
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		for _, o := range c.Listeners() {
			if other := open[o.Key]; other != nil && overlap(err, other.Addr()) {
				return fmt.Errorf("%s: %s is taken by the setting %s, which is %s (%s): give another address with %s or %s",
					c.Origin[l.Key], l.Address, o.Key, o.Address, c.Origin[o.Key], flag, flagOf(o.Key))
			}
		}
		return fmt.Errorf("%s: %s is taken by another program: give another address with %s, or %s :0 for any free one",
			c.Origin[l.Key], l.Address, flag, flag)
	case errors.Is(err, syscall.EACCES):
		return fmt.Errorf("%s: this user may not listen on %s (ports below 1024 need a privilege): give another address with %s",
			c.Origin[l.Key], l.Address, flag)
	default:
		return fmt.Errorf("%s: can't listen on %s: %w: give another address with %s", c.Origin[l.Key], l.Address, err, flag)
	}
}

func flagOf(key string) string { return "--" + strings.ReplaceAll(key, "_", "-") }

// overlap reports whether the address that could not be listened on is one of an open listener's. One on all addresses, of either IP
// version, takes those of both.
func overlap(failed error, open net.Addr) bool {
	var e *net.OpError
	if !errors.As(failed, &e) {
		return false
	}
	a, ok := e.Addr.(*net.TCPAddr)
	b, tcp := open.(*net.TCPAddr)
	return ok && tcp && a.Port == b.Port && (a.IP.IsUnspecified() || b.IP.IsUnspecified() || a.IP.Equal(b.IP))
}
