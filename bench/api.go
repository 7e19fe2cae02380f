package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/pennypost/pennypost/bench/drive"
	"github.com/pennypost/pennypost/bench/peer"
)

// apiLoads are calls of the WorkMail API. Users are made in an organisation of their own, which grows from round to round.
func apiLoads() []load {
	var list []load
	for _, n := range []int{1, 16} {
		for _, password := range []bool{false, true} {
			name := createName(n, password)
			list = append(list, load{name: name, api: true, run: func(ctx context.Context, b *bench, t *target, round int) error {
				count := n * b.scale.calls
				if password {
					count = b.scale.hashes
				}
				return createUsers(ctx, b, t, round, name, n, count, password)
			}})
		}
		name := fmt.Sprintf("describe-user-c%d", n)
		list = append(list, load{name: name, api: true, run: func(ctx context.Context, b *bench, t *target, round int) error {
			return describeUsers(ctx, b, t, round, name, n)
		}})
		effect := fmt.Sprintf("access-effect-c%d", n)
		list = append(list, load{name: effect, api: true, run: func(ctx context.Context, b *bench, t *target, round int) error {
			return accessEffects(ctx, b, t, round, effect, n)
		}})
	}
	return append(list, load{name: "list-users", api: true, run: listUsers})
}

func createName(clients int, password bool) string {
	if password {
		return fmt.Sprintf("create-user-password-c%d", clients)
	}
	return fmt.Sprintf("create-user-c%d", clients)
}

// caller makes one call after the other.
type caller struct {
	*drive.APIConn
	operation string
	body      func(i int) any
}

func (c caller) Do(i int) error {
	body, err := json.Marshal(c.body(i))
	if err != nil {
		return err
	}
	_, err = c.Call(c.operation, body)
	return err
}

// calls measures calls by n clients.
func calls(ctx context.Context, b *bench, t *target, round int, name string, n, count int, operation string, body func(i int) any) error {
	api := t.Server.(*peer.Pennypost).API() // only it has one
	out, err := drive.Closed(ctx, n, count, b.scale.most, func(ctx context.Context, _ int) (drive.Worker, error) {
		c, err := drive.DialAPI(ctx, api)
		return caller{c, operation, body}, err
	})
	if err != nil {
		return err
	}
	return b.addRate(round, t.Name(), sectionAPI, name, out, 1, true)
}

// newUser is the body of CreateUser.
type newUser struct {
	OrganizationId, Name, DisplayName string
	Password                          string `json:",omitempty"`
}

func createUsers(ctx context.Context, b *bench, t *target, round int, name string, n, count int, password bool) error {
	org, err := t.apiOrganization(ctx)
	if err != nil {
		return err
	}
	return calls(ctx, b, t, round, name, n, count, "CreateUser", func(i int) any {
		u := newUser{OrganizationId: org, Name: fmt.Sprintf("%s.%d.%d", name, round, i), DisplayName: fmt.Sprintf("User %d", i)}
		if password {
			u.Password = peer.Password
		}
		return u
	})
}

// describeUsers asks for users by name, in an order of no index. It makes the users it asks for.
func describeUsers(ctx context.Context, b *bench, t *target, round int, name string, n int) error {
	const users = 1000
	org, err := t.apiOrganization(ctx)
	if err != nil {
		return err
	}
	if !t.described {
		api := t.Server.(*peer.Pennypost).API() // only it has one
		out, err := drive.Closed(ctx, 16, users, 20*b.scale.most, func(ctx context.Context, _ int) (drive.Worker, error) {
			c, err := drive.DialAPI(ctx, api)
			return caller{c, "CreateUser", func(i int) any {
				return newUser{OrganizationId: org, Name: fmt.Sprintf("described.%d", i), DisplayName: fmt.Sprintf("User %d", i)}
			}}, err
		})
		if err != nil {
			return err
		}
		if out.Done != users {
			return fmt.Errorf("make the users to describe: %w", out.FirstFail)
		}
		t.described = true
	}
	return calls(ctx, b, t, round, name, n, n*b.scale.calls, "DescribeUser", func(i int) any {
		return map[string]string{"OrganizationId": org, "UserId": fmt.Sprintf("described.%d", scattered(i, users)-1)}
	})
}

// accessEffects asks whether a user may sign in, of ten rules, each with three conditions. All of them are judged.
func accessEffects(ctx context.Context, b *bench, t *target, round int, name string, n int) error {
	org, err := t.apiOrganization(ctx)
	if err != nil {
		return err
	}
	if t.ruled == "" {
		if err := t.rule(ctx, org); err != nil {
			return fmt.Errorf("make the access rules: %w", err)
		}
	}
	return calls(ctx, b, t, round, name, n, n*b.scale.calls, "GetAccessControlEffect", func(int) any {
		return map[string]string{"OrganizationId": org, "UserId": t.ruled, "Action": "IMAP", "IpAddress": "10.9.0.1"}
	})
}

// rule makes a user and ten access rules about it, the default one replaced.
func (t *target) rule(ctx context.Context, org string) error {
	c, err := drive.DialAPI(ctx, t.Server.(*peer.Pennypost).API()) // only it has one
	if err != nil {
		return err
	}
	var user struct{ UserId string }
	err = c.Make("CreateUser", newUser{OrganizationId: org, Name: "ruled", DisplayName: "Ruled"}, &user)
	for i := 0; i < 10 && err == nil; i++ {
		rule := map[string]any{
			"OrganizationId": org, "Name": fmt.Sprintf("rule-%d", i), "Effect": "ALLOW", "Description": "One of ten", "UserIds": []string{user.UserId},
			"Actions": []string{"IMAP", "SMTP", "EWS"}, "IpRanges": []string{fmt.Sprintf("10.%d.0.0/16", i), "10.100.0.0/16"},
		}
		if i == 0 {
			rule["Name"] = "default"
		}
		err = c.Make("PutAccessControlRule", rule, nil)
	}
	t.ruled = user.UserId
	return errors.Join(err, c.Close())
}

// apiOrganization is the one in which users are made, made when first asked for.
func (t *target) apiOrganization(ctx context.Context) (string, error) {
	if t.api == "" {
		id, _, err := t.Server.(*peer.Pennypost).NewOrganization(ctx, "api") // only it has one
		if err != nil {
			return "", err
		}
		t.api = id
	}
	return t.api, nil
}
