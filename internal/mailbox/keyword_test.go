package mailbox

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/pennypost/pennypost/internal/fault"
)

func TestKeywordsKeepTheirBits(t *testing.T) {
	onBoth(t, func(t *testing.T, r *rig) {
		ctx := t.Context()
		id := r.mailbox("a")
		k, err := r.Keywords(ctx, id)
		r.ok(err)
		if got := k.Names(k.All()); !slices.Equal(got, []string{"$MDNSent", "$Forwarded", "$Junk", "$NotJunk", "$Phishing", "$SubmitPending", "$Submitted", "$Important"}) {
			t.Errorf("a new mailbox knows %q", got)
		}
		flags, err := r.DefineKeywords(ctx, id, []string{"$junk", "Red", "blue"})
		r.ok(err)
		again, err := r.DefineKeywords(ctx, id, []string{"BLUE", "$Junk", "red"})
		if err != nil || again != flags || !flags.Has(Junk) || flags.Count() != 3 {
			t.Errorf("bits %x, then %x: %v", flags, again, err)
		}
		k, err = r.Keywords(ctx, id)
		r.ok(err)
		if got := k.Names(flags | Seen | Deleted); !slices.Equal(got, []string{"$Junk", "Red", "blue"}) {
			t.Errorf("names are %q", got)
		}
		if bit, ok := k.Bit("RED"); !ok || !flags.Has(bit) || bit.Count() != 1 {
			t.Errorf("RED is %x, %v", bit, ok)
		}
		if _, ok := k.Bit("green"); ok {
			t.Error("an unknown keyword has a bit")
		}
		r.put(id, InboxID, "x", flags|Seen)
		if it := r.items(id, InboxID, WantFlags)[0]; it.Flags != flags|Seen {
			t.Errorf("flags came back as %x, want %x", it.Flags, flags|Seen)
		}
	})
}

func TestKeywordsAreBounded(t *testing.T) {
	onBoth(t, func(t *testing.T, r *rig) {
		ctx := t.Context()
		id := r.mailbox("a")
		for _, name := range []string{"", "a b", "a(b", "a)", "{", "%", "*", `"`, `\Seen`, "a]", "a\x01", "a\x7f", "ü", strings.Repeat("x", MaxKeywordLength+1)} {
			_, err := r.DefineKeywords(ctx, id, []string{name})
			wantFault(t, err, fault.Invalid, fault.Message)
		}
		var wg sync.WaitGroup
		for w := range 4 { // side by side, each name gets one bit
			wg.Go(func() {
				for i := range MaxKeywords {
					if _, err := r.DefineKeywords(ctx, id, []string{fmt.Sprint("k", (i+w*11)%MaxKeywords)}); err != nil {
						t.Errorf("DefineKeywords: %v", err)
					}
				}
			})
		}
		wg.Wait()
		_, err := r.DefineKeywords(ctx, id, []string{"one-more"})
		wantFault(t, err, fault.Limit, fault.Mailbox)
		k, err := r.Keywords(ctx, id)
		r.ok(err)
		if n := k.All().Count(); n != MaxKeywords+8 || k.All()&^KeywordFlags != 0 {
			t.Errorf("%d keywords in bits %x", n, k.All())
		}
		r.put(id, InboxID, "all of them", AllFlags)
		if it := r.items(id, InboxID, WantFlags)[0]; it.Flags != AllFlags {
			t.Errorf("all flags came back as %x", it.Flags)
		}
	})
}
