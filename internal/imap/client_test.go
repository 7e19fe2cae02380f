package imap

import (
	"crypto/tls"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	goimap "github.com/emersion/go-imap/v2"
	"github.com/emersion/go-imap/v2/imapclient"
)

const multipart = "From: =?utf-8?q?J=C3=BCrgen?= <j@example.org>\r\nTo: Friends: a@b.example, c@d.example;\r\nSubject: =?utf-8?q?Gr=C3=BC=C3=9Fe?=\r\n" +
	"Date: Mon, 7 Feb 2022 23:30:00 -0500\r\nMessage-ID: <m1@example.org>\r\nIn-Reply-To: <m0@example.org>\r\nMIME-Version: 1.0\r\n" +
	"Content-Type: multipart/mixed; boundary=\"b 1\"\r\n\r\npreamble\r\n" +
	"--b 1\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\nGr=C3=BC=C3=9Fe\r\n" +
	"--b 1\r\nContent-Type: application/pdf; name=\"a b.pdf\"\r\nContent-Disposition: attachment; filename=\"a b.pdf\"\r\nContent-Transfer-Encoding: base64\r\nContent-ID: <p@x>\r\n\r\nJVBERi0=\r\n" +
	"--b 1\r\nContent-Type: message/rfc822\r\n\r\nFrom: x@y.example\r\nSubject: inner\r\n\r\nthe inner text\r\n--b 1--\r\n"

// connect signs a client that nobody here wrote in, by STARTTLS.
func connect(t *testing.T, r *rig, handler *imapclient.UnilateralDataHandler) *imapclient.Client {
	t.Helper()
	c, err := imapclient.DialStartTLS(r.plain.Addr().String(), &imapclient.Options{TLSConfig: &tls.Config{InsecureSkipVerify: true}, UnilateralDataHandler: handler})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	if err := c.Login("ann", "sesame").Wait(); err != nil {
		t.Fatal(err)
	}
	return c
}

// must returns v, and ends the test on an error.
func must[T any](v T, err error) func(t *testing.T) T {
	return func(t *testing.T) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

func appendTo(t *testing.T, c *imapclient.Client, path, text string, o *goimap.AppendOptions) *goimap.AppendData {
	t.Helper()
	cmd := c.Append(path, int64(len(text)), o)
	if _, err := io.WriteString(cmd, text); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Close(); err != nil {
		t.Fatal(err)
	}
	return must(cmd.Wait())(t)
}

// TestForeignClient lets the client of another project use everything it knows.
func TestForeignClient(t *testing.T) {
	onBoth(t, func(t *testing.T, r *rig) {
		c := connect(t, r, nil)
		for _, capability := range []goimap.Cap{goimap.CapIMAP4rev1, goimap.CapBinary, goimap.CapCondStore, goimap.CapQResync, goimap.CapMove, goimap.CapUIDPlus, goimap.CapESearch, goimap.CapQuota, goimap.CapSpecialUse} {
			if !c.Caps().Has(capability) {
				t.Errorf("the client sees no %s", capability)
			}
		}
		t.Run("folders", func(t *testing.T) { clientFolders(t, c) })
		t.Run("fetch", func(t *testing.T) { clientFetch(t, c) })
		t.Run("change", func(t *testing.T) { clientChange(t, c) })
		t.Run("idle", func(t *testing.T) { clientIdle(t, r, c) })
		if err := c.Logout().Wait(); err != nil {
			t.Error(err)
		}
	})
}

func clientFolders(t *testing.T, c *imapclient.Client) {
	if err := c.Create("Projekte/Größe & mehr", nil).Wait(); err != nil {
		t.Fatal(err)
	}
	if err := c.Subscribe("Projekte/Größe & mehr").Wait(); err != nil {
		t.Fatal(err)
	}
	list := must(c.List("", "*", &goimap.ListOptions{
		ReturnChildren: true, ReturnSubscribed: true, ReturnSpecialUse: true,
		ReturnStatus: &goimap.StatusOptions{NumMessages: true, UIDNext: true, HighestModSeq: true, Size: true},
	}).Collect())(t)
	got := map[string]*goimap.ListData{}
	for _, l := range list {
		got[l.Mailbox] = l
	}
	for path, attr := range map[string]goimap.MailboxAttr{
		"Sent Items": goimap.MailboxAttrSent, "Drafts": goimap.MailboxAttrDrafts, "Junk E-mail": goimap.MailboxAttrJunk,
		"Deleted Items": goimap.MailboxAttrTrash, "Projekte": goimap.MailboxAttrHasChildren, "Projekte/Größe & mehr": goimap.MailboxAttrSubscribed, "INBOX": goimap.MailboxAttrHasNoChildren,
	} {
		l := got[path]
		if l == nil || !slices.Contains(l.Attrs, attr) || l.Delim != '/' || l.Status == nil || *l.Status.NumMessages != 0 || l.Status.UIDNext != 1 || l.Status.HighestModSeq == 0 {
			t.Errorf("%s is listed as %+v, want %s and its status", path, l, attr)
		}
	}
	if err := c.Rename("Projekte/Größe & mehr", "Projekte/台北", nil).Wait(); err != nil {
		t.Error(err)
	}
	if err := c.Delete("Projekte/台北").Wait(); err != nil {
		t.Error(err)
	}
	if err := c.Delete("Projekte/台北").Wait(); err == nil || !strings.Contains(err.Error(), "NONEXISTENT") {
		t.Errorf("deleted twice: %v", err)
	}
	if ns := must(c.Namespace().Wait())(t); len(ns.Personal) != 1 || ns.Personal[0].Delim != '/' {
		t.Errorf("the namespace is %+v", ns)
	}
	if id := must(c.ID(&goimap.IDData{Name: "test"}).Wait())(t); id.Name != "Pennypost" {
		t.Errorf("the server is %+v", id)
	}
	quotas := must(c.GetQuotaRoot("INBOX").Wait())(t)
	if len(quotas) != 1 || quotas[0].Resources[goimap.QuotaResourceStorage].Limit != testQuota/1024 {
		t.Errorf("the quota is %+v", quotas)
	}
}

func clientFetch(t *testing.T, c *imapclient.Client) {
	when := time.Date(2022, 2, 8, 4, 30, 1, 0, time.UTC)
	a := appendTo(t, c, "INBOX", multipart, &goimap.AppendOptions{Flags: []goimap.Flag{goimap.FlagFlagged, "$Label1"}, Time: when})
	if a.UID != 1 || a.UIDValidity == 0 {
		t.Errorf("APPENDUID is %+v", a)
	}
	sel := must(c.Select("INBOX", &goimap.SelectOptions{CondStore: true}).Wait())(t)
	if sel.NumMessages != 1 || sel.UIDNext != 2 || sel.UIDValidity != a.UIDValidity || sel.HighestModSeq == 0 || !slices.Contains(sel.PermanentFlags, goimap.FlagWildcard) {
		t.Errorf("SELECT gave %+v", sel)
	}
	section := func(s goimap.FetchItemBodySection) *goimap.FetchItemBodySection { s.Peek = true; return &s }
	sections := map[*goimap.FetchItemBodySection]string{
		section(goimap.FetchItemBodySection{}):                                                                                         multipart,
		section(goimap.FetchItemBodySection{Specifier: goimap.PartSpecifierHeader}):                                                    multipart[:strings.Index(multipart, "\r\n\r\n")+4],
		section(goimap.FetchItemBodySection{Specifier: goimap.PartSpecifierText}):                                                      multipart[strings.Index(multipart, "\r\n\r\n")+4:],
		section(goimap.FetchItemBodySection{Part: []int{1}}):                                                                           "Gr=C3=BC=C3=9Fe",
		section(goimap.FetchItemBodySection{Part: []int{2}, Partial: &goimap.SectionPartial{Offset: 2, Size: 3}}):                      "BER",
		section(goimap.FetchItemBodySection{Part: []int{2}, Specifier: goimap.PartSpecifierMIME}):                                      "Content-Type: application/pdf; name=\"a b.pdf\"\r\nContent-Disposition: attachment; filename=\"a b.pdf\"\r\nContent-Transfer-Encoding: base64\r\nContent-ID: <p@x>\r\n\r\n",
		section(goimap.FetchItemBodySection{Part: []int{3}, Specifier: goimap.PartSpecifierHeader}):                                    "From: x@y.example\r\nSubject: inner\r\n\r\n",
		section(goimap.FetchItemBodySection{Part: []int{3, 1}}):                                                                        "the inner text",
		section(goimap.FetchItemBodySection{Specifier: goimap.PartSpecifierHeader, HeaderFields: []string{"message-id"}}):              "Message-ID: <m1@example.org>\r\n\r\n",
		section(goimap.FetchItemBodySection{Part: []int{3}, Specifier: goimap.PartSpecifierHeader, HeaderFieldsNot: []string{"From"}}): "Subject: inner\r\n\r\n",
		section(goimap.FetchItemBodySection{Part: []int{9}}):                                                                           "",
	}
	o := &goimap.FetchOptions{Flags: true, Envelope: true, InternalDate: true, RFC822Size: true, UID: true, ModSeq: true, BodyStructure: &goimap.FetchItemBodyStructure{Extended: true}}
	for s := range sections {
		o.BodySection = append(o.BodySection, s)
	}
	binary := &goimap.FetchItemBinarySection{Part: []int{1}, Peek: true}
	o.BinarySection = []*goimap.FetchItemBinarySection{binary, {Part: []int{2}, Peek: true}} // it can't read a partial one
	o.BinarySectionSize = []*goimap.FetchItemBinarySectionSize{{Part: []int{2}}}
	messages := must(c.Fetch(goimap.SeqSetNum(1), o).Collect())(t)
	if len(messages) != 1 {
		t.Fatalf("FETCH gave %d messages", len(messages))
	}
	m := messages[0]
	for s, want := range sections {
		if got := m.FindBodySection(s); string(got) != want {
			t.Errorf("section %+v is %q, want %q", s, got, want)
		}
	}
	if got := m.FindBinarySection(binary); string(got) != "Grüße" {
		t.Errorf("BINARY[1] is %q", got)
	}
	if got := m.FindBinarySection(o.BinarySection[1]); string(got) != "%PDF-" || m.BinarySectionSize[0].Size != 5 {
		t.Errorf("BINARY[2] is %q, of %d bytes", got, m.BinarySectionSize[0].Size)
	}
	if !m.InternalDate.Equal(when) || m.RFC822Size != int64(len(multipart)) || m.ModSeq != sel.HighestModSeq || !slices.Contains(m.Flags, "$Label1") || !slices.Contains(m.Flags, goimap.FlagFlagged) {
		t.Errorf("the message is %+v", m)
	}
	e := m.Envelope
	if e.Subject != "Grüße" || e.From[0].Name != "Jürgen" || e.From[0].Addr() != "j@example.org" || len(e.To) != 4 || !e.To[0].IsGroupStart() || e.To[0].Mailbox != "Friends" ||
		e.To[2].Addr() != "c@d.example" || !e.To[3].IsGroupEnd() || e.MessageID != "m1@example.org" || e.InReplyTo[0] != "m0@example.org" || e.Date.UTC().Hour() != 4 {
		t.Errorf("the envelope is %+v", e)
	}
	var types []string
	m.BodyStructure.Walk(func(path []int, part goimap.BodyStructure) bool {
		types = append(types, part.MediaType())
		if single, ok := part.(*goimap.BodyStructureSinglePart); ok && part.MediaType() == "application/pdf" && (single.Filename() != "a b.pdf" || single.ID != "<p@x>" || single.Size != 8) {
			t.Errorf("the attachment is %+v", single)
		}
		return true
	})
	if want := []string{"multipart/mixed", "text/plain", "application/pdf", "message/rfc822"}; !slices.Equal(types, want) {
		t.Errorf("the structure has %q, want %q", types, want)
	}
}

func clientChange(t *testing.T, c *imapclient.Client) {
	for range 3 {
		appendTo(t, c, "INBOX", "Subject: plain\r\n\r\nfox and hound\r\n", nil)
	}
	highest := must(c.Status("INBOX", &goimap.StatusOptions{HighestModSeq: true}).Wait())(t).HighestModSeq
	store := &goimap.StoreFlags{Op: goimap.StoreFlagsAdd, Flags: []goimap.Flag{goimap.FlagSeen}}
	changed := must(c.Store(goimap.SeqSetNum(2), store, &goimap.StoreOptions{UnchangedSince: highest}).Collect())(t)
	if len(changed) != 1 || changed[0].ModSeq <= highest || !slices.Contains(changed[0].Flags, goimap.FlagSeen) {
		t.Errorf("STORE gave %+v", changed)
	}
	if again := must(c.Store(goimap.SeqSetNum(2), store, &goimap.StoreOptions{UnchangedSince: highest}).Collect())(t); len(again) != 0 {
		t.Errorf("STORE on an old state gave %+v", again)
	}
	all := goimap.SeqSet{{Start: 1, Stop: 0}}
	if newer := must(c.Fetch(all, &goimap.FetchOptions{Flags: true, ChangedSince: highest}).Collect())(t); len(newer) != 1 || newer[0].SeqNum != 2 {
		t.Errorf("CHANGEDSINCE gave %+v", newer)
	}
	found := must(c.UIDSearch(&goimap.SearchCriteria{Body: []string{"FOX"}, NotFlag: []goimap.Flag{goimap.FlagSeen}},
		&goimap.SearchOptions{ReturnAll: true, ReturnCount: true, ReturnMin: true, ReturnMax: true}).Wait())(t)
	if found.Count != 2 || found.Min != 3 || found.Max != 4 || !slices.Equal(found.AllUIDs(), []goimap.UID{3, 4}) {
		t.Errorf("ESEARCH gave %+v", found)
	}
	if since := must(c.Search(&goimap.SearchCriteria{ModSeq: &goimap.SearchCriteriaModSeq{ModSeq: highest + 1}}, nil).Wait())(t); since.ModSeq <= highest || !slices.Equal(since.AllSeqNums(), []uint32{2}) {
		t.Errorf("SEARCH MODSEQ gave %+v", since)
	}
	copied := must(c.Copy(goimap.UIDSetNum(2, 4), "Drafts").Wait())(t)
	if copied.SourceUIDs.String() != "2,4" || copied.DestUIDs.String() != "1:2" {
		t.Errorf("COPYUID is %+v", copied)
	}
	moved := must(c.Move(goimap.SeqSetNum(3), "Junk E-mail").Wait())(t)
	if moved.SourceUIDs.String() != "3" || moved.DestUIDs.String() != "1" {
		t.Errorf("MOVE gave %+v", moved)
	}
	if _, err := c.Store(goimap.UIDSetNum(1, 2), &goimap.StoreFlags{Op: goimap.StoreFlagsAdd, Silent: true, Flags: []goimap.Flag{goimap.FlagDeleted}}, nil).Collect(); err != nil {
		t.Error(err)
	}
	if gone := must(c.UIDExpunge(goimap.UIDSetNum(2, 4)).Collect())(t); !slices.Equal(gone, []uint32{2}) {
		t.Errorf("UID EXPUNGE gave %v", gone)
	}
	if gone := must(c.Expunge().Collect())(t); !slices.Equal(gone, []uint32{1}) {
		t.Errorf("EXPUNGE gave %v", gone)
	}
	if left := must(c.UIDSearch(&goimap.SearchCriteria{}, nil).Wait())(t); !slices.Equal(left.AllUIDs(), []goimap.UID{4}) {
		t.Errorf("what is left: %v", left.AllUIDs())
	}
	if err := c.Unselect().Wait(); err != nil {
		t.Error(err)
	}
}

// clientIdle hears of a delivery while it waits.
func clientIdle(t *testing.T, r *rig, other *imapclient.Client) {
	came := make(chan uint32, 10)
	c := connect(t, r, &imapclient.UnilateralDataHandler{Mailbox: func(d *imapclient.UnilateralDataMailbox) {
		if d.NumMessages != nil {
			came <- *d.NumMessages
		}
	}})
	if _, err := c.Select("Sent Items", nil).Wait(); err != nil {
		t.Fatal(err)
	}
	idle := must(c.Idle())(t)
	appendTo(t, other, "Sent Items", "Subject: x\r\n\r\ny\r\n", nil)
	select {
	case n := <-came:
		if n != 1 {
			t.Errorf("heard of %d messages", n)
		}
	case <-time.After(time.Minute):
		t.Fatal("heard of nothing")
	}
	if err := idle.Close(); err != nil {
		t.Error(err)
	}
	if err := idle.Wait(); err != nil {
		t.Error(err)
	}
}
