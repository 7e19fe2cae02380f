package sieve

import (
	"context"
	"fmt"
	"slices"

	"github.com/pennypost/pennypost/internal/message"
)

// indexed returns the fields with the names in the order of the names, or the one of them that ":index" is for (RFC 5260 section 6).
func (r *run) indexed(n *node, names []string) ([]*field, error) {
	var list []*field
	for _, name := range names {
		fields, err := r.fields(n, name)
		if err == nil {
			err = r.spend(n, 256*len(fields))
		}
		if err != nil {
			return nil, err
		}
		list = append(list, fields...)
	}
	index, ok := n.tags["index"]
	if !ok {
		return list, nil
	}
	if index.number < 1 || index.number > int64(len(list)) {
		return nil, nil
	}
	if n.has("last") {
		return list[len(list)-int(index.number):][:1], nil
	}
	return list[index.number-1:][:1], nil
}

func checkIndex(_ *compiler, n *node) error {
	if n.has("last") && !n.has("index") {
		return n.tags["last"].at.errorf(`":last" stands beside ":index" alone`)
	}
	return nil
}

func (r *run) header(_ context.Context, n *node) (bool, error) {
	fields, err := r.indexed(n, r.expandAll(n.args[0]))
	if err != nil {
		return false, err
	}
	values := make([]string, len(fields))
	for i, f := range fields {
		values[i] = f.read()
	}
	return r.compare(n, values, len(values), n.args[1], true)
}

func (r *run) exists(_ context.Context, n *node) (bool, error) {
	for _, name := range r.expandAll(n.args[0]) {
		if fields, err := r.fields(n, name); len(fields) == 0 || err != nil {
			return false, err
		}
	}
	return true, nil
}

func checkSize(_ *compiler, n *node) error {
	if !n.has("over") && !n.has("under") {
		return n.at.errorf(`"size" has one of the tags ":over" and ":under"`)
	}
	return nil
}

func (r *run) size(_ context.Context, n *node) (bool, error) {
	size, limit := int64(len(r.mail.raw)), n.args[0].number
	if n.has("over") {
		return size > limit, nil
	}
	return size < limit, nil
}

// addressFields are the fields that hold addresses (RFC 5228 section 5.1): those of standards, and those that mailers made up.
var addressFields = []string{
	"from", "to", "cc", "bcc", "sender", "reply-to",
	"resent-from", "resent-to", "resent-cc", "resent-bcc", "resent-sender", "resent-reply-to",
	"return-path", "delivered-to", "x-original-to", "envelope-to", "x-envelope-to", "x-envelope-from", "apparently-to", "original-recipient",
	"disposition-notification-to", "return-receipt-to", "read-receipt-to", "x-confirm-reading-to",
	"errors-to", "mail-followup-to", "mail-reply-to", "followup-to", "original-from", "x-original-from", "x-beenthere",
	"abuse-reports-to", "x-complaints-to", "x-report-abuse-to", "x-forwarded-to", "x-forwarded-for",
}

func checkAddress(c *compiler, n *node) error {
	err := n.args[0].constants(func(s string) error {
		if !slices.Contains(addressFields, lower(s)) {
			return fmt.Errorf(`the field %s holds no addresses: test it with "header"`, show(s))
		}
		return nil
	})
	if err != nil {
		return err
	}
	return checkIndex(c, n)
}

func (r *run) address(_ context.Context, n *node) (bool, error) {
	names := r.expandAll(n.args[0])
	names = slices.DeleteFunc(names, func(s string) bool { return !slices.Contains(addressFields, lower(s)) })
	fields, err := r.indexed(n, names)
	if err != nil {
		return false, err
	}
	var values []string
	count := 0
	for _, f := range fields {
		entries, err := r.addresses(n, f)
		if err != nil {
			return false, err
		}
		for _, e := range entries {
			if e.Kind != message.Mailbox {
				continue
			}
			count++
			if part, ok := addressPart(n.part, message.Address{Local: e.Local, Domain: e.Domain}); ok {
				values = append(values, part)
			}
		}
	}
	return r.compare(n, values, count, n.args[1], true)
}

// addresses returns what a field holds, read once.
func (r *run) addresses(n *node, f *field) ([]message.Entry, error) {
	if f.addresses == nil {
		if err := r.spend(n, 32*len(f.content)); err != nil {
			return nil, err
		}
		f.addresses = append([]message.Entry{}, message.ParseAddressList(f.unfolded())...)
	}
	return f.addresses, r.spend(n, perLook*len(f.addresses))
}

// addressPart returns a part of an address. One without a domain is not valid: it has no parts (RFC 5228 section 2.7.4).
func addressPart(part string, a message.Address) (value string, ok bool) {
	switch {
	case part == "all" && a.Domain == "":
		return a.Local, true
	case part == "all":
		return a.String(), true
	case a.Local == "" || a.Domain == "":
		return "", false
	case part == "domain":
		return a.Domain, true
	case part == "localpart":
		return a.Local, true
	}
	base, detail, ok := a.Subaddress()
	switch {
	case part == "detail":
		return detail, ok
	case ok:
		return base.Local, true
	}
	return a.Local, true
}

func checkEnvelope(_ *compiler, n *node) error {
	return n.args[0].constants(func(s string) error {
		if lower(s) != "from" && lower(s) != "to" {
			return fmt.Errorf(`the envelope has no part %s, but "from" and "to"`, show(s))
		}
		return nil
	})
}

func (r *run) envelope(_ context.Context, n *node) (bool, error) {
	var values []string
	count := 0
	for _, name := range r.expandAll(n.args[0]) {
		var written string
		switch lower(name) {
		case "from":
			written = r.env.From
		case "to":
			written = r.env.To
		default:
			return false, n.at.errorf(`the envelope has no part %s, but "from" and "to"`, show(name))
		}
		if written == "" { // whatever the part (RFC 5228 section 5.4)
			values = append(values, "")
			continue
		}
		count++
		a, err := message.ParseAddress(written)
		if err != nil {
			a = message.Address{Local: written}
		}
		if part, ok := addressPart(n.part, a); ok {
			values = append(values, part)
		}
	}
	return r.compare(n, values, count, n.args[1], true)
}
