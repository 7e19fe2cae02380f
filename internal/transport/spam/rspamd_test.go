package spam_test

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pennypost/pennypost/internal/fault"
	"github.com/pennypost/pennypost/internal/mailbox"
	"github.com/pennypost/pennypost/internal/transport/spam"
)

// rspamd answers as its manual has it (Rspamd HTTP protocol): with what a message's X-Says field names.
type rspamd struct {
	*httptest.Server
	mu      sync.Mutex
	asked   []http.Header
	learned []string
	calls   int
	down    bool
	status  int    // of what it is to learn; 0 for 208
	text    string // that comes with it
}

var answers = map[string]string{
	"clean":    `{"is_skipped":false,"score":-0.5,"required_score":15.0,"action":"no action","symbols":{"R_SPF_ALLOW":{"name":"R_SPF_ALLOW","score":-0.2}},"message-id":"x"}`,
	"header":   `{"score":7.25,"required_score":15.0,"action":"add header","symbols":{"BAYES_SPAM":{"score":5.1,"options":["99%"]},"URIBL\r\nX: y":{"score":2.5},"ZERO":{"score":0}},"messages":{}}`,
	"reject":   `{"score":20,"required_score":15,"action":"reject","symbols":{},"messages":{"smtp_message":"Gtube\r\npattern"}}`,
	"greylist": `{"score":4.5,"required_score":15,"action":"greylist","messages":{"smtp_message":"Try again later"}}`,
	"soft":     `{"score":4.5,"required_score":15,"action":"soft reject"}`,
	"strange":  `{"score":4.5,"required_score":15,"action":"dance"}`,
	"error":    `{"error":"no scanner"}`,
	"junk":     `not JSON`,
}

func newRspamd(t *testing.T) *rspamd {
	r := &rspamd{}
	r.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		text, err := io.ReadAll(q.Body)
		r.mu.Lock()
		defer r.mu.Unlock()
		r.calls++
		switch {
		case err != nil || r.down:
			w.WriteHeader(http.StatusServiceUnavailable)
		case q.URL.Path == "/checkv2":
			r.asked = append(r.asked, q.Header)
			_, says, _ := strings.Cut(string(text), "X-Says: ")
			says, _, _ = strings.Cut(says, "\r\n")
			_, _ = io.WriteString(w, answers[says])
		case q.Header.Get("Password") != "secret":
			w.WriteHeader(http.StatusForbidden)
		default:
			r.learned = append(r.learned, q.URL.Path)
			w.WriteHeader(cmp.Or(r.status, http.StatusAlreadyReported))
			_, _ = io.WriteString(w, r.text)
		}
	}))
	t.Cleanup(r.Close)
	return r
}

// TestRspamdJudges shows what becomes of mail by its answers, and without one.
func TestRspamdJudges(t *testing.T) {
	r := newRspamd(t)
	filter := &spam.Rspamd{URL: r.URL, Client: r.Client(), Timeout: 10 * time.Second}
	change := func(o *spam.Options) { o.Rspamd, r.asked = filter, nil }
	onBoth(t, change, func(w *world) {
		ann := w.User("ann")
		w.User("bob")
		send := func(says string, want error) {
			t.Helper()
			err := w.send("X-Says: "+says+"\r\nSubject: x\r\n\r\nbody\r\n", "ann", "bob")
			if got := fault.As(err); (err == nil) != (want == nil) || err != nil && (got == nil || got.Kind != fault.As(want).Kind || got.Message != fault.As(want).Message) {
				t.Errorf("%s: %v, want %v", says, err, want)
			}
		}
		send("clean", nil)
		send("header", nil)
		send("reject", nil)
		filter.Reject = true
		send("reject", fault.New(fault.Denied, fault.Message, "Gtube??pattern"))
		filter.Reject = false
		send("greylist", fault.New(fault.Temporary, fault.Message, "Try again later"))
		send("soft", fault.New(fault.Temporary, fault.Message, "try again later"))
		for _, says := range []string{"strange", "error", "junk"} {
			send(says, nil)
		}
		r.down = true
		send("clean", nil)
		r.down = false
		junk, inbox := w.Junk(ann), w.Inbox(ann)
		if len(junk) != 2 || len(inbox) != 5 {
			t.Fatalf("%d messages are in Junk E-mail and %d in the inbox", len(junk), len(inbox))
		}
		want := "X-Spam-Status: Yes, score=7.2 required=15.0;\r\n\trspamd: add header;\r\n\tBAYES_SPAM +5.1;\r\n\tURIBL??X: y +2.5\r\nX-Spam-Score: 7.2\r\n"
		if !strings.Contains(junk[0].Text, want) {
			t.Errorf("Junk E-mail has\n%s\nwant %s", junk[0].Text, want)
		}
		h := r.asked[0]
		for name, want := range map[string]string{
			"Ip": "192.0.2.7", "Helo": "mx.example", "From": "x@far.example", "Rcpt": "ann@acme.awsapps.com bob@acme.awsapps.com",
		} {
			if got := strings.Join(h.Values(name), " "); got != want {
				t.Errorf("rspamd was told %s: %q, want %q", name, got, want)
			}
		}
		if h.Get("Queue-Id") == "" {
			t.Error("rspamd was told no Queue-Id")
		}
		got, want2 := w.Stats(), spam.Stats{Spam: 2, Pass: 1, Failed: 4, Refused: 1, Deferred: 2, FilterFailures: 4}
		if got != want2 {
			t.Errorf("counted %+v, want %+v", got, want2)
		}
		j, err := w.Judge(t.Context(), spam.Message{Recipients: []spam.Recipient{{Mailbox: 1, Org: 1}}, Bytes: []byte("X-Says: junk\r\n\r\n")})
		if err != nil || j.Verdict(1) != spam.Failed || j.Verdict(2) != "" {
			t.Errorf("without an answer: %q, %v", j.Verdict(1), err)
		}
	})
}

// TestRspamdLearns: moves reach it, also those that were made while it was down, and each user's own filter all the same.
func TestRspamdLearns(t *testing.T) {
	r := newRspamd(t)
	onBoth(t, func(o *spam.Options) {
		r.learned = nil
		o.Rspamd = &spam.Rspamd{Controller: r.URL, Password: "secret", Client: r.Client()}
	}, func(w *world) {
		ann := w.User("ann")
		box := w.box(ann)
		w.deliver("Subject: a\r\n\r\nbody\r\n", "ann")
		r.down = true
		_, err := w.Mailboxes.Move(t.Context(), box, mailbox.InboxID, mailbox.AllUIDs(), mailbox.JunkID)
		w.Must(err)
		if err := w.Train(t.Context(), box); err == nil || !strings.Contains(err.Error(), "could not learn") {
			t.Errorf("while it is down: %v", err)
		}
		if s, _ := w.trained(box); s != 1 {
			t.Error("the user's own filter waits for rspamd")
		}
		r.down = false
		w.learn(box)
		w.move(box, mailbox.JunkID, mailbox.InboxID)
		if want := []string{"/learnspam", "/learnham"}; !slices.Equal(r.learned, want) {
			t.Errorf("it learned %q, want %q", r.learned, want)
		}
		if s, h := w.trained(box); s != 0 || h != 1 {
			t.Errorf("counted as %d, %d", s, h)
		}
	})
}

// TestRspamdLearnsNothingOfAnImport, which has spam and no ham; the mailbox's filter does, and counts once what waits for rspamd.
func TestRspamdLearnsNothingOfAnImport(t *testing.T) {
	r := newRspamd(t)
	onBoth(t, func(o *spam.Options) {
		r.learned = nil
		o.Rspamd = &spam.Rspamd{Controller: r.URL, Password: "secret", Client: r.Client()}
	}, func(w *world) {
		box, c := w.box(w.User("ann")), newCorpus(4)
		asSpam := func() string { return c.message(true) }
		for range 3 {
			w.deliver(asSpam(), "ann")
		}
		r.down = true
		_, err := w.Mailboxes.Move(t.Context(), box, mailbox.InboxID, mailbox.AllUIDs(), mailbox.JunkID)
		w.Must(err)
		if err := w.Train(t.Context(), box); err == nil {
			t.Error("it is not down")
		}
		w.bring(box, mailbox.JunkID, 210, asSpam, 0, time.Hour)
		r.down = false
		w.learn(box)
		if s, _ := w.trained(box); s != 200 || len(r.learned) != 3 {
			t.Errorf("%d are counted as spam, and rspamd learned %d", s, len(r.learned))
		}
	})
}

// TestWhatRspamdDidNotLearnWaits answers with all kinds of statuses: only those of which rspamd's source says that it is done with the
// message end the wait.
func TestWhatRspamdDidNotLearnWaits(t *testing.T) {
	r := newRspamd(t)
	onBoth(t, func(o *spam.Options) {
		client := *r.Client()
		client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
		o.Rspamd = &spam.Rspamd{Controller: r.URL, Password: "secret", Client: &client}
	}, func(w *world) {
		box := w.box(w.User("ann"))
		for _, c := range []struct {
			status int
			text   string
			done   bool
		}{
			{200, `{"success":true}`, true},
			{204, "", true},
			{208, `{"error":"<a@b> has been already learned as spam, ignore it"}`, true},
			{404, `{"error":"<` + strings.Repeat("a", 300) + `@b> has been already learned as spam, ignore it"}`, true},
			{404, `{"error":"no classifiers defined"}`, false},
			{301, "", false},
			{400, "", false},
			{413, "", false},
			{429, "", false},
			{500, "", false},
		} {
			r.status, r.text = c.status, c.text
			w.deliver("Subject: a\r\n\r\nbody\r\n", "ann")
			_, err := w.Mailboxes.Move(t.Context(), box, mailbox.InboxID, mailbox.AllUIDs(), mailbox.JunkID)
			w.Must(err)
			err = w.Train(t.Context(), box)
			if n := w.number(`SELECT COUNT(*) FROM spam_pending`); (err == nil) != c.done || (n == 0) != c.done {
				t.Errorf("%d %s: %v, and %d messages wait", c.status, c.text, err, n)
			}
			r.status, r.text = 0, ""
			w.learn(box)
		}
	})
}

// TestRspamdThatIsDownIsAskedOnce: all messages are counted, and one call is waited for; one that it doesn't want keeps no other from it.
func TestRspamdThatIsDownIsAskedOnce(t *testing.T) {
	r := newRspamd(t)
	onBoth(t, func(o *spam.Options) {
		o.Rspamd = &spam.Rspamd{Controller: r.URL, Password: "secret", Client: r.Client()}
	}, func(w *world) {
		box := w.box(w.User("ann"))
		for range 3 {
			w.deliver("Subject: a\r\n\r\nbody\r\n", "ann")
		}
		_, err := w.Mailboxes.Move(t.Context(), box, mailbox.InboxID, mailbox.AllUIDs(), mailbox.JunkID)
		w.Must(err)
		train := func(calls int) {
			t.Helper()
			r.calls = 0
			err := w.Train(t.Context(), box)
			if s, _ := w.trained(box); err == nil || s != 3 || r.calls != calls {
				t.Errorf("%v, %d messages are counted, %d calls", err, s, r.calls)
			}
		}
		r.down = true
		train(1)
		train(1)
		r.down, r.status = false, http.StatusRequestEntityTooLarge
		train(3)
		r.status = 0
		w.learn(box)
		if n := w.number(`SELECT COUNT(*) FROM spam_pending`); n > 0 {
			t.Errorf("%d messages wait", n)
		}
	})
}

func FuzzParseAnswer(f *testing.F) {
	for _, a := range answers {
		f.Add([]byte(a))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		for _, reject := range []bool{false, true} {
			o, err := spam.ParseAnswer(b, reject)
			if (o == nil) == (err == nil) {
				t.Fatalf("%+v, %v", o, err)
			}
			if err != nil && strings.ContainsAny(err.Error(), "\r\n") && !isSyntax(err) {
				t.Errorf("%q", err)
			}
			if fields := o.Fields(); strings.Count(fields, "\r\n") != strings.Count(fields, "\n") || len(fields) > 3000 || strings.Contains(fields, "\r\n\r\n") {
				t.Errorf("%q", fields)
			}
		}
	})
}

// isSyntax reports whether an error is of package json, which quotes what it was given.
func isSyntax(err error) bool { return fault.As(err) == nil && errors.Unwrap(err) != nil }

func BenchmarkJudge(b *testing.B) {
	for _, trained := range []bool{false, true} {
		b.Run(fmt.Sprintf("trained=%v", trained), func(b *testing.B) {
			w := onSQLite(b)
			ann := w.User("ann")
			box, c := w.box(ann), newCorpus(7)
			if trained {
				for range 100 {
					w.deliver(c.message(true), "ann")
				}
				w.move(box, mailbox.InboxID, mailbox.JunkID)
				for range 100 {
					w.deliver(c.message(false), "ann")
				}
				w.mark(box, mailbox.InboxID, mailbox.NotJunk)
				w.learn(box)
			}
			text := []byte(c.message(false))
			m := spam.Message{Client: w.clientOf(), Verdict: w.Check(context.Background(), w.clientOf(), nil), Recipients: []spam.Recipient{{Mailbox: box, Org: w.Acme.Key}}, Bytes: text}
			b.SetBytes(int64(len(text)))
			for b.Loop() {
				if _, err := w.Judge(b.Context(), m); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
