package server

import (
	"fmt"

	"github.com/pennypost/pennypost/internal/config"
	"github.com/pennypost/pennypost/internal/dial"
	"github.com/pennypost/pennypost/internal/directory/ldap"
)

// externalDirectories are the directories of the configuration, by id. Nothing is connected to yet. Each must be closed.
func externalDirectories(c *config.Config, dialer *dial.Dialer) (found map[string]*ldap.Directory, err error) {
	found = map[string]*ldap.Directory{}
	for id, d := range c.Directory {
		schema, err := ldap.Preset(d.Preset)
		if err != nil {
			return nil, fmt.Errorf("directory.%q: %w", id, err)
		}
		for _, override := range []struct{ to, from *string }{{&schema.UserFilter, &d.UserFilter}, {&schema.GroupFilter, &d.GroupFilter}} {
			if *override.from != "" {
				*override.to = *override.from
			}
		}
		for key, name := range d.Attributes {
			if err := schema.Set(key, name); err != nil {
				return nil, fmt.Errorf("directory.%q: %w", id, err)
			}
		}
		password, err := d.BindPassword()
		if err != nil {
			return nil, fmt.Errorf("directory.%q: %w", id, err)
		}
		roots, err := d.TLS()
		if err != nil {
			return nil, fmt.Errorf("directory.%q: %w", id, err)
		}
		wait, err := d.Wait()
		if err != nil {
			return nil, fmt.Errorf("directory.%q: %w", id, err)
		}
		found[id], err = ldap.New(ldap.Config{
			URL: d.URL, TLS: roots, Dial: dialer.DialContext, BindDN: d.BindDN, BindPassword: password,
			Base: d.Base, UserBase: d.UserBase, GroupBase: d.GroupBase, Schema: schema, Writable: d.Writable, Timeout: wait,
		})
		if err != nil {
			return nil, fmt.Errorf("directory.%q: %w", id, err)
		}
	}
	return found, nil
}
