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
			closeAll(open)
			return nil, listenError(c, l, err)
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

// listenError says which setting named the address and which flag changes it.
func listenError(c *config.Config, l config.Listener, err error) error {
	flag := "--" + strings.ReplaceAll(l.Key, "_", "-")
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return fmt.Errorf("%s: %s is taken by another program: give another address with %s, or %s :0 for any free one",
			c.Origin[l.Key], l.Address, flag, flag)
	case errors.Is(err, syscall.EACCES):
		return fmt.Errorf("%s: this user may not listen on %s (ports below 1024 need a privilege): give another address with %s",
			c.Origin[l.Key], l.Address, flag)
	default:
		return fmt.Errorf("%s: can't listen on %s: %w: give another address with %s", c.Origin[l.Key], l.Address, err, flag)
	}
}
