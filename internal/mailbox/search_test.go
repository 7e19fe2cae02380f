package mailbox

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/pennypost/pennypost/internal/fault"
)

// plainMatcher finds text in envelopes and messages as they are, and counts how often it had to look.
type plainMatcher struct {
	envelopes, messages int
	err                 error
	looked              func() // called at each look into a message, if not nil
}

func (m *plainMatcher) MatchEnvelope(c *Criterion, envelope []byte) (match, known bool) {
	m.envelopes++
	return bytes.Contains(envelope, []byte(c.Text)), c.Field == "envelope"
}

func (m *plainMatcher) Message(_ []byte, content Content, prefix int) MessageMatcher {
	return plainMessage{m, content, prefix}
}

type plainMessage struct {
	*plainMatcher
	content Content
	prefix  int
}

func (m plainMessage) Match(c *Criterion) (bool, error) {
	m.messages++
	if m.looked != nil {
		m.looked()
	}
	data := make([]byte, m.content.Size())
	if _, err := m.content.ReadAt(data, 0); err != nil && err != io.EOF {
		return false, err
	}
	return bytes.Contains(data[m.prefix:], []byte(c.Text)), m.err
}

func TestSearch(t *testing.T) {
	onBoth(t, func(t *testing.T, r *rig) {
		ctx := t.Context()
		id := r.mailbox("a")
		// UIDs 1 to 9; 4 is expunged.
		var last Stored
		for i := 1; i <= 9; i++ {
			flags := Flags(0)
			if i%2 == 0 {
				flags |= Seen
			}
			if i%3 == 0 {
				flags |= Flagged
			}
			r.clock.Advance(time.Hour)
			out, err := r.Deliver(ctx, text(strings.Repeat("x", i)+fmt.Sprintf(" word%d", i)),
				Target{Mailbox: id, Flags: flags, Received: testStart.AddDate(0, 0, i), Prefix: []byte("secret: word9\r\n"), Thread: ThreadID(100 + i%2)})
			r.ok(err)
			last = out[0]
		}
		_, err := r.Expunge(ctx, id, InboxID, UIDs(4), false)
		r.ok(err)
		unseen := Criterion{Op: FlagsAre, Mask: Seen}
		flagged := Criterion{Op: FlagsAre, Mask: Flagged, Flags: Flagged}
		some := Criterion{Op: InUIDs, UIDs: NewUIDSet(UIDRange{2, 5}, UIDRange{8, MaxUID})}
		header := Criterion{Op: HeaderHas, Field: "envelope", Text: "word5"}
		other := Criterion{Op: HeaderHas, Field: "x-other", Text: "word7"}
		body := Criterion{Op: BodyHas, Text: "word9"}
		size := r.items(id, InboxID, WantItem)[2].Size
		and := func(c ...Criterion) Criterion { return Criterion{Op: And, Sub: c} }
		or := func(c ...Criterion) Criterion { return Criterion{Op: Or, Sub: c} }
		not := func(c Criterion) Criterion { return Criterion{Op: Not, Sub: []Criterion{c}} }
		for _, c := range []struct {
			name                string
			c                   Criterion
			want                string
			envelopes, messages int
		}{
			{"all", Criterion{}, "1:3,5:9", 0, 0},
			{"unseen", unseen, "1,3,5,7,9", 0, 0},
			{"unseen and flagged", and(unseen, flagged), "3,9", 0, 0},
			{"seen and unseen", and(unseen, not(unseen)), "", 0, 0},
			{"contradictory flags", and(unseen, Criterion{Op: FlagsAre, Mask: Seen, Flags: Seen}), "", 0, 0},
			{"UIDs", some, "2:3,5,8:9", 0, 0},
			{"UIDs and flags", and(some, unseen), "3,5,9", 0, 0},
			{"two sets of UIDs", and(some, Criterion{Op: InUIDs, UIDs: UIDs(1, 3, 9)}), "3,9", 0, 0},
			{"not UIDs", not(some), "1,6:7", 0, 0},
			{"or", or(some, flagged), "2:3,5:6,8:9", 0, 0},
			{"empty and", and(), "1:3,5:9", 0, 0},
			{"empty or", or(), "", 0, 0},
			{"larger", Criterion{Op: Larger, Number: size}, "5:9", 0, 0},
			{"smaller", Criterion{Op: Smaller, Number: size}, "1:2", 0, 0},
			{"since", Criterion{Op: ReceivedFrom, Time: testStart.AddDate(0, 0, 7)}, "7:9", 0, 0},
			{"before", Criterion{Op: ReceivedBefore, Time: testStart.AddDate(0, 0, 2)}, "1", 0, 0},
			{"saved since", Criterion{Op: SavedFrom, Time: testStart.Add(8 * time.Hour)}, "8:9", 0, 0},
			{"saved before", Criterion{Op: SavedBefore, Time: testStart.Add(2 * time.Hour)}, "1", 0, 0},
			{"changed", Criterion{Op: ChangedFrom, Number: int64(last.ModSeq)}, "9", 0, 0},
			{"email", Criterion{Op: EmailIs, Number: int64(last.Email)}, "9", 0, 0},
			{"thread", Criterion{Op: ThreadIs, Number: 101}, "1,3,5,7,9", 0, 0},
			{"envelope", header, "5", 8, 0},
			{"not envelope", not(header), "1:3,6:9", 8, 0},
			{"flags spare envelopes", and(header, unseen), "5", 5, 0},
			{"UIDs spare envelopes", and(header, Criterion{Op: InUIDs, UIDs: UIDs(1, 5)}), "5", 2, 0},
			{"a field that envelopes lack", other, "7", 16, 8},
			{"a cheap no spares messages", and(other, Criterion{Op: Larger, Number: size}, header), "", 14, 1},
			{"body, not the prefix", body, "9", 0, 8},
			{"a cheap yes spares messages", or(unseen, body), "1,3,5,7,9", 0, 3},
			{"text or envelope", or(header, Criterion{Op: TextHas, Text: "word6"}), "5:6", 15, 7},
		} {
			t.Run(c.name, func(t *testing.T) {
				m := &plainMatcher{}
				found, err := r.Search(ctx, id, InboxID, &c.c, m, false)
				if err != nil || found.UIDs.String() != c.want {
					t.Errorf("found %q, want %q: %v", found.UIDs, c.want, err)
				}
				if m.envelopes != c.envelopes || m.messages != c.messages {
					t.Errorf("looked into %d envelopes and %d messages, want %d and %d", m.envelopes, m.messages, c.envelopes, c.messages)
				}
				withModSeq, err := r.Search(ctx, id, InboxID, &c.c, m, true)
				if err != nil || withModSeq.UIDs.String() != c.want || (withModSeq.Highest == 0) != (c.want == "") {
					t.Errorf("with numbers found %q up to %d: %v", withModSeq.UIDs, withModSeq.Highest, err)
				}
			})
		}
		searchRefuses(ctx, t, r, id)
		searchStops(ctx, t, r, id)
	})
}

// searchStops ends a search of many questions in the middle of a message.
func searchStops(ctx context.Context, t *testing.T, r *rig, id ID) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	many := Criterion{Op: Or}
	for range 100 {
		many.Sub = append(many.Sub, Criterion{Op: BodyHas, Text: "absent"})
	}
	m := &plainMatcher{looked: cancel}
	if _, err := r.Search(ctx, id, InboxID, &many, m, false); !errors.Is(err, context.Canceled) || m.messages != 1 {
		t.Errorf("a search that was ended went on for %d questions: %v", m.messages, err)
	}
}

func searchRefuses(ctx context.Context, t *testing.T, r *rig, id ID) {
	broken := &plainMatcher{err: errors.New("broken")}
	if _, err := r.Search(ctx, id, InboxID, &Criterion{Op: BodyHas}, broken, false); !errors.Is(err, broken.err) {
		t.Errorf("a matcher's error came back as %v", err)
	}
	_, err := r.Search(ctx, id, 99, &Criterion{}, nil, false)
	wantFault(t, err, fault.NotFound, fault.Folder)
	_, err = r.Search(ctx, id, InboxID, &Criterion{Op: BodyHas}, nil, false)
	wantFault(t, err, fault.Unsupported, fault.Message)
	_, err = r.Search(ctx, id, InboxID, &Criterion{Op: Not}, nil, false)
	wantFault(t, err, fault.Invalid, fault.Message)
	deep := Criterion{}
	for range maxCriterionDepth + 1 {
		deep = Criterion{Op: Not, Sub: []Criterion{deep}}
	}
	_, err = r.Search(ctx, id, InboxID, &deep, nil, false)
	wantFault(t, err, fault.Limit, fault.Message)
	_, err = r.Search(ctx, id, InboxID, &Criterion{Op: Or, Sub: make([]Criterion, maxCriteria)}, nil, false)
	wantFault(t, err, fault.Limit, fault.Message)
}
