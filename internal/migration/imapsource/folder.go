package imapsource

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/emersion/go-imap/v2"

	"github.com/pennypost/pennypost/internal/mailbox"
	"github.com/pennypost/pennypost/internal/migration"
)

// passage is the import of one folder, over all the connections that it takes.
type passage struct {
	*task
	at     *listed
	to     migration.PlannedFolder
	report *FolderReport

	chunk  int             // messages to ask for at a time
	synced uint32          // up to which UID the folder was compared, over any of the connections
	missed map[uint32]int  // how often a message was asked for in vain
	left   map[uint32]bool // left out, and said so
}

// maxChunk is how many messages are asked for at a time.
const maxChunk = 200

// passage begins the import of a folder, or a look into it.
func (t *task) passage(i int) *passage {
	at, to := &t.listed[i], t.planned.Folders[i]
	return &passage{
		task: t, at: at, to: to, chunk: maxChunk, missed: map[uint32]int{}, left: map[uint32]bool{},
		report: &FolderReport{Source: at.Name, Here: to.Path, AtSource: at.messages(), Imported: to.Known},
	}
}

// untouched reports whether nothing happened since the last run.
func (p *passage) untouched() bool {
	return !p.to.Renumbered && p.to.ModSeq != 0 && p.to.ModSeq == p.at.status.HighestModSeq &&
		p.to.UIDNext == uint32(p.at.status.UIDNext) && p.to.Known == p.at.messages()
}

// folder imports one folder. The error is one that the account can't go on with.
func (t *task) folder(ctx context.Context, i int) error {
	p := t.passage(i)
	f := p.report
	if p.at.NoSelect {
		if p.to.Reason != "" {
			t.report.note("%s is left out: %s", printable(f.Source), p.to.Reason)
		}
		return nil
	}
	t.report.Folders = append(t.report.Folders, f)
	if p.to.Note != "" {
		t.report.note("%s: %s", printable(f.Source), p.to.Note)
	}
	switch {
	case p.to.Reason != "":
		f.Here = ""
		f.Skipped = append(f.Skipped, Skipped{Reason: p.to.Reason, Messages: f.AtSource})
		return nil
	case p.at.Unread:
		f.Error = p.at.refuse
		return nil
	case t.o.DryRun:
		f.New, f.Bytes = max(f.AtSource-f.Imported, 0), p.at.size
		return nil
	case p.untouched():
		return nil
	}
	err := t.with(ctx, p.pass)
	var refused refusedError
	if errors.As(err, &refused) {
		f.Error = err.Error()
		return nil
	}
	return err
}

// open opens the folder and returns the UIDs of all its messages, ascending.
func (p *passage) open() (*imap.SelectData, []uint32, error) {
	p.c.names()
	selected, err := p.c.client.Select(p.at.Name, &imap.SelectOptions{ReadOnly: true, CondStore: p.c.caps.Has(imap.CapCondStore)}).Wait()
	if err != nil {
		return nil, nil, judge("open the folder", err)
	}
	if selected.UIDValidity != p.at.UIDValidity {
		return nil, nil, refusedError{errors.New("the folder was made anew while it was read: run again")}
	}
	p.report.AtSource = int64(selected.NumMessages)
	uids, err := p.uids()
	if err == nil && int64(len(uids)) != p.report.AtSource {
		// Taken for true, messages would seem to be gone.
		err = lostError{fmt.Errorf("the source says that the folder has %d messages, and lists %d", p.report.AtSource, len(uids))}
	}
	return selected, uids, err
}

// pass goes through a folder, from its start: what came before is passed over.
func (p *passage) pass(ctx context.Context) error {
	selected, uids, err := p.open()
	if err != nil {
		return err
	}
	if p.to.Renumbered {
		if err := p.renumber(ctx, uids); err != nil {
			return err
		}
		p.to.Renumbered = false
	}
	changed, asked, err := p.changes()
	if err != nil {
		return err
	}
	s := p.newSender(ctx)
	err = p.pages(ctx, s, uids, changed, asked)
	if broken := s.close(); broken != nil { // there is nowhere to go with a new connection
		err = broken
	}
	if err != nil {
		return err
	}
	count, err := p.core.PassedMail(ctx, migration.MailPassed{
		Mailbox: p.opened.Mailbox, Key: p.to.Key, UIDNext: uint32(selected.UIDNext), ModSeq: selected.HighestModSeq,
	})
	p.report.Imported = count.Messages
	return err
}

// maxUIDs bounds the messages of a folder.
const maxUIDs = 20_000_000

// uids are those of all messages of the folder, ascending.
func (p *passage) uids() ([]uint32, error) {
	if p.report.AtSource == 0 {
		return nil, nil
	}
	uids, err := p.search(&imap.SearchCriteria{})
	slices.Sort(uids)
	return uids, err
}

func (p *passage) search(criteria *imap.SearchCriteria) ([]uint32, error) {
	var options *imap.SearchOptions
	if p.c.caps.Has(imap.CapESearch) {
		options = &imap.SearchOptions{ReturnAll: true}
	}
	data, err := p.c.client.UIDSearch(criteria, options).Wait()
	if err != nil {
		return nil, judge("list messages", err)
	}
	set, _ := data.All.(imap.UIDSet)
	var uids []uint32
	for _, r := range set {
		if r.Start == 0 || r.Stop < r.Start || len(uids)+int(r.Stop-r.Start) >= maxUIDs {
			return nil, lostError{errors.New("list messages: the source's answer makes no sense")}
		}
		for u := r.Start; ; u++ {
			uids = append(uids, uint32(u))
			if u == r.Stop {
				break
			}
		}
	}
	return uids, nil
}

// renumbered is how many messages are matched at a time.
const renumbered = mailbox.BatchRows

// renumber finds messages again that had other UIDs.
func (p *passage) renumber(ctx context.Context, uids []uint32) error {
	for chunk := range slices.Chunk(uids, renumbered) {
		numbers, err := p.identities(chunk)
		if err != nil {
			return err
		}
		found, err := p.core.RenumberMail(ctx, migration.MailNumbers{Mailbox: p.opened.Mailbox, Key: p.to.Key, Messages: numbers})
		if err != nil {
			return err
		}
		if found.Messages > 0 {
			p.to.Known += found.Messages // whose flags are of before
			p.reached()
		}
	}
	return p.settle(ctx, p.report, p.to.Key, false)
}

// identities asks for that of messages which stays when they get other UIDs.
func (p *passage) identities(uids []uint32) (numbers []migration.MessageNumber, err error) {
	field := &imap.FetchItemBodySection{Specifier: imap.PartSpecifierHeader, HeaderFields: []string{"Message-ID"}, Peek: true}
	err = p.fetch(uids, &imap.FetchOptions{UID: true, InternalDate: true, RFC822Size: true, BodySection: []*imap.FetchItemBodySection{field}}, func(m *fetched) error {
		var head limited
		if err := m.read(&head); err != nil {
			return err
		}
		numbers = append(numbers, migration.MessageNumber{UID: m.uid, Identity: migration.Identity(head.b, m.size, m.received)})
		return nil
	})
	if err == nil && len(numbers) != len(uids) {
		// Those that are missing would seem to be gone.
		err = lostError{fmt.Errorf("the source was asked for %d messages and gave %d", len(uids), len(numbers))}
	}
	return numbers, err
}

// limited keeps the first bytes that are written to it.
type limited struct{ b []byte }

const maxHeaderField = 16 << 10

func (l *limited) Write(b []byte) (int, error) {
	l.b = append(l.b, b[:min(len(b), maxHeaderField-len(l.b))]...)
	return len(b), nil
}

// changes are the flags that changed since the last run, where the source can tell; asked is false where it can't.
func (p *passage) changes() (changed map[uint32][]string, asked bool, err error) {
	if !p.c.caps.Has(imap.CapCondStore) || p.to.ModSeq == 0 || p.report.AtSource == 0 {
		return nil, false, nil
	}
	changed = map[uint32][]string{}
	set := imap.UIDSet{imap.UIDRange{Start: 1, Stop: 1<<32 - 1}}
	err = p.fetchSet(set, &imap.FetchOptions{UID: true, Flags: true, ChangedSince: p.to.ModSeq}, func(m *fetched) error {
		changed[m.uid] = m.flags
		return m.read(io.Discard)
	})
	return changed, true, err
}

// pageSize is how many messages are compared at a time.
const pageSize = 2000

// pages compares the folder with what is here, and brings what is not.
func (p *passage) pages(ctx context.Context, s *sender, uids []uint32, changed map[uint32][]string, asked bool) error {
	var large map[uint32]bool // as soon as it is asked for
	first := uint32(1)
	for begin := 0; begin == 0 || begin < len(uids); begin += pageSize {
		part := uids[begin:min(begin+pageSize, len(uids))]
		page := migration.MailPage{Mailbox: p.opened.Mailbox, Key: p.to.Key, First: first, Last: 1<<32 - 1, UIDs: setOf(part)}
		if begin+pageSize < len(uids) {
			page.Last = part[len(part)-1]
		}
		first = page.Last + 1
		switch {
		case asked:
			for _, u := range part {
				if flags, ok := changed[u]; ok {
					page.Flags = append(page.Flags, migration.SourceFlags{UID: u, Flags: flags})
				}
			}
		case p.to.Known > 0 && len(part) > 0:
			set := imap.UIDSet{imap.UIDRange{Start: imap.UID(part[0]), Stop: imap.UID(part[len(part)-1])}}
			err := p.fetchSet(set, &imap.FetchOptions{UID: true, Flags: true}, func(m *fetched) error {
				if len(page.Flags) < 2*pageSize {
					page.Flags = append(page.Flags, migration.SourceFlags{UID: m.uid, Flags: m.flags})
				}
				return m.read(io.Discard)
			})
			if err != nil {
				return err
			}
		}
		synced, err := p.core.SyncMail(ctx, page)
		if err != nil {
			return err
		}
		p.add(p.report, synced)
		if page.Last > p.synced { // what another connection did already is no progress: it could go on for ever
			p.synced = page.Last
			p.reached()
		}
		var wanted []uint32
		for u := range synced.Wanted.All() {
			if !p.left[uint32(u)] {
				wanted = append(wanted, uint32(u))
			}
		}
		if len(wanted) > 0 && large == nil && !p.full {
			if large, err = p.larger(); err != nil {
				return err
			}
		}
		if err := p.bring(s, wanted, large); err != nil {
			return err
		}
	}
	return nil
}

func tooLarge(limit int64) string { return fmt.Sprintf("larger than %d bytes", limit) }

func setOf(uids []uint32) mailbox.UIDSet {
	var set mailbox.UIDSet
	for _, u := range uids {
		if n := len(set); n > 0 && uint32(set[n-1].Last)+1 == u {
			set[n-1].Last = mailbox.UID(u)
		} else {
			set = append(set, mailbox.UIDRange{First: mailbox.UID(u), Last: mailbox.UID(u)})
		}
	}
	return set
}

// larger are the messages that can't be taken: they aren't asked for.
func (p *passage) larger() (map[uint32]bool, error) {
	uids, err := p.search(&imap.SearchCriteria{Larger: p.opened.MaxMessage})
	large := map[uint32]bool{}
	for _, u := range uids {
		large[u] = true
	}
	return large, err
}

// leave leaves messages out.
func (p *passage) leave(reason string, uids ...uint32) {
	for _, u := range uids {
		if !p.left[u] {
			p.left[u] = true
			p.report.skip(reason, u)
		}
	}
}

// bring asks for messages and hands them on, some hundred at a time.
func (p *passage) bring(s *sender, wanted []uint32, large map[uint32]bool) error {
	wanted = slices.DeleteFunc(wanted, func(u uint32) bool {
		if large[u] {
			p.leave(tooLarge(p.opened.MaxMessage), u)
		}
		return large[u]
	})
	for len(wanted) > 0 {
		if err := s.failed(); err != nil {
			return err
		}
		if p.full || s.full() {
			p.leave(migration.MailboxFull, wanted...)
			return nil
		}
		n := min(p.chunk, len(wanted))
		if err := p.bringChunk(s, wanted[:n]); err != nil {
			return err
		}
		wanted = wanted[n:]
	}
	return nil
}

// bringChunk asks for a few messages. A message that the source, or the client that reads it, stumbles over is found by asking for
// fewer and fewer, and left out.
func (p *passage) bringChunk(s *sender, uids []uint32) error {
	came := map[uint32]bool{}
	err := p.fetch(uids, &imap.FetchOptions{UID: true, Flags: true, InternalDate: true, RFC822Size: true, BodySection: []*imap.FetchItemBodySection{{Peek: true}}}, func(m *fetched) error {
		ok, err := s.take(m)
		came[m.uid] = came[m.uid] || ok
		return err
	})
	var lost lostError
	if errors.As(err, &lost) {
		if p.missed[uids[0]]++; len(uids) == 1 && p.missed[uids[0]] > 1 {
			p.leave("it can't be read: "+err.Error(), uids[0])
			p.reached()
		}
		p.chunk = max(len(uids)/8, 1)
	}
	if err != nil {
		return err
	}
	p.chunk = min(2*p.chunk, maxChunk)
	missing := slices.DeleteFunc(slices.Clone(uids), func(u uint32) bool { return came[u] })
	if len(missing) == 0 {
		return nil
	}
	return p.miss(s, missing)
}

// miss asks again for messages that did not come, one by one: the client loses one whose flags change meanwhile. Those that are
// still there then are left out.
func (p *passage) miss(s *sender, missing []uint32) error {
	set := imap.UIDSet{}
	for _, u := range missing {
		set.AddNum(imap.UID(u))
	}
	there, err := p.search(&imap.SearchCriteria{UID: []imap.UIDSet{set}})
	if err != nil {
		return err
	}
	for _, u := range missing {
		switch {
		case !slices.Contains(there, u):
			p.report.AtSource-- // it is gone
		case p.missed[u] > 1:
			p.leave("the source lists it and does not give it", u)
		default:
			p.missed[u] += 2
			if err := p.bringChunk(s, []uint32{u}); err != nil {
				return err
			}
		}
	}
	return nil
}
