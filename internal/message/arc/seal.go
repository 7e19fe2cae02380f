package arc

import (
	"errors"
	"strconv"
	"time"

	"github.com/pennypost/pennypost/internal/message/dkim"
)

// SealOptions say how a message is sealed.
type SealOptions struct {
	Time time.Time // t=
	// Results are what was found of the message: the value of an Authentication-Results field, "mx.example.com; spf=pass …". It is folded
	// anew.
	Results string
	// Chain is what Verify found of the same message.
	Chain Chain
}

// Seal makes the next set of a message (RFC 8617 section 5.1): ARC-Seal, ARC-Message-Signature, ARC-Authentication-Results, to be put in front
// of it. There are none, and no error, for a chain that must not get another set: one whose last seal says that it failed, or that has
// MaxSets (section 5.1, step 2), and for one of which it is not known whether it passes, which a seal would end for good. A chain that was
// found to have failed is sealed as such, with cv=fail and a seal over its own set alone (section 5.1.2).
//
// The message signature signs what a DKIM signature does, and the DKIM signatures of the message (section 4.1.2).
func Seal(b []byte, key dkim.Key, o SealOptions) ([]byte, error) {
	if o.Chain.Ended || o.Chain.Instance >= MaxSets || o.Chain.Result == dkim.TempError {
		return nil, nil
	}
	m := dkim.Read(b)
	sets, highest, _ := collect(m) // what is wrong with them o.Chain says
	if highest != o.Chain.Instance {
		return nil, errors.New("the chain is of another message")
	}
	i := strconv.Itoa(highest + 1)
	results := dkim.Fold("ARC-Authentication-Results", "i="+i+"; "+o.Results)
	signature, err := m.Sign("ARC-Message-Signature", dkim.Tags{{Name: "i", Value: i}, {Name: "a"}, {Name: "c", Value: "relaxed/relaxed"}, {Name: "d"}, {Name: "s"}},
		dkim.SignOptions{Time: o.Time}, key, []string{"dkim-signature"})
	if err != nil {
		return nil, err
	}
	validation := string(o.Chain.Result)
	var whole []byte
	switch o.Chain.Result {
	case dkim.None, dkim.Fail:
	case dkim.Pass:
		for _, s := range sets {
			for _, f := range s.fields {
				whole = append(whole, m.Whole(f)...)
			}
		}
	default:
		return nil, errors.New("the chain was not verified")
	}
	whole = append(append(whole, results...), signature...)
	seal, err := dkim.Seal("ARC-Seal", dkim.Tags{
		{Name: "i", Value: i}, {Name: "a"}, {Name: "t", Value: strconv.FormatInt(o.Time.Unix(), 10)}, {Name: "cv", Value: validation}, {Name: "d"}, {Name: "s"},
	}, key, whole)
	if err != nil {
		return nil, err
	}
	return append(append(seal, signature...), results...), nil
}
