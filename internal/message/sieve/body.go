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
		values = []string{string(r.mail.raw[start:])}
	case n.has("content"):
		types := r.expandAll(n.tags["content"])
		for i := range types {
			types[i] = lower(types[i])
		}
		if err := r.spend(n, 16*len(types)*len(r.structure().Parts)); err != nil {
			return false, err
		}
		for i := range r.structure().Parts {
			if !hasType(&r.mail.structure.Parts[i], types) {
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
	}
	return r.mail.structure
}

// hasType reports whether a part has one of the types, which are in lower case: "text/plain", "text" or, for all, "".
func hasType(p *message.Part, types []string) bool {
	for _, t := range types {
		if t == "" || t == p.Type || t == p.Type+"/"+p.Subtype {
			return true
		}
	}
	return false
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
