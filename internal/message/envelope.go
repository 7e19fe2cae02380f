package message

import "time"

// Envelope holds the fields of a header that lists of messages show and threads are made of (RFC 3501 section 7.4.2). Texts
// are as in the header, unfolded: encoded words (RFC 2047) and bytes above 127 are still in them; see DecodeWords.
type Envelope struct {
	// Date is the value of the Date field, Sent its meaning in the zone it was written in, zero where it has none.
	Date string
	Sent time.Time

	Subject string
	// From to Bcc are empty where the header has no such field. IMAP's ENVELOPE shows From in the place of an empty Sender
	// or ReplyTo.
	From, Sender, ReplyTo, To, Cc, Bcc []Entry
	InReplyTo, MessageID               string

	// BaseSubject is the subject as threads and sorting compare it: decoded, without "Re:", "[list]" and their like
	// (RFC 5256 section 2.1), in lower case.
	BaseSubject string
	// References are the message ids, without angle brackets, that the message answers, oldest first: those of References,
	// or else the first of In-Reply-To (RFC 5256 section 3).
	References []string
}

// EntryKind says what an entry of an address list is.
type EntryKind uint8

// The kinds of entry.
const (
	Mailbox    EntryKind = iota // an address with or without a name
	GroupStart                  // the beginning of a group, whose name is in Name
	GroupEnd                    // the end of a group
)

// Entry is one entry of an address list (RFC 5322 section 3.4).
type Entry struct {
	Kind EntryKind
	// Name is the display name without its quotes, "" where there is none.
	Name string
	// Local and Domain are the address; Local is without quotes. Domain is "" where the address has none, which IMAP must
	// show as an empty string: NIL would make it the start of a group.
	Local, Domain string
	// Route is the obsolete source route before the address, "@a,@b", "" where there is none (RFC 5322 section 4.4).
	Route string
}

// MaxReferences is how many message ids an Envelope keeps: the first, and the last ones.
const MaxReferences = 100

// ParseEnvelope reads the header at the beginning of header, which may be a whole message. Of fields that may stand only
// once, the first counts; address lists of the same name are joined.
func ParseEnvelope(header []byte) Envelope {
	if len(header) > MaxHeader {
		header = header[:MaxHeader]
	}
	var e Envelope
	var references string
	for f := range Fields(header) {
		switch n := len(f.Name); {
		case n == 2 && f.Is("to"):
			e.To = appendEntries(e.To, f)
		case n == 2 && f.Is("cc"):
			e.Cc = appendEntries(e.Cc, f)
		case n == 3 && f.Is("bcc"):
			e.Bcc = appendEntries(e.Bcc, f)
		case n == 4 && f.Is("from"):
			e.From = appendEntries(e.From, f)
		case n == 4 && f.Is("date"):
			setFirst(&e.Date, f)
		case n == 6 && f.Is("sender"):
			e.Sender = appendEntries(e.Sender, f)
		case n == 7 && f.Is("subject"):
			setFirst(&e.Subject, f)
		case n == 8 && f.Is("reply-to"):
			e.ReplyTo = appendEntries(e.ReplyTo, f)
		case n == 10 && f.Is("message-id"):
			setFirst(&e.MessageID, f)
		case n == 10 && f.Is("references"):
			if references == "" {
				references = f.Value()
			}
		case n == 11 && f.Is("in-reply-to"):
			setFirst(&e.InReplyTo, f)
		}
	}
	if sent, ok := ParseDate(e.Date); ok {
		e.Sent = sent
	}
	e.BaseSubject = BaseSubject(e.Subject)
	e.References = threadReferences(references, e.InReplyTo)
	return e
}

func setFirst(to *string, f Field) {
	if *to == "" {
		*to = cut(f.Value(), MaxValue)
	}
}

func appendEntries(list []Entry, f Field) []Entry {
	list = append(list, ParseAddressList(f.Value())...)
	return list[:min(len(list), MaxEntries)]
}

// threadReferences returns the ids that link a message to the earlier ones of its thread.
func threadReferences(references, inReplyTo string) []string {
	ids := ParseMessageIDs(references)
	if len(ids) == 0 {
		if ids = ParseMessageIDs(inReplyTo); len(ids) > 1 {
			ids = ids[:1]
		}
	}
	if len(ids) > MaxReferences { // the root says which thread it is, the last ones where in it
		ids = append(ids[:1:1], ids[len(ids)-MaxReferences+1:]...)
	}
	return ids
}

// ParseMessageIDs returns the message ids in a value such as that of References, without angle brackets and without what
// stands between them. An id holds no white space and no angle bracket.
func ParseMessageIDs(s string) []string {
	var ids []string
	for i := 0; i < len(s); i++ {
		if s[i] != '<' {
			continue
		}
		var id []byte
		end := i + 1
		for ; end < len(s) && s[end] != '>' && s[end] != '<'; end++ {
			if c := s[end]; c > ' ' { // a fold inside an id leaves white space there
				id = append(id, c)
			}
		}
		if end == len(s) {
			break
		}
		if s[end] == '<' { // the first one was none
			i = end - 1
			continue
		}
		if len(id) > 0 {
			ids = append(ids, cut(string(id), 998))
		}
		i = end
	}
	return ids
}
