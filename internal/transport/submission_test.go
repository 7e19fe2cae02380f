package transport_test

import (
	"regexp"
	"strings"
	"testing"

	"github.com/pennypost/pennypost/internal/directory"
	"github.com/pennypost/pennypost/internal/fault"
	"github.com/pennypost/pennypost/internal/message"
	"github.com/pennypost/pennypost/internal/policy"
	"github.com/pennypost/pennypost/internal/transport"
	"github.com/pennypost/pennypost/internal/transport/transporttest"
)

// submitters is a world with ann, and others on whose behalf she may do this and that.
type submitters struct {
	*transporttest.World
	ann, box directory.EntityID // box receives
}

func onBothSubmitters(t *testing.T, fn func(s *submitters)) {
	t.Helper()
	transporttest.OnBoth(t, nil, func(w *transporttest.World) {
		s := &submitters{World: w, ann: w.User("ann"), box: w.User("box")}
		w.Must(w.Directory.CreateAlias(t.Context(), transporttest.Admin, w.Acme.ID, s.ann, "anna@acme.awsapps.com"))
		for name, rights := range map[string]policy.Rights{
			"as": policy.SendAs, "behalf": policy.SendOnBehalf, "both": policy.SendAs | policy.SendOnBehalf, "open": policy.FullAccess,
		} {
			w.Grant(w.User(name), s.ann, rights)
		}
		w.User("stranger")
		// by a group, and as a group
		w.Grant(w.User("team-owner"), w.Group("team", s.ann), policy.SendAs)
		w.Grant(w.Group("list"), s.ann, policy.SendAs)
		fn(s)
	})
}

// submit sends a message as ann, from a local part of acme ("" for no reverse-path), and returns its text in box's inbox.
func (s *submitters) submit(from, text string) (string, error) {
	s.T.Helper()
	sender := transport.Sender{Principal: user(s.World, s.ann), Submitted: true}
	if from != "" {
		sender.From = address(from + "@acme.awsapps.com")
	}
	before := len(s.Inbox(s.box))
	x, err := s.Begin(s.T.Context(), sender)
	if err != nil {
		return "", err
	}
	add(s.World, x, "box@acme.awsapps.com")
	err = store(s.T.Context(), x, strings.ReplaceAll(strings.ReplaceAll(text, "@.", "@acme.awsapps.com"), "\n", "\r\n"))
	got := s.Inbox(s.box)
	if err != nil {
		if len(got) != before {
			s.T.Errorf("%q was refused and stored", text)
		}
		return "", err
	}
	return strings.ReplaceAll(got[len(got)-1].Text, "\r\n", "\n"), nil
}

func TestReversePathMustBeTheUsers(t *testing.T) {
	onBothSubmitters(t, func(s *submitters) {
		for from, ok := range map[string]bool{
			"ann": true, "ANN": true, "anna": true, "": true, "as": true, "behalf": true, "both": true, "team-owner": true, "list": true,
			"open": false, "stranger": false, "nobody": false, "ann+tag": false, "team": false,
		} {
			_, err := s.submit(from, "From: ann@.\n\nx\n")
			if ok && err != nil || !ok && !fault.Is(err, fault.Denied, fault.Address) {
				t.Errorf("from %q: %v", from, err)
			}
		}
		_, err := s.Begin(t.Context(), transport.Sender{Principal: user(s.World, s.ann), Submitted: true, From: address("ann@other.test")})
		if !fault.Is(err, fault.Denied, fault.Address) {
			t.Errorf("from elsewhere: %v", err)
		}
		s.Disable(s.ann)
		if _, err := s.submit("ann", "From: ann@.\n\nx\n"); fault.KindOf(err) != fault.Denied {
			t.Errorf("by a user who was disabled: %v", err)
		}
	})
}

// Each case is a header, and what becomes of it: the Sender field ("-" for none) and the reverse-path; or it is refused.
func TestWhoAMessageIsFrom(t *testing.T) {
	const annSender = `"The ann" <ann@acme.awsapps.com>`
	onBothSubmitters(t, func(s *submitters) {
		for _, c := range []struct{ header, sender, returnPath string }{
			{"From: ann@.", "-", "ann"},
			{"From: Ann <ANNA@.>", "-", "ann"},
			{"From: ann@.\nSender: anna@.", "anna@.", "ann"},
			{"From: as@.", "-", "as"},
			{"From: as@.\nSender: as@.", "as@.", "as"},
			{"From: as@.\nSender: ann@.", "-", "as"},
			{"From: team-owner@.", "-", "team-owner"},
			{"From: list@.", "-", "list"},
			{"From: behalf@.", annSender, "ann"},
			{"From: behalf@.\nSender: anna@.", "anna@.", "ann"},
			{"From: behalf@.\nSender: as@.", annSender, "ann"},
			{"From: both@.", "-", "both"},
			{"From: both@.\nSender: ann@.", "ann@.", "ann"},
			{"From: ann@., anna@.", annSender, "ann"},
			{"From: ann@., behalf@.", annSender, "ann"},
			{"From: ann@.\nResent-From: anna@.", "-", "ann"},
			{"From  ann@. Thu Nov 26 10:00\nFrom \t: ann@.\n\vFrom anna: x\nX: y\n From\v: behalf@.", "-", "ann"},
			{"From: ann@.\nResent-From: as@.", "-", "ann"},
			{"From: ann@.\nResent-From: behalf@.\nResent-Sender: ann@.", "-", "ann"},
		} {
			got, err := s.submit("ann", c.header+"\nSubject: x\n\nbody\n")
			if err != nil {
				t.Errorf("%q: %v", c.header, err)
				continue
			}
			sender, ok := message.FirstValue([]byte(got), "sender")
			if !ok {
				sender = "-"
			}
			if want := strings.ReplaceAll(c.sender, "@.", "@acme.awsapps.com"); sender != want {
				t.Errorf("%q: Sender %q, want %q", c.header, sender, want)
			}
			if path, _ := message.FirstValue([]byte(got), "return-path"); path != "<"+c.returnPath+"@acme.awsapps.com>" {
				t.Errorf("%q: Return-Path %q, want %q", c.header, path, c.returnPath)
			}
		}
	})
}

func TestRefusedOriginators(t *testing.T) {
	onBothSubmitters(t, func(s *submitters) {
		for header, kind := range map[string]fault.Kind{
			"Subject: no From":               fault.Invalid,
			"From:":                          fault.Invalid,
			"From: Ann":                      fault.Invalid,
			"From: Ann <ann>":                fault.Invalid,
			"From: all: ann@.;":              fault.Invalid,
			"From: ann@.\nFrom: stranger@.":  fault.Invalid,
			"From: ann@.\nfrom : stranger@.": fault.Invalid,
			"From: ann@.\nSender: ann@.\nSender: anna@.": fault.Invalid,
			"From: ann@.\nSender: ann@., anna@.":         fault.Invalid,
			"From: ann@.\nX: \x00":                       fault.Invalid,
			" , stranger@.\nFrom: behalf@.":              fault.Invalid, // it would go on with the Sender put before it
			// Some readers pass over white space of other kinds, and what they can't show.
			"From\v: stranger@.\nFrom: ann@.":          fault.Invalid,
			"From: ann@.\nfrom\u00a0 : stranger@.":     fault.Invalid,
			"From: ann@.\nSen\u200bder: stranger@.":    fault.Invalid,
			"From: ann@.\nRe sent-From: stranger@.":    fault.Invalid,
			"From: ann@.\n\xffResent-From: stranger@.": fault.Invalid,
			// Some join folded lines before they look for the colon.
			"From\n : stranger@.\nFrom: ann@.":        fault.Invalid,
			"From: ann@.\nSender\n\t\n \t:stranger@.": fault.Invalid,
			// Readers differ in which of the two they show.
			"From: <ann@.> <stranger@.>":                                 fault.Invalid,
			"From: <ann@.><stranger@.>":                                  fault.Invalid,
			"From: <ann@.> stranger@.":                                   fault.Invalid,
			"From: <ann@.>: stranger@.":                                  fault.Invalid,
			"From: <ann@.> \"stranger@.\"":                               fault.Invalid,
			"From: stranger@. <ann@.>":                                   fault.Invalid,
			"From: ann@. (stranger@.":                                    fault.Invalid,
			"From: <ann@.> \"stranger@.":                                 fault.Invalid,
			"From: ann@., stranger@. <ann@.>":                            fault.Invalid,
			"From: <ann@.\nX: y":                                         fault.Invalid,
			"From: ann@.\nSender: <ann@.> stranger@.":                    fault.Invalid,
			"From: stranger@.":                                           fault.Denied,
			"From: ann@., stranger@.":                                    fault.Denied,
			"From: \"ann@.\" <stranger@.>":                               fault.Denied,
			"From: stranger@. (ann@.)":                                   fault.Denied,
			"From: open@.":                                               fault.Denied,
			"From: nobody@.":                                             fault.Denied,
			"From: ann+tag@.":                                            fault.Denied,
			"From: ann@elsewhere.test":                                   fault.Denied,
			"From: ann@.\nSender: stranger@.":                            fault.Denied,
			"From: ann@.\nSender: behalf@.":                              fault.Denied,
			"From: ann@.\nResent-From: stranger@.":                       fault.Denied,
			"From: ann@.\nResent-From: ann@.\nResent-From: nobody@.":     fault.Denied,
			"From: ann@.\nResent-From: behalf@.":                         fault.Denied,
			"From: ann@.\nResent-From: ann@.\nResent-Sender: stranger@.": fault.Denied,
			"From: ann@.\nResent-From: ann@.\nResent-Sender: behalf@.":   fault.Denied,
			"X: " + strings.Repeat("y", 1<<20) + "\nFrom: stranger@.":    fault.Denied, // behind the limit of the parser
		} {
			if _, err := s.submit("ann", header+"\n\nbody\n"); fault.KindOf(err) != kind || err == nil {
				t.Errorf("%.80q: %v, want %v", header, err, kind)
			}
		}
		if _, err := s.submit("ann", "text without a header"); fault.KindOf(err) != fault.Invalid {
			t.Errorf("no header: %v", err)
		}
	})
}

func TestSubmittedHeader(t *testing.T) {
	onBothSubmitters(t, func(s *submitters) {
		got, err := s.submit("ann", "Bcc: secret@.\nFrom: ann@.\nbcc : more@.,\n secret@.\nReturn-Path: <forged@x.test>\nResent-Bcc: r@.\nSubject: x\n\nBcc: in the body\n")
		s.Must(err)
		want := regexp.MustCompile(`\AReturn-Path: <ann@acme\.awsapps\.com>
Delivered-To: box@acme\.awsapps\.com
Received: from a by b;
	Mon, 23 Nov 2026 12:00:00 \+0000
Date: Mon, 23 Nov 2026 12:00:00 \+0000
Message-ID: <[0-9a-f-]{36}@acme\.awsapps\.com>
From: ann@acme\.awsapps\.com
Subject: x

Bcc: in the body
\z`)
		if !want.MatchString(got) {
			t.Errorf("%s", got)
		}
		keep := "Date: Mon, 1 Jan 2024 00:00:00 +0000\nMessage-ID: <1@x>\nFrom: ann@acme.awsapps.com\n\nbody\n"
		got, err = s.submit("ann", keep)
		s.Must(err)
		if !strings.HasSuffix(got, "+0000\n"+keep) {
			t.Errorf("%s", got)
		}
		// The structure is that of what was stored, not of what came.
		inbox := s.Inbox(s.box)
		last := inbox[len(inbox)-1]
		st, err := message.DecodeStructure(last.Item.Structure)
		s.Must(err)
		start, end, _ := st.Section(nil, message.Text)
		if body := last.Text[len(last.Item.Prefix):][start:end]; body != "body\r\n" {
			t.Errorf("the stored text section is %q", body)
		}
	})
}

func TestNobodyElseSubmits(t *testing.T) {
	onBothSubmitters(t, func(s *submitters) {
		p := user(s.World, s.ann)
		p.Kind = 0
		if _, err := s.Begin(t.Context(), transport.Sender{Principal: p, Submitted: true, From: address("ann@acme.awsapps.com")}); fault.KindOf(err) != fault.Denied || err == nil {
			t.Errorf("the system submits: %v", err)
		}
		p = user(s.World, "no-such-user")
		if _, err := s.Begin(t.Context(), transport.Sender{Principal: p, Submitted: true, From: address("ann@acme.awsapps.com")}); fault.KindOf(err) != fault.Denied || err == nil {
			t.Errorf("an unknown user submits: %v", err)
		}
	})
}
