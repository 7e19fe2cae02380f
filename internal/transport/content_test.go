package transport_test

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/pennypost/pennypost/internal/db"
	"github.com/pennypost/pennypost/internal/fault"
	"github.com/pennypost/pennypost/internal/transport"
	"github.com/pennypost/pennypost/internal/transport/flow"
	"github.com/pennypost/pennypost/internal/transport/queue"
	"github.com/pennypost/pennypost/internal/transport/transporttest"
)

// read reads a message as a function does.
func (a *asking) read(id string) string {
	c, err := a.World.Contents.Get(context.Background(), transporttest.Admin, id)
	if err != nil {
		return err.Error()
	}
	b, err := c.First(context.Background(), c.Size)
	if err != nil {
		return err.Error()
	}
	return string(b)
}

// put puts a text in the place of a message.
func (a *asking) put(id, text string) error {
	a.Objects["new"] = text
	return a.World.Contents.Put(context.Background(), transporttest.Admin, id, flow.Object{Bucket: "bucket", Key: "new"})
}

const dated = "From: Far <x@far.example>\r\nDate: Mon, 23 Nov 2026 12:00:00 +0000\r\nSubject: hello\r\n\r\nbody\r\n"

// TestAFunctionChangesAMessage for all that it decides for, whatever its answer is; what it did before it failed still counts.
func TestAFunctionChangesAMessage(t *testing.T) {
	onBothAsking(t, func(a *asking) {
		a.rule(flow.Inbound, synchronous(flow.Default, 5))
		large := strings.Repeat(strings.Repeat("x", 98)+"\r\n", 3000)
		for _, text := range []string{dated, dated + large} {
			first, id := true, ""
			a.answers(func(e *flow.Event) (int, string) {
				id = e.MessageID
				was := a.read(id)
				if want := trace + strings.Replace(text, "hello", e.Subject, 1); was != want {
					t.Errorf("the function reads %d bytes %.300q, want %d", len(was), was, len(want))
				}
				if first {
					if err := a.put(id, strings.Replace(was, "Subject: hello", "X-New: 1\r\nSubject: [External] hello", 1)); err != nil {
						t.Error(err)
					}
					text = strings.Replace(text, "Subject: hello", "X-New: 1\r\nSubject: hello", 1)
					first = false
					return 500, "" // and is asked again
				}
				return says("DEFAULT")(e)
			})
			x := outside(a.World, 0)
			add(a.World, x, "ann@acme.test")
			add(a.World, x, "bob@acme.test")
			a.Must(store(t.Context(), x, text))
			before := len(a.Inbox(a.bob))
			stop := a.run(t)
			a.until("it is delivered", func() bool { return a.waits(0) && len(a.Inbox(a.bob)) == before+1 })
			stop()
			for _, m := range []string{a.Inbox(a.ann)[before].Text, a.Inbox(a.bob)[before].Text} {
				_, m, _ = strings.Cut(m, "@acme.test\r\n")
				if want := trace + strings.Replace(text, "hello", "[External] hello", 1); m != want {
					t.Errorf("delivered is %.300q, want %.300q", m, want)
				}
			}
			if err := a.put(id, a.read(id)); !fault.Is(err, fault.State, fault.Message) {
				t.Errorf("after the decision it is changed: %v", err)
			}
		}
	})
}

// TestWhatIsChangedIsSigned where it leaves.
func TestWhatIsChangedIsSigned(t *testing.T) {
	onBothAsking(t, func(a *asking) {
		a.Signer = &signer{}
		a.rule(flow.Outbound, synchronous(flow.Bounce, 5))
		a.answers(func(e *flow.Event) (int, string) {
			if err := a.put(e.MessageID, strings.Replace(a.read(e.MessageID), "\r\n\r\n", "\r\n\r\nfooter ", 1)); err != nil {
				t.Error(err)
			}
			return says("DEFAULT")(e)
		})
		x, err := a.begin(a.ann, "ann@acme.test", "one@far.test")
		a.Must(err)
		a.Must(store(t.Context(), x, "From: ann@acme.test\r\nSubject: out\r\n\r\nx\r\n"))
		defer a.run(t)()
		if got := <-a.far.taken; !strings.HasPrefix(got, "<ann@acme.test> <one@far.test> DKIM-Signature: org=true d=acme.test ") || !strings.HasSuffix(got, "\r\n\r\nfooter x\r\n") {
			t.Errorf("one gets %s", got)
		}
	})
}

// changing is a store in which a message is changed while what was decided on it is done.
type changing struct {
	transport.Contents
	change func()
}

func (c *changing) Current(ctx context.Context, id string) (*flow.Content, error) {
	content, err := c.Contents.Current(ctx, id)
	c.change()
	return content, err
}

// TestAChangeAtTheLastMoment is in what goes on, as long as its caller hears that it was made.
func TestAChangeAtTheLastMoment(t *testing.T) {
	onBothAsking(t, func(a *asking) {
		a.rule(flow.Inbound, synchronous(flow.Drop, 5))
		id, reads, put := "", 0, error(nil)
		a.answers(func(e *flow.Event) (int, string) { id = e.MessageID; return says("DEFAULT")(e) })
		a.Transport.Contents = &changing{a.World.Contents, func() {
			if reads++; reads == 2 {
				put = a.put(id, strings.Replace(a.read(id), "hello", "late", 1))
			}
		}}
		x := outside(a.World, 0)
		add(a.World, x, "ann@acme.test")
		a.Must(store(t.Context(), x, dated))
		stop := a.run(t)
		a.until("it is delivered", func() bool { return a.waits(0) && len(a.Inbox(a.ann)) == 1 })
		stop()
		if text := a.Inbox(a.ann)[0].Text; put != nil || !strings.Contains(text, "Subject: late\r\n") || reads != 3 {
			t.Errorf("ann has %s after %d reads, %v", text, reads, put)
		}
	})
}

// TestContentsOfWhatDoesNotWait: what an asynchronous function is told of and what an operator drops can be read for a day, and not changed.
func TestContentsOfWhatDoesNotWait(t *testing.T) {
	onBothAsking(t, func(a *asking) {
		a.rule(flow.Inbound, flow.Lambda{ARN: functionARN})
		sync := synchronous(flow.Drop, 5)
		a.Must(a.Flow.CreateRule(t.Context(), transporttest.Admin, a.Acme.ID,
			flow.Rule{Direction: flow.Outbound, Name: "out", Action: flow.RunLambda, Senders: []string{"*"}, Recipients: []string{"*"}, Lambda: &sync}))
		a.answers(says("DEFAULT"))
		x := outside(a.World, 0)
		add(a.World, x, "ann@acme.test")
		a.Must(store(t.Context(), x, dated))
		told := a.tellAll(1)[0].MessageID
		if got := a.read(told); got != trace+dated {
			t.Errorf("read is %s", got)
		}

		asked := make(chan string, 100)
		a.answers(func(e *flow.Event) (int, string) { asked <- e.MessageID; return 500, "" })
		x, err := a.begin(a.ann, "ann@acme.test", "one@far.test")
		a.Must(err)
		a.Must(store(t.Context(), x, "From: ann@acme.test\r\nDate: Mon, 23 Nov 2026 12:00:00 +0000\r\n\r\nx\r\n"))
		stop := a.run(t)
		dropped := <-asked
		stop()
		_, err = a.queue.Drop(t.Context(), queue.Filter{}, false)
		a.Must(err)
		for _, id := range []string{told, dropped} {
			if err := a.put(id, a.read(id)); !fault.Is(err, fault.State, fault.Message) {
				t.Errorf("it is changed: %v, reading %s", err, a.read(id))
			}
			a.Clock.Advance(flow.Kept / 2)
		}
		for _, id := range []string{told, dropped} {
			if got := a.read(id); !strings.Contains(got, "there is no message "+id) {
				t.Errorf("after a day it reads %s", got)
			}
		}
	})
}

// bytesInQueue makes of the message that waits what servers made that kept its bytes in the queue.
func (a *asking) bytesInQueue() {
	a.T.Helper()
	a.Write(func(ctx context.Context, tx *db.Tx) error {
		var queued int64
		var text, data []byte
		var about, held map[string]json.RawMessage
		var results string
		err := errors.Join(
			tx.QueryRow(ctx, "SELECT id, about FROM queue_message").Scan(&queued, &text),
			tx.QueryRow(ctx, "DELETE FROM flow_content RETURNING data").Scan(&data))
		if err == nil {
			err = errors.Join(json.Unmarshal(text, &about), json.Unmarshal(about["held"], &held))
		}
		if text := held["results"]; err == nil && text != nil {
			err = json.Unmarshal(text, &results)
		}
		if err != nil {
			return err
		}
		delete(held, "kept")
		about["held"], err = json.Marshal(held)
		text, failure := json.Marshal(about)
		err = errors.Join(err, failure)
		for _, s := range []struct {
			query string
			value []byte
		}{
			{"UPDATE queue_message SET ref = '', about = $2 WHERE id = $1", text},
			{"INSERT INTO queue_body (message, data) VALUES ($1, $2)", data[len(results):]},
		} {
			_, failure := tx.Exec(ctx, s.query, queued, s.value)
			err = errors.Join(err, failure)
		}
		return err
	})
}

// TestWhatWaitedWithItsBytesInTheQueue, as servers kept it before there were Contents, goes on; what is erased with its organisation comes back.
func TestWhatWaitedWithItsBytesInTheQueue(t *testing.T) {
	onBothAsking(t, func(a *asking) {
		a.rule(flow.Inbound, synchronous(flow.Drop, 5))
		a.answers(says("DEFAULT"))
		a.arrive("x@far.example", "ann@acme.test")
		a.bytesInQueue()
		a.arrive("eve@other.awsapps.com", "bob@acme.test")
		a.Write(func(ctx context.Context, tx *db.Tx) error {
			n, err := a.World.Contents.EraseTx(ctx, tx, a.Acme, 10)
			if n != 1 {
				t.Errorf("%d contents were kept", n)
			}
			return err
		})
		defer a.run(t)()
		a.until("it is delivered", func() bool { return a.waits(0) && len(a.InboxOf(a.other, a.eve)) == 1 })
		if a.folders(a.ann) != [2]int{1, 0} || a.folders(a.bob) != [2]int{} || !strings.Contains(a.InboxOf(a.other, a.eve)[0].Text, "is not kept any more") {
			t.Errorf("ann has %v, bob %v, eve %s", a.folders(a.ann), a.folders(a.bob), a.InboxOf(a.other, a.eve)[0].Text)
		}
	})
}
