package main

import (
	"context"
	"fmt"

	"github.com/pennypost/pennypost/bench/drive"
	"github.com/pennypost/pennypost/bench/peer"
)

// writeLoads are APPEND, by one user and by sixteen, and LOGIN.
func writeLoads() []load {
	var list []load
	for suffix, n := range concurrency {
		name := "append" + suffix
		list = append(list, load{name: name, run: func(ctx context.Context, b *bench, t *target, round int) error {
			count := b.scale.appends
			if n > 1 {
				count *= 3
			}
			maker := drive.NewMaker(4<<10, fmt.Sprintf("%s.%d", name, round))
			out, err := drive.Closed(ctx, n, count, b.scale.most, func(ctx context.Context, w int) (drive.Worker, error) {
				m, err := t.Endpoint().IMAP(ctx, peer.User(w), 4096)
				return &appender{IMAP: m, maker: maker}, err
			})
			if err != nil {
				return err
			}
			return b.addRate(round, t.Name(), sectionIMAP, name, out, 1, true)
		}})
	}
	for suffix, n := range concurrency {
		name := "login" + suffix
		list = append(list, load{name: name, run: func(ctx context.Context, b *bench, t *target, round int) error {
			count := b.scale.logins
			if n > 1 {
				count *= 3
			}
			out, err := drive.Closed(ctx, n, count, b.scale.most, func(ctx context.Context, _ int) (drive.Worker, error) {
				return signer{ctx, t.Endpoint()}, nil
			})
			if err != nil {
				return err
			}
			return b.addRate(round, t.Name(), sectionIMAP, name, out, 1, true)
		}})
	}
	return list
}

// loginFirst signs users in for the first time since a start, so that no server remembers that the secret was good.
func loginFirst(ctx context.Context, b *bench, t *target, round int) error {
	if _, err := t.restart(ctx); err != nil {
		return err
	}
	out, err := drive.Closed(ctx, 1, min(b.scale.logins, peer.Users), b.scale.most, func(ctx context.Context, _ int) (drive.Worker, error) {
		return signer{ctx, t.Endpoint()}, nil
	})
	if err != nil {
		return err
	}
	return b.addRate(round, t.Name(), sectionIMAP, "login-first", out, 1, true)
}

type appender struct {
	*drive.IMAP
	maker *drive.Maker
	buf   []byte
}

func (a *appender) Do(i int) error {
	a.buf = a.maker.Append(a.buf[:0], i, "someone@elsewhere.example")
	return a.Append("INBOX", a.buf)
}

// signer connects with a TLS handshake, signs in, asks for capabilities and hangs up.
type signer struct {
	ctx context.Context
	e   peer.Endpoint
}

func (s signer) Do(i int) error {
	m, err := s.e.IMAP(s.ctx, peer.User(i), 4096)
	if err != nil {
		return err
	}
	_, err = m.Do("CAPABILITY")
	_ = m.Close() // nothing hangs on it
	return err
}

func (s signer) Close() error { return nil }
