package e2e

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/workmail"
	"github.com/aws/aws-sdk-go-v2/service/workmail/types"
	"github.com/miekg/dns"

	"github.com/pennypost/pennypost/internal/dns/dnstest"
	"github.com/pennypost/pennypost/test/harness"
)

var letters = flag.Int("letters", 240, "how many messages TestDay sends on each engine; make soak asks for tens of thousands")

const hours = 24

// day is a day of a small company: what it sends and gets in 24 hours, with what goes wrong in each.
type day struct {
	t       *testing.T
	s       *harness.Server
	seed    uint64
	letters []*missive
	byToken map[string]*missive
	world   *world
	names   *dnstest.Server
	clients []*client
	events  string // file of the log group

	// up is held by those who connect, and by who restarts the server.
	up           sync.RWMutex
	kills, stops int

	seen
}

// TestDay replays a day of a small company: messages of many shapes go in and out while names can't be looked up, other servers are slow,
// moody or away, and the server is stopped and killed. In the evening each recipient of each message that was taken has come to exactly
// one end, which the events of its mail tell under one trace id; what was refused is nowhere, and what got no answer is there as a whole or
// not at all.
func TestDay(t *testing.T) {
	harness.Engines(t, func(t *testing.T, url string) {
		t.Parallel()
		d := &day{t: t, seed: *seed, byToken: map[string]*missive{}}
		if d.seed == 0 {
			d.seed = rand.Uint64()
		}
		t.Logf("-seed %d draws the same lots again", d.seed)
		d.open(url)
		for n := range *letters {
			l, _ := d.compose(n)
			d.letters = append(d.letters, l)
			d.byToken[l.token] = l
		}
		d.pass()
		d.settle()
		d.account()
		d.s.Check()
	})
}

// open starts the office and the outside.
func (d *day) open(url string) {
	t := d.t
	d.names = dnstest.New(t)
	d.world = newWorld(d)
	dir := t.TempDir()
	d.events = filepath.Join(dir, "mail.jsonl")
	config := filepath.Join(dir, "pennypost.toml")
	if err := os.WriteFile(config, fmt.Appendf(nil, "[log_group.%q]\nkind = \"file\"\npath = %q\n", logGroup("day"), d.events), 0o600); err != nil {
		t.Fatal(err)
	}
	d.s = harness.Start(t, harness.Options{DatabaseURL: url, Flags: append(
		outside(t, d.names, d.world.port), "--config", config, "--hostname", "mail.ours.example", "--trusted-proxies", "127.0.0.2",
		"--limit-address-messages", "0", "--limit-address-recipients", "0", "--limit-address-connects", "0",
	)})
	ours := company(t, d.s, "ours", "ours.example", "ann", "bob", "cem", "full")
	sister := office(t, d.s, "sister", "dora")
	api, ctx := d.s.WorkMail(), t.Context()
	for _, org := range []string{ours, sister} {
		must(api.PutEmailMonitoringConfiguration(ctx, &workmail.PutEmailMonitoringConfigurationInput{OrganizationId: &org, LogGroupArn: aws.String(logGroup("day"))}))(t)
	}
	alias := func(id *string, address string) {
		must(api.CreateAlias(ctx, &workmail.CreateAliasInput{OrganizationId: &ours, EntityId: id, Alias: &address}))(t)
	}
	register := func(id *string, address string) {
		must(api.RegisterToWorkMail(ctx, &workmail.RegisterToWorkMailInput{OrganizationId: &ours, EntityId: id, Email: &address}))(t)
	}
	group := func(name string, members ...*string) *string {
		g := must(api.CreateGroup(ctx, &workmail.CreateGroupInput{OrganizationId: &ours, Name: &name}))(t)
		register(g.GroupId, name+"@ours.example")
		for _, m := range members {
			must(api.AssociateMemberToGroup(ctx, &workmail.AssociateMemberToGroupInput{OrganizationId: &ours, GroupId: g.GroupId, MemberId: m}))(t)
		}
		return g.GroupId
	}
	user := func(name string) *string { return entity(t, d.s, ours, name) }
	alias(user("ann"), "a.nn@ours.example")
	rem := must(api.CreateUser(ctx, &workmail.CreateUserInput{OrganizationId: &ours, Name: aws.String("rem"), DisplayName: aws.String("Rem"), Role: types.UserRoleRemoteUser}))(t).UserId
	register(rem, "rem@good.example")
	alias(rem, "rem@ours.example")
	group("staff", group("team", user("ann"), user("bob"), rem), user("cem"))
	group("everyone", user("ann"), user("full"))
	leaveNoRoom(t, d.s, ours)
	for _, r := range []struct{ direction, name, action, from, to string }{
		{"Inbound", "drop", "DROP", "drop.example", "*"},
		{"Inbound", "bounce", "BOUNCE", "bounce.example", "ann@ours.example"},
		{"Inbound", "junk", "MOVE_TO_JUNK", "junk.example", "*"},
		{"Outbound", "drop", "DROP", "*", "dropped.example"},
		{"Outbound", "bounce", "BOUNCE", "*", "blocked.example"},
	} {
		d.s.Own("Create"+r.direction+"MailFlowRule", map[string]any{
			"OrganizationId": ours, "Name": r.name, "Action": r.action, "SenderPatterns": []string{r.from}, "RecipientPatterns": []string{r.to},
		})
	}
	trust := d.s.TLS()
	for _, name := range []string{"ann", "bob", "cem"} {
		d.clients = append(d.clients, &client{day: d, user: name + "@ours.example", tls: trust})
	}
	d.clients = append(d.clients, &client{day: d}, &client{day: d, proxied: true})
}

// leaveNoRoom fills the mailbox of the user full.
func leaveNoRoom(t *testing.T, s *harness.Server, org string) {
	t.Helper()
	must(s.WorkMail().UpdateMailboxQuota(t.Context(), &workmail.UpdateMailboxQuotaInput{
		OrganizationId: &org, UserId: entity(t, s, org, "full"), MailboxQuota: aws.Int32(1),
	}))(t)
	c := s.IMAP("full@ours.example", password)
	defer c.Close()
	for size := 200_000; size > 0; {
		text := "Subject: old\r\n\r\n" + strings.Repeat("x", size)
		_, status, err := c.Try(fmt.Sprintf("APPEND INBOX {%d+}\r\n%s", len(text), text))
		if err != nil {
			t.Fatal(err)
		}
		if !strings.HasPrefix(status, "OK") {
			size /= 4
		}
	}
}

// pass lets the hours go by.
func (d *day) pass() {
	lots := rand.New(rand.NewPCG(d.seed, 1<<40))
	restarts := map[int]bool{} // by hour, whether by SIGKILL
	for i, hour := range lots.Perm(hours)[:max(2, min(hours, len(d.letters)/1000))] {
		restarts[hour] = i%2 == 0
	}
	for hour := range hours {
		d.fail(lots)
		mine := d.letters[hour*len(d.letters)/hours : (hour+1)*len(d.letters)/hours]
		kill, restart := restarts[hour]
		d.hour(mine, restart, kill, 1+lots.IntN(max(1, len(mine))), time.Duration(lots.IntN(5000))*time.Microsecond)
		if lots.IntN(4) == 0 {
			d.queue("retry", "--all")
		}
		if d.t.Failed() {
			d.t.FailNow()
		}
	}
}

// fail draws what does not work for an hour.
func (d *day) fail(lots *rand.Rand) {
	d.names.FailAll(0)
	d.names.Repair("dark.example", dns.TypeMX)
	switch lots.IntN(5) {
	case 0:
		d.names.FailAll(dns.RcodeServerFailure)
	case 1:
		d.names.Fail("dark.example", dns.TypeMX, dns.RcodeServerFailure)
	case 2:
		d.names.Silence("dark.example", dns.TypeMX)
	}
	d.world.host("away.example").open(lots.IntN(2) == 0)
}

// hour hands in letters, and restarts the server soon after some of them.
func (d *day) hour(mine []*missive, restart, kill bool, after int, later time.Duration) {
	var done atomic.Int64
	reached := make(chan struct{})
	var working sync.WaitGroup
	for _, c := range d.clients {
		working.Go(func() {
			for _, l := range mine {
				if l.by != c {
					continue
				}
				c.hand(l)
				if int(done.Add(1)) == after {
					close(reached)
				}
			}
		})
	}
	if restart && len(mine) > 0 {
		<-reached
		<-time.After(later) // not just behind an answer: anywhere in what follows
		d.up.Lock()
		if kill {
			d.s.Kill()
			d.kills++
			d.world.epoch.Add(1)
		} else {
			d.s.Stop()
			d.stops++
		}
		d.s.Start()
		d.up.Unlock()
	}
	working.Wait()
}

// queue changes what waits, if anything does.
func (d *day) queue(args ...string) {
	if r := d.s.Verb(append([]string{"queue"}, args...)...); r.Status > 1 {
		d.t.Fatal(r)
	}
}

// settle makes all well again and lets the queue run empty, by an operator who does not wait for the hours between attempts.
func (d *day) settle() {
	d.names.FailAll(0)
	d.names.Repair("dark.example", dns.TypeMX)
	d.world.host("away.example").open(true)
	d.world.calm.Store(true)
	const perEntry = 100 * time.Millisecond // for slow ones
	for end, least := time.Now().Add(time.Minute), -1; ; {
		// Who never takes anything has its mail dropped, and the senders told.
		d.queue("drop", "--domain", "never.example", "--bounce")
		list := strings.TrimSpace(d.s.Verb("queue", "list", "--json").Stdout)
		if list == "" {
			return
		}
		waiting := strings.Count(list, "\n") + 1
		if least < 0 || waiting < least {
			least, end = waiting, time.Now().Add(time.Minute+perEntry*time.Duration(waiting))
		}
		if time.Now().After(end) {
			d.t.Fatalf("%d entries stay in the queue:\n%.3000s", waiting, list)
		}
		d.queue("retry", "--all")
	}
}

// dial connects to a listener, by a proxy or not.
func (d *day) dial(listener string, proxied bool) (net.Conn, error) {
	var from net.Dialer
	if proxied {
		from.LocalAddr = &net.TCPAddr{IP: net.IPv4(127, 0, 0, 2)}
	}
	conn, err := from.Dial("tcp", d.s.Addr(listener))
	if err != nil {
		return nil, err
	}
	if proxied {
		_, err = fmt.Fprintf(conn, "PROXY TCP4 192.0.2.1 192.0.2.99 4000 25\r\n")
	}
	return conn, err
}
