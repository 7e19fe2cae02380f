package imap

import (
	"github.com/pennypost/pennypost/internal/imap/wire"
	"github.com/pennypost/pennypost/internal/message"
)

// appendStructure appends the structure of a part: BODYSTRUCTURE, or BODY without the extension data (RFC 3501 section
// 7.4.2). message bounds how deep parts nest.
func appendStructure(b []byte, s *message.Structure, part int, extended bool) []byte {
	p := &s.Parts[part]
	b = append(b, '(')
	if p.IsMultipart() {
		for _, child := range p.Children {
			b = appendStructure(b, s, child, extended)
		}
		b = wire.AppendString(append(b, ' '), p.Subtype)
		if extended {
			b = appendParams(append(b, ' '), p.Params)
			b = appendExtension(b, p)
		}
		return append(b, ')')
	}
	b = wire.AppendString(b, p.Type)
	b = wire.AppendString(append(b, ' '), p.Subtype)
	b = appendParams(append(b, ' '), p.Params)
	b = wire.AppendNString(append(b, ' '), p.ID)
	b = wire.AppendNString(append(b, ' '), p.Description)
	b = wire.AppendString(append(b, ' '), p.Encoding)
	b = appendNumber(append(b, ' '), int64(p.End-p.BodyStart))
	switch {
	case p.IsMessage():
		b = appendEnvelope(append(b, ' '), p.Envelope)
		b = appendStructure(append(b, ' '), s, p.Children[0], extended)
		b = appendNumber(append(b, ' '), int64(p.Lines))
	case p.Type == "text":
		b = appendNumber(append(b, ' '), int64(p.Lines))
	}
	if extended {
		b = wire.AppendNString(append(b, ' '), p.MD5)
		b = appendExtension(b, p)
	}
	return append(b, ')')
}

// appendExtension appends disposition, language and location, which all parts have.
func appendExtension(b []byte, p *message.Part) []byte {
	if p.Disposition == "" {
		b = append(b, " NIL"...)
	} else {
		b = wire.AppendString(append(b, " ("...), p.Disposition)
		b = append(appendParams(append(b, ' '), p.DispositionParams), ')')
	}
	switch len(p.Language) {
	case 0:
		b = append(b, " NIL"...)
	case 1:
		b = wire.AppendString(append(b, ' '), p.Language[0])
	default:
		b = append(b, " ("...)
		for i, tag := range p.Language {
			if i > 0 {
				b = append(b, ' ')
			}
			b = wire.AppendString(b, tag)
		}
		b = append(b, ')')
	}
	return wire.AppendNString(append(b, ' '), p.Location)
}

func appendParams(b []byte, params []message.Param) []byte {
	if len(params) == 0 {
		return append(b, "NIL"...)
	}
	b = append(b, '(')
	for i, p := range params {
		if i > 0 {
			b = append(b, ' ')
		}
		b = wire.AppendString(b, p.Name)
		b = wire.AppendString(append(b, ' '), p.Value)
	}
	return append(b, ')')
}
