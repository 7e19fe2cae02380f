package e2e

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"flag"
	"fmt"
	"math/rand/v2"
	"net/smtp"
	"strings"
	"sync"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/workmail"

	"github.com/pennypost/pennypost/test/harness"
)

var rounds = flag.Int("rounds", 3, "how often TestKill kills the server on each engine; make soak asks for many more")

// TestKill kills the server with SIGKILL in the middle of deliveries, appends and API writes, again and again on the same
// store. After each crash the store must be consistent, everything acknowledged must be there, once and whole, and nothing
// may be there in part.
func TestKill(t *testing.T) {
	harness.Engines(t, func(t *testing.T, url string) {
		seed := rand.Uint64()
		t.Logf("seed %d", seed)
		chance := rand.New(rand.NewPCG(seed, 0))
		s := harness.Start(t, harness.Options{DatabaseURL: url})
		org := office(t, s, "crash", "ann")
		ledger := &ledger{messages: map[string]bool{}, users: map[string]string{}}
		for round := range *rounds {
			ledger.work(t, s, org, round, 20+chance.IntN(100))
			s.Check()
			s.Start()
			ledger.verify(t, s, org)
		}
	})
}

// ledger is what the server has acknowledged.
type ledger struct {
	mu       sync.Mutex
	messages map[string]bool   // by their sum
	users    map[string]string // id by name
	count    int               // in this round
	enough   func()            // kills the server
	limit    int
}

// acknowledged writes down one success, and kills the server when there are as many as the round asks for.
func (l *ledger) acknowledged(record func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	record()
	if l.count++; l.count == l.limit {
		l.enough()
	}
}

// work writes from several sides at once until the server is killed at the limit-th success.
func (l *ledger) work(t *testing.T, s *harness.Server, org string, round, limit int) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	l.count, l.limit = 0, limit
	killed := make(chan struct{})
	l.enough = func() { close(killed) }
	var workers sync.WaitGroup
	for i := range 4 {
		workers.Go(func() { l.deliver(s.Addr("smtp"), fmt.Sprintf("r%d-d%d", round, i)) })
	}
	for i := range 2 {
		workers.Go(func() { l.createUsers(ctx, s.WorkMail(), org, fmt.Sprintf("r%d-u%d", round, i)) })
	}
	<-killed
	s.Kill()
	cancel()
	workers.Wait() // each has met its broken connection
}

// message makes a message that names the sum of its body.
func message(name string, size int) (sum, text string) {
	body := strings.Repeat(name+" and so on\r\n", 1+size/(len(name)+12))
	digest := sha256.Sum256([]byte(body))
	sum = hex.EncodeToString(digest[:])
	return sum, "From: x@example.com\r\nTo: ann@crash.awsapps.com\r\nSubject: " + name + "\r\nX-Sum: " + sum + "\r\n\r\n" + body
}

// deliver hands in one message after the other until the connection breaks. Each eighth is larger than what is kept in the
// database.
func (l *ledger) deliver(address, name string) {
	c, err := smtp.Dial(address)
	if err != nil {
		return
	}
	defer c.Close()
	for i := 0; ; i++ {
		size := 500
		if i%8 == 7 {
			size = 200_000
		}
		sum, text := message(fmt.Sprintf("%s-%d", name, i), size)
		if c.Mail("x@example.com") != nil || c.Rcpt("ann@crash.awsapps.com") != nil {
			return
		}
		w, err := c.Data()
		if err != nil {
			return
		}
		if _, err := w.Write([]byte(text)); err != nil || w.Close() != nil {
			return
		}
		l.acknowledged(func() { l.messages[sum] = true })
	}
}

func (l *ledger) createUsers(ctx context.Context, api *workmail.Client, org, prefix string) {
	for i := 0; ; i++ {
		name := fmt.Sprintf("%s-%d", prefix, i)
		out, err := api.CreateUser(ctx, &workmail.CreateUserInput{OrganizationId: &org, Name: &name, DisplayName: &name})
		if err != nil {
			return
		}
		if _, err := api.RegisterToWorkMail(ctx, &workmail.RegisterToWorkMailInput{
			OrganizationId: &org, EntityId: out.UserId, Email: aws.String(name + "@crash.awsapps.com"),
		}); err != nil {
			return
		}
		l.acknowledged(func() { l.users[name] = aws.ToString(out.UserId) })
	}
}

// verify compares what the restarted server has with what was acknowledged.
func (l *ledger) verify(t *testing.T, s *harness.Server, org string) {
	t.Helper()
	found := map[string]int{}
	imap := s.IMAP("ann@crash.awsapps.com", password)
	imap.Do("SELECT INBOX")
	for _, line := range imap.Do("FETCH 1:* (BODY.PEEK[])") {
		head, body, ok := strings.Cut(line, "\r\n\r\n")
		_, sum, named := strings.Cut(head, "X-Sum: ")
		if !ok || !named {
			continue
		}
		sum, _, _ = strings.Cut(sum, "\r\n")
		body = strings.TrimSuffix(body, ")")
		if digest := sha256.Sum256([]byte(body)); hex.EncodeToString(digest[:]) != sum {
			t.Errorf("a message is there in part: %d bytes of body do not have the sum %s", len(body), sum)
		}
		found[sum]++
	}
	for sum := range l.messages {
		if found[sum] == 0 {
			t.Errorf("an acknowledged message is missing: %s", sum)
		}
	}
	for sum, n := range found {
		if n != 1 {
			t.Errorf("message %s is there %d times", sum, n)
		}
	}
	users := map[string]string{}
	pages := workmail.NewListUsersPaginator(s.WorkMail(), &workmail.ListUsersInput{OrganizationId: &org})
	for pages.HasMorePages() {
		page, err := pages.NextPage(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, u := range page.Users {
			if u.State == "ENABLED" {
				users[aws.ToString(u.Name)] = aws.ToString(u.Id)
			}
		}
	}
	for name, id := range l.users {
		if users[name] != id {
			t.Errorf("the acknowledged user %s is %q, want %s, enabled", name, users[name], id)
		}
	}
	t.Logf("%d messages and %d users acknowledged, %d and %d there", len(l.messages), len(l.users), len(found), len(users))
}
