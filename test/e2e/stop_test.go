package e2e

import (
	"fmt"
	"math/rand/v2"
	"net/smtp"
	"strings"
	"syscall"
	"testing"

	"github.com/pennypost/pennypost/test/harness"
)

// TestStopUnderLoad sends SIGTERM to a server that is at work. It must end with status 0, keep what it acknowledged, tell
// those who wait in IMAP, and answer a message that is half sent for good.
func TestStopUnderLoad(t *testing.T) {
	harness.Engines(t, func(t *testing.T, url string) {
		s := harness.Start(t, harness.Options{DatabaseURL: url})
		org := office(t, s, "crash", "ann", "bob")
		in := &inboxes{of: map[string]*inbox{"ann": {}, "bob": {}}, sent: map[string]*sent{}, stops: true}
		loads := []load{
			&sender{inboxes: in, name: "d1", to: []string{"ann"}},
			&sender{inboxes: in, name: "d2", to: []string{"ann", "bob"}},
			&reader{name: "f1", user: "ann"},
			newAdministrator("a1", org),
		}
		selected := s.IMAP("bob@crash.awsapps.com", password)
		selected.Do("SELECT INBOX")
		half, err := smtp.Dial(s.Addr("smtp"))
		if err != nil {
			t.Fatal(err)
		}
		defer half.Close()
		if err := half.Mail("x@example.com"); err != nil {
			t.Fatal(err)
		}
		if err := half.Rcpt("bob@crash.awsapps.com"); err != nil {
			t.Fatal(err)
		}
		body, err := half.Data()
		if err != nil {
			t.Fatal(err)
		}
		seed := rand.Uint64()
		message := &sent{text: mail("half", rand.New(rand.NewPCG(seed, 0))), to: []string{"bob"}}
		if _, err := fmt.Fprint(body, message.text[:len(message.text)/2]); err != nil {
			t.Fatal(err)
		}

		under(t, s, loads, seed, 0, func() {
			if err := s.Signal(syscall.SIGTERM); err != nil {
				t.Fatal(err)
			}
			if said, bye := selected.Rest(); !bye {
				t.Errorf("a session with a folder open heard %q before the end", said)
			}
			// The server is stopping by now; the message has still a moment.
			_, err := fmt.Fprint(body, message.text[len(message.text)/2:])
			if err == nil {
				err = body.Close()
			}
			message.acknowledged = err == nil
			if err != nil && !strings.HasPrefix(err.Error(), "421 ") {
				t.Errorf("a message that was half sent when the server began to stop: %v, want 250 or 421", err)
			}
			if err := s.Wait(); err != nil {
				t.Errorf("SIGTERM under load: %v", err)
			}
		})
		in.sent["half"] = message
		s.Check()
		s.Start()
		for _, l := range loads {
			l.verify(t, s, true)
		}
		in.verify(t, s, true)
		if _, there := in.of["bob"].uids["half"]; there != message.acknowledged {
			t.Errorf("the message that was half sent is there: %v, and was acknowledged: %v", there, message.acknowledged)
		}
		if t.Failed() {
			t.Logf("seed %d", seed)
		}
	})
}

// TestOneStopInManySignals sends SIGTERM as programs do that send it to their child and to their own group, and the child is in both.
func TestOneStopInManySignals(t *testing.T) {
	t.Parallel()
	s := harness.Start(t, harness.Options{})
	for range 100 { // the server hears of some of them at once, and of some while it stops, well within the second
		if err := s.Signal(syscall.SIGTERM); err != nil {
			break // it has stopped
		}
	}
	if err := s.Wait(); err != nil {
		t.Errorf("a server that was told to stop again and again within a moment: %v", err)
	}
}
