package arc

import (
	"context"
	"errors"
	"maps"
	"strconv"
	"strings"

	"github.com/pennypost/pennypost/internal/message"
	"github.com/pennypost/pennypost/internal/message/dkim"
)

// set is an ARC set (RFC 8617 section 4.2).
type set struct {
	fields [3]message.Field
	found  [3]bool
}

// The fields of a set.
const (
	results = iota
	signature
	seal
)

var names = [3]string{"arc-authentication-results", "arc-message-signature", "arc-seal"}

// maxResults is how many bytes the results of one set can have.
const maxResults = 64 << 10

// Verify validates the chain of a message (RFC 8617 section 5.2), from its end, up to the first that does not pass: whoever wrote the
// message chose the names of its keys, and gets a name looked up only with what stands in front of it sealed by a key that was found.
func Verify(ctx context.Context, v *dkim.Verifier, b []byte) Chain {
	m := dkim.Read(b)
	sets, highest, err := collect(m)
	if err != nil {
		c := Chain{Result: dkim.Fail, Reason: err.Error(), Instance: highest}
		if len(sets) > 0 {
			last, err := dkim.ParseTags(string(sets[len(sets)-1].fields[seal].Raw))
			c.Ended = err == nil && last.Text("cv") == "fail"
		}
		return c
	}
	if len(sets) == 0 {
		return Chain{Result: dkim.None}
	}
	c := Chain{Instance: len(sets)}
	failure := c.verify(ctx, v, m, sets)
	if failure == nil {
		failure = &dkim.Failure{Result: dkim.Pass}
	}
	c.Result, c.Reason = failure.Result, failure.Reason
	return c
}

// collect finds the sets and checks that they are whole and in sequence. highest is the highest instance that was named.
func collect(m *dkim.Message) (sets []set, highest int, err error) {
	sets = make([]set, MaxSets)
	count := 0
	for kind, name := range names {
		for _, f := range m.Fields(name) {
			if len(f.Raw) > maxResults {
				return nil, MaxSets, errors.New("a field is too long")
			}
			i := instance(f)
			switch {
			case i < 1 || i > MaxSets:
				return nil, MaxSets, errors.New("an instance is no number from 1 to 50")
			case sets[i-1].found[kind]:
				err = errors.New("an instance is there twice")
			}
			highest = max(highest, i)
			s := &sets[i-1]
			s.found[kind], s.fields[kind] = true, f
			count++
		}
	}
	if err == nil && count != 3*highest {
		err = errors.New("a set is not whole")
	}
	return sets[:highest], highest, err
}

// instance returns i= of a field, 0 for none.
func instance(f message.Field) int {
	text, _, _ := strings.Cut(f.Value(), ";")
	if !f.Is(names[results]) {
		tags, err := dkim.ParseTags(string(f.Raw))
		if err != nil {
			return 0
		}
		text = "i=" + tags.Text("i")
	}
	name, value, _ := strings.Cut(text, "=")
	value = strings.TrimSpace(value)
	n, err := strconv.Atoi(value)
	if strings.TrimSpace(name) != "i" || err != nil || len(value) > 2 || value[0] < '0' {
		return 0
	}
	return n
}

// verify carries out the steps of section 5.2 that need the sets.
func (c *Chain) verify(ctx context.Context, v *dkim.Verifier, m *dkim.Message, sets []set) *dkim.Failure {
	now, end := v.Now(), len(sets)-1
	seals, fields := make([]*dkim.Claim, len(sets)), make([][3]message.Field, len(sets))
	var failure *dkim.Failure
	for i, s := range sets {
		seals[i], fields[i] = m.Claim(s.fields[seal], dkim.ARCSeal, now), s.fields
		c.Domains = append(c.Domains, seals[i].Domain())
		validation := seals[i].Tags.Text("cv")
		_, hasNames := seals[i].Tags.Get("h")
		switch {
		case validation == "fail" && i == end:
			c.Ended = true
			failure = failed("the last seal says that the chain failed")
		case failure != nil:
		case validation == "fail":
			failure = failed("a seal says that the chain failed")
		case i == 0 && validation != "none", i > 0 && validation != "pass":
			failure = failed("cv= is not what its instance asks for")
		case hasNames:
			failure = failed("a seal has h=")
		}
	}
	if failure != nil {
		return failure
	}
	keys := dkim.Keys{}
	find := func(c *dkim.Claim) dkim.Keys {
		if _, known := keys[c.KeyName()]; !known {
			maps.Copy(keys, v.LookUp(ctx, c.KeyName()))
		}
		return keys
	}
	last := m.Claim(sets[end].fields[signature], dkim.ARCMessage, now)
	if failure := failureOf(m.Check(last, find(last)), "message signature", end); failure != nil {
		return failure
	}
	digests := m.SealDigests(fields...)
	for i := end; i >= 0; i-- {
		if failure := failureOf(m.CheckSeal(seals[i], find(seals[i]), digests[i]), "seal", i); failure != nil {
			return failure
		}
	}
	return nil
}

// failureOf is what a signature of the i-th set that does not pass means for the chain.
func failureOf(s dkim.Signature, what string, i int) *dkim.Failure {
	switch s.Result {
	case dkim.Pass:
		return nil
	case dkim.TempError:
		return &dkim.Failure{Result: dkim.TempError, Reason: s.Reason}
	}
	return failed(what + " " + strconv.Itoa(i+1) + ": " + s.Reason)
}

func failed(reason string) *dkim.Failure { return &dkim.Failure{Result: dkim.Fail, Reason: reason} }
