package main

import (
	"context"
	"fmt"
	"strings"

	"github.com/pennypost/pennypost/bench/drive"
	"github.com/pennypost/pennypost/bench/peer"
)

// folders is how many a LIST of the large mailbox's owner shows, on every server.
const folders = 6

// readBuffer holds the longest line the loads make a server send whole: a SEARCH with all messages as its result.
const readBuffer = 256 << 10

// fillName is the load that makes the large mailbox, which is a delivery too.
const fillName = "deliver-c16-one-mailbox"

func imapLoads() []load {
	list := []load{{name: fillName, run: fill}}
	add := func(name string, run func(context.Context, *bench, *target, int, string) error) {
		list = append(list, load{name: name, large: true, run: func(ctx context.Context, b *bench, t *target, round int) error {
			return run(ctx, b, t, round, name)
		}})
	}
	for _, f := range []struct{ name, items string }{
		{"fetch-headers", "BODY.PEEK[HEADER]"},
		{"fetch-envelope", "(UID FLAGS INTERNALDATE RFC822.SIZE ENVELOPE)"},
		{"fetch-flags", "(UID FLAGS)"},
		{"fetch-bodies", "BODY.PEEK[]"},
	} {
		add(f.name, func(ctx context.Context, b *bench, t *target, round int, name string) error {
			return fetchAll(ctx, b, t, round, name, "FETCH 1:* "+f.items, 2)
		})
	}
	for suffix, n := range concurrency {
		add("fetch-one"+suffix, func(ctx context.Context, b *bench, t *target, round int, name string) error {
			return commands(ctx, b, t, round, name, n, n*b.scale.single, func(i int) string {
				return fmt.Sprintf("FETCH %d BODY.PEEK[]", scattered(i, b.scale.mailbox))
			})
		})
	}
	for suffix, n := range concurrency {
		add("status"+suffix, func(ctx context.Context, b *bench, t *target, round int, name string) error {
			return commands(ctx, b, t, round, name, n, n*b.scale.single, func(int) string {
				return "STATUS INBOX (MESSAGES UNSEEN UIDNEXT UIDVALIDITY)"
			})
		})
	}
	add("list", func(ctx context.Context, b *bench, t *target, round int, name string) error {
		return commands(ctx, b, t, round, name, 1, b.scale.single, func(int) string { return `LIST "" "*"` })
	})
	add("select", func(ctx context.Context, b *bench, t *target, round int, name string) error {
		return commands(ctx, b, t, round, name, 1, b.scale.selects, func(int) string { return "SELECT INBOX" })
	})
	list = append(list, searchLoads()...)
	for suffix, n := range concurrency {
		flag := `\Flagged`
		if n > 1 {
			flag = `\Draft` // which the messages don't have yet: nothing is to be written for one that has the flag
		}
		add("store-one"+suffix, func(ctx context.Context, b *bench, t *target, round int, name string) error {
			return commands(ctx, b, t, round, name, n, b.scale.single, func(i int) string {
				return fmt.Sprintf(`STORE %d %cFLAGS (%s)`, scattered(i, b.scale.mailbox), "+-"[round%2], flag)
			})
		})
	}
	add("store-all", storeAll)
	for i := range list {
		list[i].calm = strings.HasPrefix(list[i].name, "status") || list[i].name == "select"
	}
	return append(list, writeLoads()...)
}

// concurrency names the loads that one connection makes and those of sixteen, in this order.
func concurrency(yield func(string, int) bool) {
	_ = yield("", 1) && yield("-c16", 16)
}

// scattered visits n messages in an order no read-ahead guesses, each once before any again.
func scattered(i, n int) int {
	step := 7919 // a prime that divides no size we use
	return 1 + (i*step)%n
}

// fill delivers the large mailbox, once, by sixteen connections, and makes every server list as many folders.
func fill(ctx context.Context, b *bench, t *target, round int) error {
	if round > 0 {
		return nil
	}
	m, err := t.Endpoint().IMAP(ctx, peer.Big, readBuffer)
	if err != nil {
		return err
	}
	defer func() { _ = m.Close() }() // nothing hangs on it
	r, err := m.Do(`LIST "" "*"`)
	if err != nil {
		return err
	}
	for i := r.Untagged; i < folders; i++ {
		if _, err := m.Do(fmt.Sprintf("CREATE Folder%d", i)); err != nil {
			return err
		}
	}
	e := t.Endpoint()
	maker := drive.NewMaker(4<<10, "large")
	// Not bounded by time as other loads: without all messages the following would measure something else.
	out, err := drive.Closed(ctx, 16, b.scale.mailbox, 20*b.scale.most, func(ctx context.Context, _ int) (drive.Worker, error) {
		d := &deliverer{ctx: ctx, e: e, maker: maker, to: func(int) string { return e.Address(peer.Big) }}
		return d, d.connect()
	})
	if err != nil {
		return err
	}
	if err := b.addRate(round, t.Name(), sectionDelivery, fillName, out, 1, true); err != nil {
		return err
	}
	n, err := m.Messages("INBOX")
	if err == nil && n != b.scale.mailbox {
		err = fmt.Errorf("the large mailbox holds %d messages, %d were acknowledged", n, out.Done)
	}
	return err
}

// session is a worker that has the large mailbox selected and makes one command after the other.
type session struct {
	*drive.IMAP
	command func(i int) string
	check   func(drive.Reply) error
}

func (s session) Do(i int) error {
	r, err := s.IMAP.Do(s.command(i))
	if err == nil && s.check != nil {
		err = s.check(r)
	}
	return err
}

// openLarge signs in and selects the large mailbox, and sees that all is there.
func openLarge(ctx context.Context, b *bench, t *target) (*drive.IMAP, error) {
	m, err := t.Endpoint().IMAP(ctx, peer.Big, readBuffer)
	if err != nil {
		return nil, err
	}
	r, err := m.Do("SELECT INBOX")
	if err == nil && r.Exists != b.scale.mailbox {
		err = fmt.Errorf("the large mailbox has %d messages, not %d", r.Exists, b.scale.mailbox)
	}
	if err != nil {
		_ = m.Close() // the error says more
		return nil, err
	}
	return m, nil
}

// commands measures commands by n sessions on the large mailbox.
func commands(ctx context.Context, b *bench, t *target, round int, name string, n, count int, command func(i int) string) error {
	out, err := drive.Closed(ctx, n, count, b.scale.most, func(ctx context.Context, _ int) (drive.Worker, error) {
		m, err := openLarge(ctx, b, t)
		return session{m, command, nil}, err
	})
	if err != nil {
		return err
	}
	return b.addRate(round, t.Name(), sectionIMAP, name, out, 1, false)
}

// fetchAll measures messages per second of a command that answers with every message, made times.
func fetchAll(ctx context.Context, b *bench, t *target, round int, name, command string, times int) error {
	out, err := drive.Closed(ctx, 1, times, b.scale.most, func(ctx context.Context, _ int) (drive.Worker, error) {
		m, err := openLarge(ctx, b, t)
		return session{m, func(int) string { return command }, func(r drive.Reply) error {
			if r.Fetches != b.scale.mailbox {
				return fmt.Errorf("%d messages were answered of %d", r.Fetches, b.scale.mailbox)
			}
			return nil
		}}, err
	})
	if err != nil {
		return err
	}
	return b.addRate(round, t.Name(), sectionIMAP, name, out, b.scale.mailbox, false)
}

// storeAll sets a flag on all messages and takes it away again.
func storeAll(ctx context.Context, b *bench, t *target, round int, name string) error {
	out, err := drive.Closed(ctx, 1, 2, b.scale.most, func(ctx context.Context, _ int) (drive.Worker, error) {
		m, err := openLarge(ctx, b, t)
		return session{m, func(i int) string { return fmt.Sprintf(`STORE 1:* %cFLAGS (\Answered)`, "+-"[i]) }, nil}, err
	})
	if err != nil {
		return err
	}
	return b.addRate(round, t.Name(), sectionIMAP, name, out, b.scale.mailbox, false)
}
