package imap

import (
	"context"
	"strconv"
	"strings"

	"github.com/pennypost/pennypost/internal/imap/wire"
)

// capabilities returns what the connection can do in its state.
func (c *conn) capabilities() string {
	// IMAP4rev2 is not among them: see DESIGN.md.
	list := []string{"IMAP4rev1", "LITERAL+", "ID", "ENABLE", "SASL-IR"}
	switch {
	case c.user != nil:
		list = append(list,
			"IDLE",                              // RFC 2177
			"NAMESPACE",                         // RFC 2342
			"UIDPLUS",                           // RFC 4315
			"UNSELECT",                          // RFC 3691
			"BINARY",                            // RFC 3516
			"CHILDREN",                          // RFC 3348
			"LIST-EXTENDED",                     // RFC 5258
			"LIST-STATUS",                       // RFC 5819
			"SPECIAL-USE", "CREATE-SPECIAL-USE", // RFC 6154
			"ESEARCH",              // RFC 4731
			"SEARCHRES",            // RFC 5182
			"WITHIN",               // RFC 5032
			"MOVE",                 // RFC 6851
			"CONDSTORE", "QRESYNC", // RFC 7162
			"STATUS=SIZE",                // RFC 8438
			"OBJECTID",                   // RFC 8474
			"SAVEDATE",                   // RFC 8514
			"QUOTA", "QUOTA=RES-STORAGE", // RFC 9208
			"APPENDLIMIT="+strconv.FormatInt(c.s.MaxMessage, 10), // RFC 7889
		)
	case c.protected:
		list = append(list, "AUTH=PLAIN", "AUTH=LOGIN")
	default:
		if c.s.TLS != nil {
			list = append(list, "STARTTLS")
		}
		list = append(list, "LOGINDISABLED")
	}
	return strings.Join(list, " ")
}

// maxAgent is how many bytes of a client's name are kept.
const maxAgent = 256

// identify answers ID (RFC 2971). What the client says goes to the logs, where it helps to explain what it does.
func (c *conn) identify(ctx context.Context, a wire.ID) (result, error) {
	name, version := "", ""
	for _, p := range a.Params {
		switch strings.ToLower(p.Name) {
		case "name":
			name = p.Value
		case "version":
			version = "/" + p.Value
		}
	}
	agent := name + version
	c.agent = strings.ToValidUTF8(agent[:min(len(agent), maxAgent)], "")
	c.log.DebugContext(ctx, "IMAP client", "agent", c.agent)
	c.w.Raw(`* ID ("name" "Pennypost")`)
	c.w.End()
	return result{}, nil
}

// enable answers ENABLE (RFC 5161).
func (c *conn) enable(a wire.Enable) (result, error) {
	enables := false // mod-sequences
	b := append(c.w.Buf(), "* ENABLED"...)
	for _, name := range a.Capabilities {
		switch name {
		case "QRESYNC": // it means CONDSTORE too (RFC 7162 section 3.2.3)
			c.qresync, enables = true, true
		case "CONDSTORE":
			enables = true
		default:
			continue
		}
		b = append(append(b, ' '), name...)
	}
	c.w.SetBuf(append(b, '\r', '\n'))
	if enables {
		c.enableCondStore()
	}
	return result{}, nil
}

// enableCondStore notes that the client knows mod-sequences. Where it shows so with a folder selected, it hears from which
// one on it will be told of changes (RFC 7162 section 3.1).
func (c *conn) enableCondStore() {
	if c.condStore {
		return
	}
	c.condStore = true
	if c.sel != nil {
		b := appendNumber(append(c.w.Buf(), "* OK [HIGHESTMODSEQ "...), int64(c.sel.whole))
		c.w.SetBuf(append(b, "] the last change told\r\n"...))
	}
}
