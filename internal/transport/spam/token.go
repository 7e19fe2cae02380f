package spam

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"hash"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/pennypost/pennypost/internal/message"
)

const (
	// tokenizerVersion is stored with what was counted: tokens of another version can't be taken back.
	tokenizerVersion = 1

	maxText   = 64 << 10 // bytes of decoded text
	maxRaw    = 1 << 20  // bytes of one part before it is decoded
	maxHeader = 64 << 10
	maxTokens = 1000
	minWord   = 3 // letters
	maxWord   = 24
	maxHost   = 64
)

// tokens returns the tokens of a message, each once.
func (s *Service) tokens(b []byte) []int64 {
	c := collector{mac: hmac.New(sha256.New, s.Key), seen: map[int64]bool{}}
	structure := message.Scan(b)
	end := min(structure.Parts[0].BodyStart, maxHeader)
	c.header(b[:end])
	left := maxText
	for i := range structure.Parts {
		if c.full() || left <= 0 {
			break
		}
		p := &structure.Parts[i]
		if p.Type != "multipart" {
			c.add("type:" + p.Type + "/" + p.Subtype)
		}
		if name := p.FileName(); name != "" {
			if dot := strings.LastIndexByte(name, '.'); dot >= 0 {
				c.add("file:" + strings.ToLower(name[dot:]))
			}
		}
		if p.Type != "text" {
			continue
		}
		raw := b[p.BodyStart:min(p.End, p.BodyStart+maxRaw)]
		text := message.DecodeCharset(p.Param("charset"), message.DecodeTransfer(p.Encoding, raw))
		text = text[:min(len(text), 4*maxText)]
		c.links(text)
		if p.Subtype == "html" {
			text = message.HTMLText(text)
		}
		text = text[:min(len(text), left)]
		left -= len(text)
		c.words("", text)
	}
	return c.list
}

// collector gathers the hashes of tokens.
type collector struct {
	mac  hash.Hash
	list []int64
	seen map[int64]bool
	sum  [sha256.Size]byte
}

func (c *collector) full() bool { return len(c.list) >= maxTokens }

func (c *collector) add(token string) {
	if c.full() {
		return
	}
	c.mac.Reset()
	c.mac.Write([]byte(token))
	t := int64(binary.BigEndian.Uint64(c.mac.Sum(c.sum[:0])))
	if !c.seen[t] {
		c.seen[t] = true
		c.list = append(c.list, t)
	}
}

// header takes what a sender chooses: the fields that this server or the way added are not looked at, so that a message has the same
// tokens when it arrives and when it is stored.
func (c *collector) header(header []byte) {
	for f := range message.Fields(header) {
		switch name := strings.ToLower(string(f.Name)); name {
		case "subject":
			c.words("s:", message.DecodeWords(f.Value()))
		case "from", "reply-to":
			for _, e := range message.ParseAddressList(f.Value()) {
				c.words(name[:1]+":", message.DecodeWords(e.Name))
				if len(e.Domain) > message.MaxDomain {
					continue
				}
				if domain := message.FoldDomain(e.Domain); domain != "" {
					c.add(name[:1] + "d:" + domain)
					c.add(name[:1] + "a:" + strings.ToLower(e.Local[:min(len(e.Local), maxHost)]) + "@" + domain)
				}
			}
		case "x-mailer", "user-agent", "list-id", "precedence", "content-language":
			v := f.Value()
			c.add(name + ":" + strings.ToLower(v[:min(len(v), maxHost)]))
		case "message-id":
			if _, domain, ok := strings.Cut(f.Value(), "@"); ok {
				c.add("id:" + strings.ToLower(strings.TrimRight(domain[:min(len(domain), maxHost)], "> \t")))
			}
		}
	}
}

// words takes the words of a text: letters, digits and what stands inside words and sums. Scripts that don't part words are taken two
// letters at a time.
func (c *collector) words(prefix, text string) {
	start, letters, previous := -1, 0, rune(0)
	flush := func(end int) {
		if start >= 0 && letters >= minWord {
			word := strings.Trim(strings.ToLower(text[start:end]), "-.'")
			if letters > maxWord {
				word = "long:" + word[:firstRune(word)]
			}
			c.add(prefix + word)
		}
		start, letters = -1, 0
	}
	for i, r := range text {
		switch {
		case c.full():
			return
		case unparted(r):
			flush(i)
			if previous != 0 {
				c.add(prefix + string([]rune{previous, r}))
			}
			previous = r
			continue
		case unicode.IsLetter(r), unicode.IsDigit(r), r == '$', r == '€', r == '£', r == '%', r == '!':
			if start < 0 {
				start = i
			}
			letters++
		case (r == '-' || r == '.' || r == '\'') && start >= 0:
		case unicode.Is(unicode.Mn, r) && start >= 0: // a mark on the letter before
		default:
			flush(i)
		}
		previous = 0
	}
	flush(len(text))
}

func firstRune(s string) int {
	_, n := utf8.DecodeRuneInString(s)
	return n
}

// unparted reports whether a letter is of a script without spaces between words.
func unparted(r rune) bool {
	return r >= 0x0e00 && unicode.In(r, unicode.Han, unicode.Hiragana, unicode.Katakana, unicode.Thai, unicode.Lao, unicode.Khmer, unicode.Myanmar)
}

// links takes the hosts of links, in text and in markup.
func (c *collector) links(text string) {
	for !c.full() {
		i := strings.Index(text, "://")
		if i < 0 {
			return
		}
		scheme := strings.ToLower(text[max(i-5, 0):i])
		text = text[i+3:]
		if !strings.HasSuffix(scheme, "http") && !strings.HasSuffix(scheme, "https") {
			continue
		}
		end := strings.IndexFunc(text[:min(len(text), 4*maxHost)], func(r rune) bool {
			return r <= ' ' || strings.ContainsRune(`/?#<>"')\`, r)
		})
		if end < 0 {
			end = min(len(text), maxHost)
		}
		host := strings.ToLower(text[:end])
		if at := strings.LastIndexByte(host, '@'); at >= 0 {
			host = host[at+1:]
			c.add("u:userinfo")
		}
		host, _, _ = strings.Cut(host, ":")
		if host = strings.Trim(host[:min(len(host), maxHost)], "."); host == "" {
			continue
		}
		c.add("u:" + host)
		if labels := strings.Split(host, "."); len(labels) > 2 {
			c.add("u:" + strings.Join(labels[len(labels)-2:], "."))
		}
	}
}
