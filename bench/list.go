package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/pennypost/pennypost/bench/drive"
	"github.com/pennypost/pennypost/bench/figure"
	"github.com/pennypost/pennypost/bench/peer"
)

// many is a Pennypost of its own, with organisations of very different sizes, that runs only while lists are measured.
type many struct {
	server        *peer.Pennypost
	organizations []organization
}

type organization struct {
	id     string
	users  int
	tokens []string // of pages spread over the whole list; the first is "", the first page
}

// pageSize is the MaxResults of the lists.
const pageSize = 100

// listUsers measures single pages of ListUsers, all over lists of different lengths: the times should not differ.
func listUsers(ctx context.Context, b *bench, t *target, round int) (err error) {
	if t.many == nil {
		if t.many, err = b.seedMany(ctx, t); err != nil {
			return err
		}
	}
	s := t.many.server
	if _, err := s.Start(ctx); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.Stop(ctx)) }()
	for i := range t.many.organizations {
		o := &t.many.organizations[i]
		if o.tokens == nil {
			if err := o.walk(ctx, s); err != nil {
				return err
			}
		}
		name := fmt.Sprintf("list-users-%d", o.users)
		out, err := drive.Closed(ctx, 1, b.scale.pages, b.scale.most, func(ctx context.Context, _ int) (drive.Worker, error) {
			c, err := drive.DialAPI(ctx, s.API())
			return caller{c, "ListUsers", func(i int) any { return listRequest{o.id, pageSize, o.tokens[i%len(o.tokens)]} }}, err
		})
		if err != nil {
			return err
		}
		if out.Failed > 0 {
			return fmt.Errorf("%s: %d pages failed; the first: %w", name, out.Failed, out.FirstFail)
		}
		b.add(round, t.Name(), took(sectionAPI, name, "ms a page, median"), milliseconds(figure.Percentile(out.Latencies, 0.5)))
		b.add(round, t.Name(), took(sectionAPI, name, "ms a page, 99 %"), milliseconds(figure.Percentile(out.Latencies, 0.99)))
	}
	return nil
}

// listRequest is the body of ListUsers.
type listRequest struct {
	OrganizationId string
	MaxResults     int
	NextToken      string `json:",omitempty"`
}

// walk goes through the whole list once, and sees that it has as many users as were made.
func (o *organization) walk(ctx context.Context, s *peer.Pennypost) error {
	c, err := drive.DialAPI(ctx, s.API())
	if err != nil {
		return err
	}
	defer func() { _ = c.Close() }() // nothing hangs on it
	keep := max(1, o.users/pageSize/100)
	token, users := "", 0
	for page := 0; ; page++ {
		if err := ctx.Err(); err != nil {
			return err
		}
		if page%keep == 0 {
			o.tokens = append(o.tokens, token)
		}
		var answer struct {
			Users     []struct{ Id string }
			NextToken string
		}
		if err := c.Make("ListUsers", listRequest{o.id, pageSize, token}, &answer); err != nil {
			return err
		}
		users += len(answer.Users)
		if token = answer.NextToken; token == "" {
			break
		}
	}
	if users != o.users {
		return fmt.Errorf("ListUsers went through %d users of %d", users, o.users)
	}
	return nil
}

// seedMany makes the organisations through the API, and their users while the server is down.
func (b *bench) seedMany(ctx context.Context, t *target) (*many, error) {
	cert, err := peer.NewCertificate(time.Now())
	if err != nil {
		return nil, err
	}
	s, err := b.own(ctx, cert, "many", t.Server.(*peer.Pennypost).Engine()) // only it has lists
	if err != nil {
		return nil, err
	}
	m := &many{server: s}
	if _, err := s.Start(ctx); err != nil {
		return nil, errors.Join(err, s.Stop(ctx))
	}
	for _, n := range b.scale.lists {
		id, _, err := s.NewOrganization(ctx, fmt.Sprintf("many-%d", n))
		if err != nil {
			return nil, errors.Join(err, s.Stop(ctx))
		}
		m.organizations = append(m.organizations, organization{id: id, users: n})
	}
	if err := s.Stop(ctx); err != nil {
		return nil, err
	}
	for _, o := range m.organizations {
		b.say("  making %d users", o.users)
		if err := s.Seed(ctx, o.id, o.users); err != nil {
			return nil, err
		}
	}
	return m, nil
}
