package spam

import (
	"net/netip"
	"strings"

	"github.com/pennypost/pennypost/internal/message"
	"github.com/pennypost/pennypost/internal/message/dkim"
	"github.com/pennypost/pennypost/internal/netblock"
	"github.com/pennypost/pennypost/internal/transport/mailauth"
)

// senderOf is who answers for a message: the domain that DMARC or DKIM proves, else the network of the client; empty for nobody, and
// for a client on this machine.
func senderOf(v *mailauth.Verdict) string {
	if v == nil {
		return ""
	}
	if v.DMARC.Result == dkim.Pass {
		return asSender(v.DMARC.From)
	}
	for _, s := range v.DKIM {
		if s.Result == dkim.Pass {
			return asSender(s.Domain)
		}
	}
	return networkOf(v.Client.Address)
}

// senderIn is senderOf for a stored message, from the results that this server wrote in front of it.
func senderIn(prefix []byte) string {
	value, ok := message.FirstValue(prefix, "authentication-results")
	if !ok {
		return ""
	}
	var signed, network string
	for _, r := range parseResults(value) {
		switch {
		case r["dmarc"] == string(dkim.Pass):
			return asSender(r["header.from"])
		case r["dkim"] == string(dkim.Pass) && signed == "":
			signed = asSender(r["header.d"])
		case r["policy.iprev"] != "":
			if a, err := netip.ParseAddr(r["policy.iprev"]); err == nil {
				network = networkOf(a)
			}
		}
	}
	if signed != "" {
		return signed
	}
	return network
}

// maxSender is how long a sender can be.
const maxSender = 255

func asSender(domain string) string {
	domain = message.FoldDomain(domain)
	if len(domain) > maxSender {
		return ""
	}
	return domain
}

func networkOf(a netip.Addr) string {
	if !a.IsValid() || a.Unmap().IsLoopback() {
		return ""
	}
	return netblock.Near(a).String()
}

// parseResults reads results as mailauth writes them: a map of methods and properties for each.
func parseResults(s string) (results []map[string]string) {
	current := map[string]string{}
	var word strings.Builder
	end := func() {
		if name, value, ok := strings.Cut(word.String(), "="); ok {
			if _, twice := current[name]; !twice {
				current[name] = value
			}
		}
		word.Reset()
	}
	for i := 0; i < len(s); i++ {
		switch c := s[i]; c {
		case ';':
			end()
			results = append(results, current)
			current = map[string]string{}
		case ' ', '\t', '\r', '\n':
			end()
		case '(', '"':
			closing := message.Closing(s, i)
			if closing < 0 {
				return results // nothing behind it can be believed
			}
			if c == '"' {
				word.WriteString(unescaped(s[i+1 : closing]))
			}
			i = closing
		default:
			word.WriteByte(c)
		}
	}
	end()
	return append(results, current)
}

// unescaped takes the backslashes of a quoted string away.
func unescaped(s string) string {
	if !strings.Contains(s, `\`) {
		return s
	}
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == '\\' && i+1 < len(s) {
			i++
		}
		b.WriteByte(s[i])
	}
	return b.String()
}
