package sieve

import (
	"bytes"
	"context"
	"strings"

	"github.com/pennypost/pennypost/internal/message"
)

// body is RFC 5173. The body is that of the message as it arrived: what editheader does to fields of MIME has no effect on it.
func (r *run) body(_ context.Context, n *node) (bool, error) {
	start := message.HeaderEnd(r.mail.raw)
	if blankLine(r.mail.raw[:start]) == 0 { // no body, not even an empty one
		return false, nil
	}
	var values []string
	switch {
	case n.has("raw"):
		if r.mail.body == "" {
			r.mail.body = string(r.mail.raw[start:])
		}
		values = []string{r.mail.body}
	case n.has("content"):
		types, err := r.contentTypes(n)
		if err != nil {
			return false, err
		}
		for i, t := range r.mail.types {
			if !types[""] && !types[t] && !types[r.mail.structure.Parts[i].Type] {
				continue
			}
			texts, err := r.content(n, i)
			if err != nil {
				return false, err
			}
			values = append(values, texts...)
		}
	default:
		for i := range r.structure().Parts {
			if r.mail.structure.Parts[i].Type != "text" {
				continue
			}
			texts, err := r.content(n, i)
			if err != nil {
				return false, err
			}
			text := texts[0]
			if r.mail.structure.Parts[i].Subtype == "html" {
				if r.mail.plain[i] == nil {
					plain := message.HTMLText(text)
					r.mail.plain[i] = &plain
				}
				text = *r.mail.plain[i]
			}
			values = append(values, text)
		}
	}
	return r.compare(n, values, len(values), n.args[0], false)
}

func (r *run) structure() *message.Structure {
	if r.mail.structure == nil {
		r.mail.structure = message.Scan(r.mail.raw)
		r.mail.texts = make([]*string, len(r.mail.structure.Parts))
		r.mail.plain = make([]*string, len(r.mail.structure.Parts))
		r.mail.types = make([]string, len(r.mail.structure.Parts))
		for i := range r.mail.types {
			p := &r.mail.structure.Parts[i]
			r.mail.types[i] = p.Type + "/" + p.Subtype
		}
	}
	return r.mail.structure
}

// contentTypes returns those of ":content", in lower case: "text/plain", "text" or, for all, "". It counts what it takes to look for the
// type of each part among them.
func (r *run) contentTypes(n *node) (map[string]bool, error) {
	r.structure()
	types := map[string]bool{}
	work := 0
	for _, t := range r.expandAll(n.tags["content"]) {
		types[lower(t)] = true
		work += 256 + len(t)
	}
	for _, t := range r.mail.types {
		work += 64 + 2*len(t)
	}
	return types, r.spend(n, work)
}

// content returns what a part holds itself: the prologue and the epilogue of a multipart, the header of a message, the decoded body of
// anything else.
func (r *run) content(n *node, part int) ([]string, error) {
	raw, p := r.mail.raw, &r.mail.structure.Parts[part]
	if err := r.spend(n, p.End-p.BodyStart); err != nil {
		return nil, err
	}
	switch {
	case p.IsMessage():
		inner := &r.mail.structure.Parts[p.Children[0]]
		return []string{string(raw[inner.HeaderStart:inner.BodyStart])}, nil
	case p.IsMultipart():
		first, last := &r.mail.structure.Parts[p.Children[0]], &r.mail.structure.Parts[p.Children[len(p.Children)-1]]
		return []string{prologue(raw[p.BodyStart:first.HeaderStart]), epilogue(raw[last.End:p.End])}, nil
	}
	if r.mail.texts[part] == nil {
		decoded := message.DecodeTransfer(p.Encoding, raw[p.BodyStart:p.End])
		text := string(decoded)
		if p.Type == "text" {
			text = message.DecodeCharset(p.Param("charset"), decoded)
		}
		r.mail.texts[part] = &text
	}
	return []string{*r.mail.texts[part]}, nil
}

// prologue returns what stands before the delimiter line that ends b, and before that line's break.
func prologue(b []byte) string {
	b = bytes.TrimSuffix(b, []byte("\n"))
	b = b[:max(bytes.LastIndexByte(b, '\n'), 0)]
	return string(bytes.TrimSuffix(b, []byte("\r")))
}

// epilogue returns what stands behind the delimiter line that b begins with, as the last part ends before its line break.
func epilogue(b []byte) string {
	text := strings.TrimPrefix(strings.TrimPrefix(string(b), "\r"), "\n")
	_, text, _ = strings.Cut(text, "\n")
	return text
}
