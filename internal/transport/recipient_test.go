package transport_test

import (
	"context"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/pennypost/pennypost/internal/directory"
	"github.com/pennypost/pennypost/internal/fault"
	"github.com/pennypost/pennypost/internal/message"
	"github.com/pennypost/pennypost/internal/principal"
	"github.com/pennypost/pennypost/internal/spool"
	"github.com/pennypost/pennypost/internal/transport"
	"github.com/pennypost/pennypost/internal/transport/queue"
	"github.com/pennypost/pennypost/internal/transport/transporttest"
)

func address(s string) message.Address {
	a, err := message.ParseAddress(s)
	if err != nil {
		panic(err)
	}
	return a
}

// asked is a recipient of whom the sender says nothing.
func asked(s string) queue.Recipient { return queue.Recipient{Address: address(s)} }

// outside begins a message from another server.
func outside(w *transporttest.World, size int64) *transport.Transaction {
	w.T.Helper()
	x, err := w.Begin(w.T.Context(), transport.Sender{Principal: principal.TheSystem("SMTP"), From: address("sender@other.test"), Size: size})
	w.Must(err)
	return x
}

// add adds a recipient that must be accepted.
func add(w *transporttest.World, x *transport.Transaction, to string) {
	w.T.Helper()
	if err := x.Add(w.T.Context(), asked(to)); err != nil {
		w.T.Fatalf("%s is refused: %v", to, err)
	}
}

// refused checks that a recipient is refused, and how.
func refused(w *transporttest.World, x *transport.Transaction, to string, kind fault.Kind, subject fault.Subject) {
	w.T.Helper()
	before := x.Targets()
	a := message.Address{Local: to}
	if strings.Contains(to, "@") {
		a = address(to)
	}
	if err := x.Add(w.T.Context(), queue.Recipient{Address: a}); !fault.Is(err, kind, subject) {
		w.T.Errorf("%s: %v, want %v %s", to, err, kind, subject)
	}
	if x.Targets() != before {
		w.T.Errorf("%s is refused, and left a mailbox behind", to)
	}
}

const trace = "Received: from a by b;\r\n\tMon, 23 Nov 2026 12:00:00 +0000\r\n"

// store stores trace and text.
func store(ctx context.Context, x *transport.Transaction, text string) error {
	m := spool.New("", 0)
	defer m.Close()
	if _, err := m.Write([]byte(trace + text)); err != nil {
		return err
	}
	return x.Store(ctx, m, len(trace))
}

const simple = "From: Sender <sender@other.test>\r\nTo: x\r\nSubject: hello\r\n\r\nbody\r\n"

func TestEachMailboxGetsOneCopy(t *testing.T) {
	transporttest.OnBoth(t, nil, func(w *transporttest.World) {
		ann, bob, cyd, off := w.User("ann"), w.User("bob"), w.User("cyd"), w.User("off")
		inner := w.Group("inner", cyd, ann, off)
		w.Group("all", ann, bob, inner)
		w.Must(w.Directory.CreateAlias(t.Context(), transporttest.Admin, w.Acme.ID, bob, "robert@acme.awsapps.com"))
		w.Disable(off)
		x := outside(w, 0)
		add(w, x, "ANN+Shop@Acme.AWSapps.com")
		add(w, x, "robert@acme.awsapps.com")
		add(w, x, "bob@acme.awsapps.com")
		add(w, x, "all@acme.awsapps.com")
		add(w, x, "ann@acme.awsapps.com")
		if x.Targets() != 3 {
			t.Errorf("%d mailboxes, want 3", x.Targets())
		}
		w.Must(store(t.Context(), x, simple))
		for id, to := range map[directory.EntityID]string{ann: "ANN+Shop@Acme.AWSapps.com", bob: "robert@acme.awsapps.com", cyd: "cyd@acme.awsapps.com"} {
			got := w.Inbox(id)
			want := "Return-Path: <sender@other.test>\r\nDelivered-To: " + to + "\r\n"
			if id == cyd { // who is named gets no mail of a list
				want += "List-Id: <all.acme.awsapps.com>\r\n"
			}
			want += trace + simple
			if len(got) != 1 || got[0].Text != want {
				t.Fatalf("%s has %d messages: %+v", to, len(got), got)
			}
			e, err := message.DecodeEnvelope(got[0].Item.Envelope)
			if err != nil || e.Subject != "hello" || e.From[0].Local != "sender" {
				t.Errorf("envelope %+v, %v", e, err)
			}
			s, err := message.DecodeStructure(got[0].Item.Structure)
			w.Must(err)
			start, end, _ := s.Section([]int{1}, message.Body)
			if body := got[0].Text[len(got[0].Item.Prefix):][start:end]; body != "body\r\n" {
				t.Errorf("section 1 is %q", body)
			}
		}
	})
}

func TestARealAddressWinsOverATag(t *testing.T) {
	transporttest.OnBoth(t, nil, func(w *transporttest.World) {
		ann, shop := w.User("ann"), w.User("shop")
		w.Must(w.Directory.CreateAlias(t.Context(), transporttest.Admin, w.Acme.ID, shop, "ann+shop@acme.awsapps.com"))
		for _, to := range []string{"ann+shop@acme.awsapps.com", "ann+other@acme.awsapps.com", "ann+shop+x@acme.awsapps.com"} {
			x := outside(w, 0)
			add(w, x, to)
			w.Must(store(t.Context(), x, simple))
		}
		if a, s := len(w.Inbox(ann)), len(w.Inbox(shop)); a != 2 || s != 1 {
			t.Errorf("ann has %d messages, ann+shop %d", a, s)
		}
	})
}

func TestResourcesTakeMail(t *testing.T) {
	transporttest.OnBoth(t, nil, func(w *transporttest.World) {
		room, err := w.Directory.CreateResource(t.Context(), transporttest.Admin, w.Acme.ID, directory.NewResource{Name: "room", Type: directory.Room})
		w.Must(err)
		w.Enable(w.Acme, room, "room@acme.awsapps.com")
		x := outside(w, 0)
		add(w, x, "room@acme.awsapps.com")
		w.Must(store(t.Context(), x, simple))
		if len(w.Inbox(room)) != 1 {
			t.Error("the room has no message")
		}
	})
}

func TestRefusedRecipients(t *testing.T) {
	transporttest.OnBoth(t, nil, func(w *transporttest.World) {
		ctx := t.Context()
		ann, off := w.User("ann"), w.User("off")
		w.Disable(off)
		w.Group("empty")
		w.Group("sleeping", off)
		remote, err := w.Directory.CreateUser(ctx, transporttest.Admin, w.Acme.ID, directory.NewUser{Name: "remote", DisplayName: "r", Role: directory.RoleRemote})
		w.Must(err)
		w.Group("unreached", remote)
		w.Group("mixed", ann, w.Group("far", w.Remote("there", "there@old.example", "here@acme.awsapps.com")))
		full := w.User("full")
		w.SetQuota(full, 0)
		w.Group("cramped", ann, full)
		w.Must(w.Directory.RegisterDomain(ctx, transporttest.Admin, w.Acme.ID, "pending.example.com", ""))
		tight := w.User("tight")
		w.SetQuota(tight, 1000)

		x := outside(w, 2000)
		refused(w, x, "nobody@acme.awsapps.com", fault.NotFound, fault.Address)
		refused(w, x, "+ann@acme.awsapps.com", fault.NotFound, fault.Address)
		refused(w, x, "off@acme.awsapps.com", fault.NotFound, fault.Address)
		refused(w, x, "remote@acme.awsapps.com", fault.NotFound, fault.Address)
		refused(w, x, "a@other.test", fault.Denied, fault.Address)
		refused(w, x, "a@pending.example.com", fault.Denied, fault.Address)
		refused(w, x, "ann@[127.0.0.1]", fault.Denied, fault.Address)
		refused(w, x, `"ann@acme.awsapps.com"@other.test`, fault.Denied, fault.Address)
		refused(w, x, "ann%other.test@acme.awsapps.com", fault.NotFound, fault.Address)
		refused(w, x, "empty@acme.awsapps.com", fault.State, fault.Address)
		refused(w, x, "sleeping@acme.awsapps.com", fault.State, fault.Address)
		refused(w, x, "unreached@acme.awsapps.com", fault.State, fault.Address)
		refused(w, x, "mixed@acme.awsapps.com", fault.Unsupported, fault.Address) // nothing here sends to others
		refused(w, x, "here@acme.awsapps.com", fault.Unsupported, fault.Address)
		refused(w, x, "there@old.example", fault.Denied, fault.Address)
		refused(w, x, "full@acme.awsapps.com", fault.OverQuota, fault.Mailbox)
		refused(w, x, "cramped@acme.awsapps.com", fault.OverQuota, fault.Mailbox)
		refused(w, x, "tight@acme.awsapps.com", fault.OverQuota, fault.Mailbox)
		refused(w, x, "postmaster", fault.NotFound, fault.Address)
		refused(w, x, "postmaster@acme.awsapps.com", fault.NotFound, fault.Address)
		if err := store(ctx, x, simple); !fault.Is(err, fault.Invalid, fault.Message) {
			t.Errorf("a message without recipients: %v", err)
		}

		submitted, err := w.Begin(ctx, transport.Sender{Principal: user(w, ann), Submitted: true, From: address("ann@acme.awsapps.com")})
		w.Must(err)
		refused(w, submitted, "a@other.test", fault.Unsupported, fault.Address)
		refused(w, submitted, "nobody@acme.awsapps.com", fault.NotFound, fault.Address)
		add(w, submitted, "tight@acme.awsapps.com") // its size is not known yet
	})
}

func user(w *transporttest.World, id directory.EntityID) principal.Principal {
	return principal.Principal{Kind: principal.User, ID: string(id), Organization: string(w.Acme.ID)}
}

func TestPostmasterOfTheServer(t *testing.T) {
	transporttest.OnBoth(t, nil, func(w *transporttest.World) {
		id := w.User("postmaster")
		monitor(w, w.Acme)
		x := outside(w, 0)
		w.Must(x.Add(t.Context(), queue.Recipient{Address: message.Address{Local: "Postmaster"}}))
		w.Must(store(t.Context(), x, simple))
		if got := w.Inbox(id); len(got) != 1 || !strings.Contains(got[0].Text, "\r\nDelivered-To: Postmaster@acme.awsapps.com\r\n") {
			t.Errorf("the postmaster has %+v", got)
		}
		for _, e := range untraced(t, w.Told(2)) {
			if !strings.Contains(e, `"Postmaster@acme.awsapps.com"`) {
				t.Errorf("told is %s", e)
			}
		}
	})
}

func TestTooManyRecipients(t *testing.T) {
	small := func(o *transport.Options) { o.Limits.Recipients, o.Limits.Mailboxes = 3, 2 }
	transporttest.OnBoth(t, small, func(w *transporttest.World) {
		ann, bob, cyd := w.User("ann"), w.User("bob"), w.User("cyd")
		w.Group("three", ann, bob, cyd)
		w.Group("two", bob, cyd)
		x := outside(w, 0)
		refused(w, x, "three@acme.awsapps.com", fault.Unsupported, fault.Address) // it never fits
		add(w, x, "ann@acme.awsapps.com")
		refused(w, x, "two@acme.awsapps.com", fault.Limit, fault.Address) // it fits alone
		add(w, x, "ann+1@acme.awsapps.com")
		add(w, x, "bob@acme.awsapps.com")
		refused(w, x, "bob@acme.awsapps.com", fault.Limit, fault.Address)
		w.Must(store(t.Context(), x, simple))
		if len(w.Inbox(ann)) != 1 || len(w.Inbox(bob)) != 1 || len(w.Inbox(cyd)) != 0 {
			t.Error("the message went elsewhere")
		}
	})
}

func TestAllOrNobody(t *testing.T) {
	transporttest.OnBoth(t, nil, func(w *transporttest.World) {
		ann := w.User("ann")
		for name, c := range map[string]struct {
			meanwhile func(directory.EntityID)
			alone     bool
			kind      fault.Kind
		}{
			"closed":         {w.Disable, false, fault.Temporary},
			"full":           {func(id directory.EntityID) { w.SetQuota(id, 100) }, false, fault.Temporary},
			"full-and-alone": {func(id directory.EntityID) { w.SetQuota(id, 100) }, true, fault.OverQuota},
		} {
			id := w.User(name)
			x := outside(w, 0)
			if !c.alone {
				add(w, x, "ann@acme.awsapps.com")
			}
			add(w, x, name+"@acme.awsapps.com")
			c.meanwhile(id)
			if err := store(t.Context(), x, simple); fault.KindOf(err) != c.kind || err == nil {
				t.Errorf("%s: %v, want %v", name, err, c.kind)
			} else if f := fault.As(err); strings.ContainsAny(f.Message, "0123456789") {
				t.Errorf("%s: a stranger is told what the mailbox holds: %s", name, f.Message)
			}
			if len(w.Inbox(ann)) != 0 || name != "closed" && len(w.Inbox(id)) != 0 {
				t.Errorf("%s: the message was stored for somebody", name)
			}
		}
	})
}

// TestTooLargeForOne: what is too large for one of its recipients, which is only seen once it is read, reaches the others when it comes again.
func TestTooLargeForOne(t *testing.T) {
	transporttest.OnBoth(t, nil, func(w *transporttest.World) {
		ann := w.User("ann")
		w.SetQuota(w.User("tight"), 1000)
		large := simple + strings.Repeat(strings.Repeat("x", 70)+"\r\n", 300) + "\r\n"
		x := outside(w, 0)
		add(w, x, "ann@acme.awsapps.com")
		add(w, x, "tight@acme.awsapps.com")
		if err := store(t.Context(), x, large); fault.KindOf(err) != fault.Temporary {
			t.Error(err)
		}
		x = outside(w, 100) // another message, whose size is announced
		add(w, x, "tight@acme.awsapps.com")
		y, err := w.Begin(t.Context(), transport.Sender{Principal: principal.TheSystem("SMTP"), From: address("other@other.test")})
		w.Must(err)
		add(w, y, "tight@acme.awsapps.com") // of another sender

		x = outside(w, 0)
		add(w, x, "ann@acme.awsapps.com")
		refused(w, x, "tight@acme.awsapps.com", fault.OverQuota, fault.Mailbox)
		w.Must(store(t.Context(), x, large))
		if n := len(w.Inbox(ann)); n != 1 {
			t.Errorf("ann has %d messages", n)
		}
		x = outside(w, 0)
		add(w, x, "tight@acme.awsapps.com")
		w.Must(store(t.Context(), x, simple))
	})
}

func TestMailBetweenOrganizations(t *testing.T) {
	transporttest.OnBoth(t, nil, func(w *transporttest.World) {
		ann := w.User("ann")
		other := w.Organization("other")
		zoe := w.UserOf(other, "zoe")
		x, err := w.Begin(t.Context(), transport.Sender{Principal: user(w, ann), Submitted: true, From: address("ann@acme.awsapps.com")})
		w.Must(err)
		add(w, x, "zoe@other.awsapps.com")
		add(w, x, "ann@acme.awsapps.com")
		w.Must(store(t.Context(), x, "From: ann@acme.awsapps.com\r\n\r\nhi\r\n"))
		if len(w.InboxOf(other, zoe)) != 1 || len(w.Inbox(ann)) != 1 {
			t.Error("the message did not reach both organisations")
		}
	})
}

func TestMessagesThatGoInACircle(t *testing.T) {
	transporttest.OnBoth(t, nil, func(w *transporttest.World) {
		ann := w.User("ann")
		for n, want := range map[int]fault.Kind{50: fault.Internal, 51: fault.Limit} {
			x := outside(w, 0)
			add(w, x, "ann@acme.awsapps.com")
			err := store(t.Context(), x, strings.Repeat("Received: from x\r\n", n)+simple)
			if (err == nil) != (n == 50) || err != nil && !fault.Is(err, want, fault.Message) {
				t.Errorf("%d Received fields: %v", n, err)
			}
		}
		if len(w.Inbox(ann)) != 1 {
			t.Error("the wrong one was stored")
		}
	})
}

// What came out of mail is stored as it came, on both engines.
func TestHostileMessagesAreStoredAsTheyCame(t *testing.T) {
	transporttest.OnBoth(t, nil, func(w *transporttest.World) {
		ann := w.User("ann")
		texts := []string{
			"Subject: a\x00b\r\n\r\nNUL \x00 here\r\n",
			"Subject: \xe4\xff\r\nFrom: \xfc <\xe4@x.test>\r\n\r\n\x80\x81\r\n",
			"X-Long: " + strings.Repeat("y", 1<<20) + "\r\nSubject: behind\r\n\r\nbody\r\n",
			"no header at all\r\n",
			"",
			"Content-Type: multipart/mixed; boundary=\x00\r\n\r\n--\x00\r\n",
		}
		w.SetQuota(ann, 1<<30)
		for _, text := range texts {
			x := outside(w, 0)
			add(w, x, "ann@acme.awsapps.com")
			w.Must(store(t.Context(), x, text))
		}
		got := w.Inbox(ann)
		if len(got) != len(texts) {
			t.Fatalf("%d messages are there of %d", len(got), len(texts))
		}
		for i, text := range texts {
			if !strings.HasSuffix(got[i].Text, trace+text) {
				t.Errorf("message %d is %.100q, want %.100q", i, got[i].Text, text)
			}
		}
	})
}

func TestLargeMessagesWaitForMemory(t *testing.T) {
	transporttest.OnBoth(t, func(o *transport.Options) { o.Limits.Memory = 100 << 10 }, func(w *transporttest.World) {
		ann := w.User("ann")
		w.SetQuota(ann, 1<<30)
		const n = 8
		errs := make(chan error, n)
		for i := range n {
			x := outside(w, 0)
			add(w, x, "ann@acme.awsapps.com")
			go func() { // a third of them is larger than all the memory: they take it alone
				errs <- store(t.Context(), x, simple+strings.Repeat("x", 1+(i%3)*80<<10)+"\r\n")
			}()
		}
		for range n {
			w.Must(<-errs)
		}
		if got := len(w.Inbox(ann)); got != n {
			t.Errorf("%d messages of %d", got, n)
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		x := outside(w, 0)
		add(w, x, "ann@acme.awsapps.com")
		if err := store(ctx, x, simple); err == nil {
			t.Error("a message was stored for a caller who had left")
		}
	})
}

func TestManyMailboxesInOneCommit(t *testing.T) {
	transporttest.OnBoth(t, nil, func(w *transporttest.World) {
		var ids []directory.EntityID
		for i := range 40 {
			ids = append(ids, w.User(fmt.Sprintf("user%d", i)))
		}
		w.Group("all", ids...)
		x := outside(w, 0)
		add(w, x, "all@acme.awsapps.com")
		w.Must(store(t.Context(), x, simple))
		if i := slices.IndexFunc(ids, func(id directory.EntityID) bool { return len(w.Inbox(id)) != 1 }); i >= 0 {
			t.Errorf("user %d has %d messages", i, len(w.Inbox(ids[i])))
		}
		// Named again and again by other addresses, the group takes no more memory.
		x = outside(w, 0)
		add(w, x, "all@acme.awsapps.com")
		before := heap()
		for i := range 499 {
			add(w, x, fmt.Sprintf("all+%d@acme.awsapps.com", i))
		}
		if more := heap() - before; more > 1<<20 {
			t.Errorf("the message takes %d KB more", more>>10)
		}
		w.Must(store(t.Context(), x, simple))
	})
}

// heap is how many bytes are in use.
func heap() int64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// A sender hears of those it asked about, under the names it gave them: of a group as one.
func TestSucceeded(t *testing.T) {
	transporttest.OnBoth(t, nil, func(w *transporttest.World) {
		ann, bob := w.User("ann"), w.User("bob")
		w.Group("team", ann, bob)
		group := queue.Recipient{Address: address("team@acme.awsapps.com"), Original: "rfc822;all@other.test", Notify: queue.OnSuccess | queue.OnFailure}
		tagged := queue.Recipient{Address: address("ann+x@acme.awsapps.com"), Notify: queue.OnSuccess}
		fill := func(x *transport.Transaction) {
			for _, r := range []queue.Recipient{
				group, tagged, asked("bob@acme.awsapps.com"), {Address: address("ann@acme.awsapps.com"), Notify: queue.Never},
			} {
				w.Must(x.Add(t.Context(), r))
			}
			w.Must(store(t.Context(), x, "From: ann@acme.awsapps.com\r\n\r\nx\r\n"))
		}
		submitted := func(from string) *transport.Transaction {
			sender := transport.Sender{Principal: user(w, ann), Submitted: true}
			if from != "" {
				sender.From = address(from)
			}
			x, err := w.Begin(t.Context(), sender)
			w.Must(err)
			return x
		}
		x := submitted("ann@acme.awsapps.com")
		if err := x.Add(t.Context(), queue.Recipient{Address: address("nobody@acme.awsapps.com"), Notify: queue.OnSuccess}); err == nil {
			t.Error("nobody is taken")
		}
		fill(x)
		if got, _ := x.Succeeded(); !slices.Equal(got, []queue.Recipient{group, tagged}) {
			t.Errorf("the sender hears of %+v", got)
		}
		for name, x := range map[string]*transport.Transaction{"nobody": submitted(""), "a stranger": outside(w, 0)} {
			fill(x)
			if got, _ := x.Succeeded(); len(got) != 0 {
				t.Errorf("%s hears of %+v", name, got)
			}
		}
	})
}
