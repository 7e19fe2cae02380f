package ses

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/minio/minio-go/v7"

	"github.com/pennypost/pennypost/internal/blob/blobtest"
	"github.com/pennypost/pennypost/internal/db"
	"github.com/pennypost/pennypost/internal/dial"
	"github.com/pennypost/pennypost/internal/directory"
	"github.com/pennypost/pennypost/internal/job"
	"github.com/pennypost/pennypost/internal/message/dkim"
	"github.com/pennypost/pennypost/internal/policy"
	"github.com/pennypost/pennypost/internal/transport"
	"github.com/pennypost/pennypost/internal/transport/mailauth"
	"github.com/pennypost/pennypost/internal/transport/transporttest"
)

// checker says of every message that SPF passes, but for those of forged.example, and of dmarc.example, whose owner has them refused.
type checker struct {
	mu    sync.Mutex
	asked []mailauth.Client
}

func (c *checker) Check(_ context.Context, client mailauth.Client, _ []byte) *mailauth.Verdict {
	c.mu.Lock()
	c.asked = append(c.asked, client)
	c.mu.Unlock()
	v := &mailauth.Verdict{Client: client, SPF: mailauth.Outcome{Result: dkim.Pass, Domain: client.From.Domain}}
	switch client.From.Domain {
	case "dmarc.example":
		p := mailauth.PolicyReject
		v.DMARC = mailauth.DMARC{Result: dkim.Fail, From: "dmarc.example", Domain: "dmarc.example", Policy: p, Record: &mailauth.Record{Policy: p}}
		fallthrough
	case "forged.example":
		v.SPF.Result = dkim.Fail
	}
	return v
}

func loopback() *dial.Dialer {
	return dial.New(nil, []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")})
}

// office is a server with a bucket.
type office struct {
	*transporttest.World
	t        testing.TB
	s        *Service
	from     *source
	checked  *checker
	ann, bob directory.EntityID
}

func onBoth(t *testing.T, change func(*Source), fn func(o *office)) {
	t.Helper()
	t.Setenv("AWS_ACCESS_KEY_ID", "") // the source's own are used
	checked := &checker{}
	transporttest.OnBoth(t, func(o *transport.Options) { o.Auth = checked }, func(w *transporttest.World) {
		t := w.T
		secret := filepath.Join(t.TempDir(), "secret")
		w.Must(os.WriteFile(secret, []byte("test\n"), 0o600))
		from := Source{
			URL:         "s3://" + blobtest.MotoBucket(t) + "/in?" + url.Values{"endpoint": {blobtest.Moto(t)}, "path_style": {"true"}, "region": {"us-east-1"}}.Encode(),
			AccessKeyID: "test", SecretAccessKeyFile: secret,
		}
		if change != nil {
			change(&from)
		}
		s, err := New(Options{
			DB: w.DB, Mail: w.Transport, Clock: w.Clock, Log: slog.New(slog.NewTextHandler(t.Output(), nil)),
			Dialer: loopback(), Hostname: "mail.acme.example", MaxMessage: 10_000, Spool: t.TempDir(),
			Sources: map[string]Source{"here": from},
		})
		w.Must(err)
		o := &office{World: w, t: w.T, s: s, from: s.sources["here"], checked: checked}
		o.ann, o.bob = w.User("ann"), w.User("bob")
		w.Write(func(ctx context.Context, tx *db.Tx) error {
			return w.Policy.PutMonitoringTx(ctx, tx, w.Acme, policy.Monitoring{LogGroup: transporttest.LogGroup})
		})
		fn(o)
	})
}

// put puts an object as SES does; to is the clause of its recipient.
func (o *office) put(key, from, to, text string) {
	o.t.Helper()
	if to != "" {
		to = "for " + to
	}
	top := strings.Replace(onTop, "\r\n FOR", "\r\n "+to, 1)
	o.object(key, "Return-Path: <"+from+">\r\n"+top+"From: "+from+"\r\n"+text, nil)
}

func (o *office) object(key, text string, metadata map[string]string) {
	o.t.Helper()
	_, err := o.from.client.Client.PutObject(o.t.Context(), o.from.bucket, key, strings.NewReader(text), int64(len(text)), minio.PutObjectOptions{UserMetadata: metadata})
	o.Must(err)
}

// open opens another source, below a prefix of the bucket.
func (o *office) open(name, prefix string) *source {
	o.t.Helper()
	from := o.from.Source
	from.URL = strings.Replace(from.URL, "/in?", "/"+prefix+"?", 1)
	opened, err := open(name, from, &o.s.Options)
	o.Must(err)
	o.s.sources[name] = opened
	return opened
}

// keys are those of all objects.
func (o *office) keys() (list []string) {
	o.t.Helper()
	for i := range o.from.client.ListObjectsIter(o.t.Context(), o.from.bucket, minio.ListObjectsOptions{Recursive: true}) {
		o.Must(i.Err)
		list = append(list, i.Key)
	}
	return list
}

// run lets the service work until no object waits.
func (o *office) run() {
	o.t.Helper()
	ctx, cancel := context.WithCancel(o.t.Context())
	o.Must(o.s.Start(ctx))
	runner := job.NewRunner(o.DB, o.Clock, o.s.Log)
	o.s.Handle(runner)
	ended := make(chan error, 1)
	go func() { ended <- runner.Run(ctx) }()
	o.until("no object waits", func() bool {
		jobs, err := job.List(ctx, o.DB, 0, 100)
		o.Must(err)
		return !slices.ContainsFunc(jobs, func(j job.Pending) bool {
			return j.Kind == objectKind || j.Kind == listKind && !j.Due.After(o.Clock.Now())
		})
	})
	cancel()
	o.Must(<-ended)
}

func (o *office) until(what string, holds func() bool) {
	o.t.Helper()
	for end := time.Now().Add(time.Minute); !holds(); {
		if time.Now().After(end) {
			o.t.Fatalf("it never came to this: %s", what)
		}
		select {
		case <-o.t.Context().Done():
			o.t.Fatal(what)
		case <-time.After(2 * time.Millisecond):
		}
	}
}

func (o *office) want(what string, got, want any) {
	o.t.Helper()
	if g, w := fmt.Sprint(got), fmt.Sprint(want); g != w {
		o.t.Errorf("%s: %s, want %s", what, g, w)
	}
}

// TestObjectsBecomeMessages once, wherever they lead, and whatever becomes of them is told.
func TestObjectsBecomeMessages(t *testing.T) {
	onBoth(t, nil, func(o *office) {
		o.put("in/AMAZON_SES_SETUP_NOTIFICATION", "ses@amazon.example", "ann@acme.awsapps.com", "\r\nhello\r\n")
		o.put("in/1", "x@far.example", "ann@acme.awsapps.com", "To: bob@acme.awsapps.com\r\nSubject: one\r\n\r\nhi\n")
		o.put("in/2", "x@far.example", "", "To: bob@acme.awsapps.com, ann@acme.awsapps.com, y@far.example\r\nSubject: two\r\n\r\nhi\r\n")
		o.run()
		got := o.Inbox(o.ann)
		o.want("ann's messages", len(got), 2)
		o.want("bob's messages", len(o.Inbox(o.bob)), 1)
		text := got[slices.IndexFunc(got, func(m transporttest.Message) bool { return strings.Contains(m.Text, "Subject: one") })].Text
		for _, want := range []string{
			"Return-Path: <x@far.example>\r\nDelivered-To: ann@acme.awsapps.com\r\nAuthentication-Results: mail.acme.awsapps.com;", "spf=pass smtp.mailfrom=x@far.example",
			"Received: from Amazon.SES\r\n\tby mail.acme.example with HTTP id 1;\r\n\t", "\r\nReceived: from mail-ot1-f45.google.com", "\r\nhi\r\n",
		} {
			if !strings.Contains(text, want) {
				t.Errorf("no %q in\n%s", want, text)
			}
		}
		if strings.Count(text, "Return-Path:") != 1 {
			t.Errorf("SES's Return-Path stays in\n%s", text)
		}
		o.want("where it came from", o.checked.asked[0].Address, "209.85.210.45")
		o.want("objects", o.keys(), "[delivered/1 delivered/2 delivered/AMAZON_SES_SETUP_NOTIFICATION]")

		// Spam goes to Junk E-mail, as SES's word is; a second look finds nothing that was there before.
		o.object("in/3", "Return-Path: <x@far.example>\n"+strings.NewReplacer("Spam-Verdict: PASS", "Spam-Verdict: FAIL", "FOR", "for bob@acme.awsapps.com", "\r\n", "\n").Replace(onTop)+"From: x@far.example\n\nbuy\n", nil)
		o.run()
		o.want("bob's messages", fmt.Sprint(len(o.Inbox(o.bob)), len(o.Junk(o.bob))), "1 1")
		o.want("ann's messages", len(o.Inbox(o.ann)), 2)
		stats := o.s.Stats()
		o.want("counted", fmt.Sprint(stats.Found, stats.Delivered, stats.Gone, stats.Aside), "4 3 0 map[]")
	})
}

// TestWhatCantBeDelivered is set aside, and told: to the organisation, and to a sender who is proven.
func TestWhatCantBeDelivered(t *testing.T) {
	onBoth(t, nil, func(o *office) {
		o.SetQuota(o.bob, 1)
		body := "Subject: lost\r\n\r\nhi\r\n"
		o.put("in/unknown", "ann@acme.awsapps.com", "nobody@acme.awsapps.com", body) // its sender is here, so that the notice is seen
		o.put("in/forged", "ann@forged.example", "nobody@acme.awsapps.com", body)
		o.put("in/full", "x@far.example", "bob@acme.awsapps.com", body)
		o.put("in/elsewhere", "x@far.example", "ann@far.example", body)
		o.put("in/dmarc", "x@dmarc.example", "ann@acme.awsapps.com", body)
		o.put("in/others", "x@far.example", "", "To: y@far.example\r\n\r\n")
		o.put("in/large", "x@far.example", "ann@acme.awsapps.com", "\r\n"+strings.Repeat("x", 10_000))
		o.object("in/sealed", "\x00\x01", map[string]string{"x-amz-key-v2": "abc"})
		o.object("in/noise", "\x00\x01 not a message", nil)
		o.object("in/virus", strings.NewReplacer("Virus-Verdict: PASS", "Virus-Verdict: FAIL", "FOR", "for ann@acme.awsapps.com").Replace(onTop)+"From: x@far.example\r\n\r\n", nil)
		o.run()
		o.want("objects", o.keys(), "[aside/dmarc aside/elsewhere aside/forged aside/full aside/large aside/noise aside/others aside/sealed aside/unknown aside/virus]")
		o.want("counted", fmt.Sprint(o.s.Stats().Aside, o.s.Stats().Unable), "map[encrypted:1 nobody:5 refused:1 too large:1 unreadable:1 virus:1] 4")
		var bounced []string
		for _, line := range o.Told(4) {
			var e struct {
				Event struct {
					EventName        string
					BouncedRecipient struct{ EmailAddress, Status string }
				}
			}
			o.Must(json.Unmarshal([]byte(line), &e))
			bounced = append(bounced, e.Event.EventName+" "+e.Event.BouncedRecipient.EmailAddress+" "+e.Event.BouncedRecipient.Status)
		}
		slices.Sort(bounced)
		o.want("events", bounced, "[DMARC_POLICY_APPLIED   INCOMING_EMAIL_BOUNCED bob@acme.awsapps.com 5.2.2 INCOMING_EMAIL_BOUNCED nobody@acme.awsapps.com 5.1.1 INCOMING_EMAIL_BOUNCED nobody@acme.awsapps.com 5.1.1]")
		jobs, err := job.List(t.Context(), o.DB, 0, 100)
		o.Must(err)
		var notices int
		for _, j := range jobs {
			if j.Kind == "delivered-notice" {
				notices++
			}
		}
		o.want("notices: to ann, and to x of a full mailbox and of who is elsewhere", notices, 3)
	})
}

// TestSomeCantGetIt lets others have a message all the same.
func TestSomeCantGetIt(t *testing.T) {
	onBoth(t, nil, func(o *office) {
		o.put("in/1", "x@far.example", "", "\r\nhi\r\n")
		etag, size, err := o.from.stat(t.Context(), "in/1")
		o.Must(err)
		e := &envelope{From: "x@far.example", To: []string{"ann@acme.awsapps.com", "nobody@acme.awsapps.com", "no address", "bob@acme.awsapps.com"}}
		o.Must(o.s.enqueue(t.Context(), []found{{object{"here", "in/1", etag, size, e}, o.Clock.Now()}}))
		o.run()
		o.want("messages", fmt.Sprint(len(o.Inbox(o.ann)), len(o.Inbox(o.bob))), "1 1")
		o.want("objects", o.keys(), "[aside/1]")
		o.want("counted", fmt.Sprint(o.s.Stats().Aside, o.s.Stats().Unable), "map[someone:1] 2")

		// Moved back, it is for those who have not got it.
		o.User("nobody")
		o.Must(o.from.settle(t.Context(), &object{Key: "aside/1", ETag: etag}, "in/", nil))
		back := slices.IndexFunc(o.keys(), func(key string) bool { return strings.HasPrefix(key, "in/") })
		o.want("it is back", back >= 0, true)
		o.Clock.Advance(o.from.Poll)
		o.run()
		o.want("messages", fmt.Sprint(len(o.Inbox(o.ann)), len(o.Inbox(o.bob))), "1 1")
		o.want("delivered, and set aside again for what is no address", fmt.Sprint(o.s.Stats().Aside), "map[someone:2]")
	})
}

// TestDeliveredButNotMoved is what a crash between the two leaves: the job goes on where it was, and nobody gets a message twice.
func TestDeliveredButNotMoved(t *testing.T) {
	onBoth(t, func(s *Source) { s.Delete = true }, func(o *office) {
		o.put("in/1", "x@far.example", "ann@acme.awsapps.com", "\r\nhi\r\n")
		ctx, cancel := context.WithCancel(t.Context())
		runner := job.NewRunner(o.DB, o.Clock, o.s.Log)
		runner.Handle(listKind, o.s.list)
		runner.Handle(objectKind, func(ctx context.Context, j job.Job) error {
			var ob object
			o.Must(j.Decode(&ob))
			_, err := o.s.take(ctx, j, o.from, &ob)
			o.Must(err)
			cancel() // and here the server ends
			return context.Canceled
		})
		o.Must(o.s.Start(ctx))
		o.Must(runner.Run(ctx))
		o.want("ann's messages", len(o.Inbox(o.ann)), 1)
		o.want("objects", o.keys(), "[in/1]")
		o.run() // it is listed again, too
		o.want("ann's messages", len(o.Inbox(o.ann)), 1)
		o.want("objects", o.keys(), "[]")
	})
}

// TestWhatFailsForHours is set aside, wherever it fails.
func TestWhatFailsForHours(t *testing.T) {
	onBoth(t, nil, func(o *office) {
		o.put("in/1", "x@far.example", "ann@acme.awsapps.com", "\r\nhi\r\n")
		o.s.Mail = broken{}
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		runner := job.NewRunner(o.DB, o.Clock, o.s.Log)
		runner.Handle(listKind, o.s.list)
		runner.Handle(objectKind, func(ctx context.Context, j job.Job) error {
			j.Attempts = tries
			defer cancel()
			return o.s.object(context.WithoutCancel(ctx), j)
		})
		o.Must(o.s.Start(ctx))
		o.Must(runner.Run(ctx))
		o.want("set aside", fmt.Sprint(o.s.Stats().Aside), "map[failing:1]")
		o.want("objects", o.keys(), "[aside/1]")
	})
}

type broken struct{}

func (broken) Begin(context.Context, transport.Sender) (*transport.Transaction, error) {
	return nil, errors.New("it fails")
}

// TestSlowSource holds nobody else's mail up.
func TestSlowSource(t *testing.T) {
	onBoth(t, nil, func(o *office) {
		until := make(chan struct{})
		hanging := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			select {
			case <-until:
			case <-r.Context().Done():
			}
		}))
		defer hanging.Close()
		defer close(until)
		slow, err := open("slow it is", Source{URL: "s3://slow/in?path_style=true&region=us-east-1&endpoint=" + hanging.URL, AccessKeyID: "test", SecretAccessKeyFile: o.from.SecretAccessKeyFile}, &o.s.Options)
		o.Must(err)
		o.s.sources["slow"] = slow
		var list []found
		for i := range 2 * maxWorkers {
			list = append(list, found{object{Source: "slow", Key: fmt.Sprint("in/", i), ETag: "x", Size: 1}, time.Time{}})
		}
		o.Must(o.s.enqueue(t.Context(), list))
		o.put("in/1", "x@far.example", "ann@acme.awsapps.com", "\r\nhi\r\n")
		ctx, cancel := context.WithCancel(t.Context())
		o.Must(o.s.Start(ctx))
		runner := job.NewRunner(o.DB, o.Clock, o.s.Log)
		o.s.Handle(runner)
		ended := make(chan error, 1)
		go func() { ended <- runner.Run(ctx) }()
		o.until("ann has it", func() bool { return len(o.Inbox(o.ann)) == 1 })
		cancel()
		o.Must(<-ended)
	})
}

// TestABacklogIsItsSourcesOwn: where one source has as much waiting as it may, or half of that, what others find is taken in.
func TestABacklogIsItsSourcesOwn(t *testing.T) {
	onBoth(t, nil, func(o *office) {
		const part = 5
		for i := range maxPending/part - 4 {
			o.s.sources[fmt.Sprint(i)] = nil
		}
		jobs := func(source string) (n int) {
			o.Must(o.DB.Read(t.Context(), func(ctx context.Context, tx *db.Tx) (err error) {
				n, err = job.OfShareTx(ctx, tx, objectKind, share(source), 2*part)
				return err
			}))
			return n
		}
		cases := []struct {
			from *source
			wait int
			full bool
		}{{o.open("slow it is", "slow"), part, true}, {o.open("half", "half"), 3, true}, {o.open("less", "less"), 2, false}, {o.from, 0, false}}
		for _, c := range cases {
			var list []found
			for i := range c.wait {
				list = append(list, found{object{Source: c.from.name, Key: fmt.Sprint(c.from.prefix, i), ETag: "x", Size: 1}, time.Time{}})
			}
			o.Must(o.s.enqueue(t.Context(), list))
			o.put(c.from.prefix+"new", "x@far.example", "ann@acme.awsapps.com", "\r\nhi\r\n")
		}
		for _, c := range cases {
			full, err := o.s.look(t.Context(), c.from)
			o.Must(err)
			o.want(c.from.name+" is full", full, c.full)
			if !c.full {
				c.wait++
			}
			o.want("jobs of "+c.from.name, jobs(c.from.name), c.wait)
		}
	})
}

// TestPrefixes keeps what is moved out of what is looked at.
func TestPrefixes(t *testing.T) {
	for _, c := range []struct {
		prefix   string
		ok, flat bool
	}{{"in", true, false}, {"", true, true}, {"delivered", false, false}, {"delivered/in", false, false}, {"aside/x", false, false}} {
		s, err := open("x", Source{URL: "s3://b/" + c.prefix + "?region=us-east-1"}, &Options{Dialer: loopback(), MaxMessage: 1})
		if (err == nil) != c.ok || err == nil && s.flat != c.flat {
			t.Errorf("%q: %+v, %v", c.prefix, s, err)
		}
	}
	left := &envelope{From: "x@far.example", To: []string{strings.Repeat("a", maxMetadata)}}
	if _, ok := note(nil, left); ok {
		t.Error("more than S3 takes is noted")
	}
	onBoth(t, func(s *Source) { s.URL = strings.Replace(s.URL, "/in?", "?", 1) }, func(o *office) {
		o.put("1", "x@far.example", "ann@acme.awsapps.com", "\r\nhi\r\n")
		o.put("delivered/2", "x@far.example", "ann@acme.awsapps.com", "\r\nhi\r\n")
		o.run()
		o.want("objects", o.keys(), "[delivered/1 delivered/2]")
		o.want("ann's messages", len(o.Inbox(o.ann)), 1)
	})
}

// TestQueue takes notifications, which know more than the object says; the one that comes twice, and those of nothing, do nothing.
func TestQueue(t *testing.T) {
	var queueURL string
	onBoth(t, func(s *Source) {
		queueURL = blobtest.MotoQueue(t, 60)
		s.QueueURL, s.QueueEndpoint = queueURL, blobtest.Moto(t)
	}, func(o *office) {
		say := func(text string) {
			o.Must(o.from.queue.call(t.Context(), "SendMessage", map[string]any{"QueueUrl": queueURL, "MessageBody": text}, nil))
		}
		o.put("in/1", "x@far.example", "", "To: undisclosed-recipients:;\r\n\r\nhi\r\n")
		o.put("in/2", "x@far.example", "bob@acme.awsapps.com", "\r\nhi\r\n")
		bySES := strings.NewReplacer("my-S3-bucket", o.from.bucket, "in/d6iitobk75ur44p8kdnnp7g2n800", "in/1", `"recipient@example.com","hidden@example.com"`, `"ann@acme.awsapps.com"`,
			`"FAIL"},"virus`, `"PASS"},"virus`).Replace(sesNotification)
		byS3 := strings.NewReplacer("amzn-s3-demo-bucket", o.from.bucket, "in/Happy+Face%2B.eml", "in%2F2").Replace(s3Event)
		for _, text := range []string{bySES, inSNS(bySES), byS3, strings.Replace(byS3, "in%2F2", "in%2Fgone", 1), strings.Replace(byS3, "in%2F2", "delivered%2F2", 1), s3Test, "what?", s3Event} {
			say(text)
		}
		// The fake clock does not move, so a look at the bucket leaves all to the queue.
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- o.s.Run(ctx) }()
		o.until("all is read", func() bool { s := o.s.Stats(); return s.Notified == 7 && s.Ignored > 0 })
		cancel()
		o.Must(<-ended)
		o.run()
		o.want("messages", fmt.Sprint(len(o.Inbox(o.ann)), len(o.Inbox(o.bob))), "1 1")
		o.want("objects", o.keys(), "[delivered/1 delivered/2]")
		o.want("failures", o.s.Stats().QueueFailures, 0)

		// It is told once more.
		say(bySES)
		ctx, cancel = context.WithCancel(t.Context())
		go func() { ended <- o.s.Run(ctx) }()
		o.until("all is read", func() bool { return o.s.Stats().Notified == 8 })
		cancel()
		o.Must(<-ended)
		o.run()
		o.want("ann's messages", len(o.Inbox(o.ann)), 1)
	})
}

// TestSweep finds what no notification told of, once the queue was empty, and not before it is old.
func TestSweep(t *testing.T) {
	onBoth(t, func(s *Source) { s.QueueURL, s.QueueEndpoint = "http://127.0.0.1/1/q", blobtest.Moto(t) }, func(o *office) {
		o.put("in/1", "x@far.example", "ann@acme.awsapps.com", "\r\nhi\r\n")
		o.Clock.Advance(time.Since(o.Clock.Now()))
		o.run()
		o.want("before the queue was read", len(o.Inbox(o.ann)), 0)
		now := o.Clock.Now()
		o.from.drained.Store(&now)
		o.run()
		o.want("a fresh object", len(o.Inbox(o.ann)), 0)
		o.Clock.Advance(lateAfter + time.Minute)
		o.run()
		o.want("one of which the queue may tell since then", len(o.Inbox(o.ann)), 0)
		now = o.Clock.Now()
		o.run()
		o.want("an old one", len(o.Inbox(o.ann)), 1)
	})
}

// TestQueueThatFails leaves objects to their notifications, however late those come, and those that are not understood stay in the queue.
func TestQueueThatFails(t *testing.T) {
	const empty, failing = `{}`, ""
	var answer atomic.Pointer[string]
	var deleted atomic.Int64
	say := func(s string) { answer.Store(&s) }
	sqs := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch text := *answer.Load(); {
		case strings.HasSuffix(r.Header.Get("X-Amz-Target"), "DeleteMessage"):
			deleted.Add(1)
			say(empty)
			_, _ = io.WriteString(w, "{}")
		case text == failing:
			w.WriteHeader(http.StatusServiceUnavailable)
		default:
			_, _ = io.WriteString(w, text)
		}
	}))
	defer sqs.Close()
	onBoth(t, func(s *Source) { s.QueueURL, s.QueueEndpoint = sqs.URL+"/1/q", sqs.URL }, func(o *office) {
		message := func(body string) string {
			text, err := json.Marshal(map[string]any{"Messages": []notice{{Body: body, ReceiptHandle: "1"}}})
			o.Must(err)
			return string(text)
		}
		deleted.Store(0)
		say(empty)
		o.Clock.Advance(time.Since(o.Clock.Now()))
		ended := make(chan error, 1)
		ctx, cancel := context.WithCancel(t.Context())
		go func() { ended <- o.s.Run(ctx) }()
		drained := func() bool { return o.from.drained.Load() != nil }
		later := func(holds func() bool) func() bool {
			return func() bool { o.Clock.Advance(pause); return holds() }
		}
		o.until("the queue is empty", later(drained))
		o.put("in/1", "x@far.example", "", "To: ann@acme.awsapps.com\r\n\r\nhi\r\n")
		for _, text := range []string{failing, message("what?")} {
			say(text)
			o.until("it can't be read", later(func() bool { return !drained() && (text == failing || o.s.Stats().Ignored > 0) }))
			o.Clock.Advance(2 * lateAfter)
			if text != failing { // until it was read since then
				read := o.s.Stats().Ignored + 2
				o.until("it is read again", func() bool { return o.s.Stats().Ignored >= read })
			}
			o.run()
			o.want("ann's messages", len(o.Inbox(o.ann)), 0)
		}
		say(empty) // what was not understood is hidden
		seen := o.Clock.Now()
		o.until("the queue is empty again", later(drained))
		o.want("a while later", o.from.drained.Load().Sub(seen) >= lateAfter-2*pause, true)
		o.want("deleted", deleted.Load(), 0)
		say(message(strings.NewReplacer("my-S3-bucket", o.from.bucket, "in/d6iitobk75ur44p8kdnnp7g2n800", "in/1", `"recipient@example.com","hidden@example.com"`, `"ann@acme.awsapps.com","bob@acme.awsapps.com"`).Replace(sesNotification)))
		o.until("it is told", func() bool { return deleted.Load() == 1 })
		cancel()
		o.Must(<-ended)
		o.run()
		o.want("messages", fmt.Sprint(len(o.Junk(o.ann)), len(o.Junk(o.bob))), "1 1")
	})
}

// TestStoreThatIsDown lets the objects wait.
func TestStoreThatIsDown(t *testing.T) {
	onBoth(t, nil, func(o *office) {
		o.put("in/1", "x@far.example", "ann@acme.awsapps.com", "\r\nhi\r\n")
		good := o.from.bucket
		o.from.bucket = "no-such-bucket"
		o.run() // the look fails, and another is ordered
		o.want("failures", o.s.Stats().BucketFailures > 0, true)
		o.from.bucket = good
		o.Clock.Advance(2 * time.Minute)
		o.run()
		o.want("ann's messages", len(o.Inbox(o.ann)), 1)
	})
}
