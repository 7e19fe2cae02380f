package flow_test

import (
	"context"
	"strings"
	"sync"
	"testing"

	"github.com/pennypost/pennypost/internal/db"
	"github.com/pennypost/pennypost/internal/directory"
	"github.com/pennypost/pennypost/internal/fault"
	"github.com/pennypost/pennypost/internal/message"
	"github.com/pennypost/pennypost/internal/principal"
	"github.com/pennypost/pennypost/internal/transport/flow"
	"github.com/pennypost/pennypost/internal/transport/transporttest"
)

var admin = transporttest.Admin

func rule(d flow.Direction, name string, a flow.Action) flow.Rule {
	return flow.Rule{Direction: d, Name: name, Action: a, Senders: []string{"*"}, Recipients: []string{"*"}}
}

// acts is the action for anybody's mail, as the transport finds it, and as the operation tells it.
func acts(w *transporttest.World, o *directory.Organization, d flow.Direction) (action flow.Action) {
	w.T.Helper()
	sets, err := w.Flow.Sets(w.T.Context(), d, o.Key)
	w.Must(err)
	if set := sets[o.Key]; !set.Empty() {
		action = set.For(flow.Author{}).Rule(message.Address{Local: "c", Domain: "d.example"}).Action
	}
	r, err := w.Flow.TestRules(w.T.Context(), admin, o.ID, d, "a@b.example", "c@d.example")
	w.Must(err)
	if told := r == nil && action == "" || r != nil && r.Action == action; !told {
		w.T.Errorf("told is %+v, and acting is %s", r, action)
	}
	return action
}

// TestNewRulesActAtOnce: what is in memory is forgotten with each change, and only with those that happen.
func TestNewRulesActAtOnce(t *testing.T) {
	transporttest.OnBoth(t, nil, func(w *transporttest.World) {
		ctx, t := w.T.Context(), w.T
		other := w.Organization("other")
		is := func(what string, want flow.Action) {
			t.Helper()
			if got := acts(w, w.Acme, flow.Inbound); got != want {
				t.Errorf("%s: %q, want %q", what, got, want)
			}
		}
		is("before", "")
		w.Must(w.Flow.CreateRule(ctx, admin, w.Acme.ID, rule(flow.Inbound, "one", flow.Drop)))
		is("made", flow.Drop)
		w.Must(w.Flow.UpdateRule(ctx, admin, w.Acme.ID, rule(flow.Inbound, "ONE", flow.MoveToJunk)))
		is("changed", flow.MoveToJunk)
		if err := w.Flow.UpdateRule(ctx, admin, w.Acme.ID, rule(flow.Inbound, "two", flow.Drop)); !fault.Is(err, fault.NotFound, fault.Resource) {
			t.Error(err)
		}
		if err := w.Flow.CreateRule(ctx, principal.Principal{Kind: principal.User}, w.Acme.ID, rule(flow.Inbound, "two", flow.Drop)); fault.KindOf(err) != fault.Denied {
			t.Error(err)
		}
		is("not changed", flow.MoveToJunk)
		if got := acts(w, other, flow.Inbound) + acts(w, w.Acme, flow.Outbound); got != "" {
			t.Errorf("others have %s", got)
		}
		if !w.Flow.Keeps(flow.Inbound, w.Acme.Key) || !w.Flow.Keeps(flow.Outbound, w.Acme.Key) || !w.Flow.Keeps(flow.Inbound, other.Key) {
			t.Error("they are not in memory")
		}
		w.Must(w.Flow.DeleteRule(ctx, admin, w.Acme.ID, flow.Inbound, " One"))
		if w.Flow.Keeps(flow.Inbound, w.Acme.Key) {
			t.Error("it is in memory still")
		}
		is("deleted", "")
		w.Must(w.Flow.CreateRule(ctx, admin, w.Acme.ID, rule(flow.Inbound, "one", flow.Drop)))
		w.Must(w.Flow.CreateGateway(ctx, admin, w.Acme.ID, flow.Gateway{Name: "g", Host: "relay.example", Port: 25}))
		is("made again", flow.Drop)
		for _, n := range []int{1, 1, 0} {
			w.Write(func(ctx context.Context, tx *db.Tx) error {
				got, err := w.Flow.EraseTx(ctx, tx, w.Acme, 1)
				if got != n {
					t.Errorf("erased %d, want %d", got, n)
				}
				return err
			})
		}
		is("erased", "")
	})
}

// TestOldRulesAreNotKept: whoever reads rules while they change, the next message finds them changed.
func TestOldRulesAreNotKept(t *testing.T) {
	transporttest.OnBoth(t, nil, func(w *transporttest.World) {
		ctx, cancel := context.WithCancel(w.T.Context())
		var readers sync.WaitGroup
		for range 4 {
			readers.Go(func() {
				for ctx.Err() == nil {
					if _, err := w.Flow.Sets(ctx, flow.Inbound, w.Acme.Key); err != nil && ctx.Err() == nil {
						w.T.Error(err)
						return
					}
				}
			})
		}
		w.Must(w.Flow.CreateRule(w.T.Context(), admin, w.Acme.ID, rule(flow.Inbound, "one", flow.Drop)))
		for i := range 100 {
			want := []flow.Action{flow.MoveToJunk, flow.Drop}[i%2]
			w.Must(w.Flow.UpdateRule(w.T.Context(), admin, w.Acme.ID, rule(flow.Inbound, "one", want)))
			if got := acts(w, w.Acme, flow.Inbound); got != want {
				w.T.Errorf("after change %d it does %s, want %s", i, got, want)
			}
		}
		cancel()
		readers.Wait()
	})
}

// TestTestRulesKeepsNothing: its transaction may be older than what is forgotten.
func TestTestRulesKeepsNothing(t *testing.T) {
	transporttest.OnBoth(t, nil, func(w *transporttest.World) {
		_, err := w.Flow.TestRules(w.T.Context(), admin, w.Acme.ID, flow.Inbound, "a@b.example", "c@d.example")
		w.Must(err)
		if w.Flow.Keeps(flow.Inbound, w.Acme.Key) {
			w.T.Error("what it read is in memory")
		}
	})
}

func TestWhatRulesMayBe(t *testing.T) {
	transporttest.OnBoth(t, nil, func(w *transporttest.World) {
		for name, change := range map[string]func(*flow.Rule){
			"no name":                func(r *flow.Rule) { r.Name = " " },
			"a long name":            func(r *flow.Rule) { r.Name = strings.Repeat("ä", 65) },
			"an action of others":    func(r *flow.Rule) { r.Action = flow.RouteToSMTP },
			"no action":              func(r *flow.Rule) { r.Action = "" },
			"a gateway for nothing":  func(r *flow.Rule) { r.Gateway = "g" },
			"no senders":             func(r *flow.Rule) { r.Senders = nil },
			"no recipients":          func(r *flow.Rule) { r.Recipients = nil },
			"a pattern that is none": func(r *flow.Rule) { r.Recipients = []string{"*", "a+b@c.example"} },
		} {
			r := rule(flow.Inbound, "name", flow.Drop)
			change(&r)
			if err := w.Flow.CreateRule(w.T.Context(), admin, w.Acme.ID, r); !fault.Is(err, fault.Invalid, fault.Resource) {
				w.T.Errorf("%s: %v", name, err)
			}
		}
	})
}

// TestGateways: what a route leads to, and that its password stands nowhere in the clear.
func TestGateways(t *testing.T) {
	transporttest.OnBoth(t, nil, func(w *transporttest.World) {
		ctx, t := w.T.Context(), w.T
		g := flow.Gateway{Name: "My Relay", Host: "RELAY.example.", Port: 587, Username: "me", Password: "swordfish"}
		for name, bad := range map[string]flow.Gateway{
			"no port": {Name: "x", Host: "a.example"}, "no host": {Name: "x", Port: 25}, "a zone": {Name: "x", Host: "fe80::1%eth0", Port: 25},
			"a user alone": {Name: "x", Host: "a.example", Port: 25, Username: "u"}, "NUL": {Name: "x", Host: "a.example", Port: 25, Username: "u", Password: "\x00"},
		} {
			if err := w.Flow.CreateGateway(ctx, admin, w.Acme.ID, bad); !fault.Is(err, fault.Invalid, fault.Resource) {
				t.Errorf("%s: %v", name, err)
			}
		}
		w.Must(w.Flow.CreateGateway(ctx, admin, w.Acme.ID, g))
		route := flow.RouteOf(w.Acme.Key, "MY relay")
		first, err := w.Flow.Gateway(ctx, route)
		w.Must(err)
		if first.Host != "relay.example" || first.Port != 587 || first.Username != "me" || first.Password != "swordfish" {
			t.Errorf("it is %+v", first)
		}
		told, err := w.Flow.DescribeGateway(ctx, admin, w.Acme.ID, "my relay")
		w.Must(err)
		if told.Password != "" || told.Name != "My Relay" {
			t.Errorf("told is %+v", told)
		}
		w.Must(w.DB.Read(ctx, func(ctx context.Context, tx *db.Tx) error {
			var sealed []byte
			if err := tx.QueryRow(ctx, `SELECT password FROM flow_gateway`).Scan(&sealed); err != nil {
				return err
			}
			if strings.Contains(string(sealed), "swordfish") {
				t.Error("the password is there to be read")
			}
			return nil
		}))
		r := rule(flow.Outbound, "out", flow.RouteToSMTP)
		r.Gateway = "MY RELAY"
		w.Must(w.Flow.CreateRule(ctx, admin, w.Acme.ID, r))
		if err := w.Flow.DeleteGateway(ctx, admin, w.Acme.ID, "my relay"); !fault.Is(err, fault.State, fault.Resource) {
			t.Errorf("one that is used: %v", err)
		}
		g.Name, g.Username, g.Password = "MY RELAY", "", ""
		w.Must(w.Flow.UpdateGateway(ctx, admin, w.Acme.ID, g))
		second, err := w.Flow.Gateway(ctx, route)
		w.Must(err)
		if second.Password != "" || second.Revision == first.Revision {
			t.Errorf("changed is %+v", second)
		}
		kept, err := w.Flow.DescribeRule(ctx, admin, w.Acme.ID, flow.Outbound, "out")
		w.Must(err)
		if kept.Gateway != "MY RELAY" {
			t.Errorf("the rule is %+v", kept)
		}
		w.Must(w.DB.Read(ctx, func(ctx context.Context, tx *db.Tx) error {
			faults, err := w.Flow.Check(ctx, tx)
			if len(faults) > 0 {
				t.Errorf("faults: %q", faults)
			}
			return err
		}))
		w.Write(func(ctx context.Context, tx *db.Tx) error {
			_, err := tx.Exec(ctx, `DELETE FROM flow_gateway`)
			return err
		})
		w.Must(w.DB.Read(ctx, func(ctx context.Context, tx *db.Tx) error {
			faults, err := w.Flow.Check(ctx, tx)
			if len(faults) != 1 {
				t.Errorf("faults: %q", faults)
			}
			return err
		}))
		for _, route := range []string{route, "relay", "org/x/relay", "org/7", ""} {
			if _, err := w.Flow.Gateway(ctx, route); !fault.Is(err, fault.NotFound, fault.Resource) {
				t.Errorf("the route %q: %v", route, err)
			}
		}
	})
}
