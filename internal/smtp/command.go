package smtp

import (
	"strconv"
	"strings"

	"github.com/pennypost/pennypost/internal/message"
	"github.com/pennypost/pennypost/internal/message/dsn"
	"github.com/pennypost/pennypost/internal/transport/queue"
)

// splitCommand parts a command line into its verb, in capitals, and what follows.
func splitCommand(line string) (verb, args string) {
	verb, args, _ = strings.Cut(line, " ")
	return strings.ToUpper(verb), strings.Trim(args, " ")
}

// pathCommand is the argument of MAIL or RCPT: a path and ESMTP parameters (RFC 5321 section 4.1.2).
type pathCommand struct {
	path   message.Address
	params []param
}

// param is an ESMTP parameter; its name is in capitals.
type param struct {
	name, value string
	hasValue    bool
}

// parsePathCommand reads `FROM:<path> NAME=value …`. White space behind the colon is let pass: many clients send it.
// With postmaster, the path may be `<postmaster>` alone (RFC 5321 section 4.5.1).
func parsePathCommand(keyword, args string, postmaster bool) (pathCommand, *reply) {
	if len(args) < len(keyword) || !strings.EqualFold(args[:len(keyword)], keyword) {
		return pathCommand{}, &reply{501, "5.5.4", "say " + keyword + "<address>"}
	}
	rest := strings.TrimLeft(args[len(keyword):], " ")
	var cmd pathCommand
	const bare = "<postmaster>"
	if postmaster && len(rest) >= len(bare) && strings.EqualFold(rest[:len(bare)], bare) {
		cmd.path, rest = message.Address{Local: "postmaster"}, rest[len(bare):]
	} else {
		var err error
		if cmd.path, rest, err = message.ParsePath(rest); err != nil {
			return pathCommand{}, &reply{501, "5.1.3", "that is no address: " + err.Error()}
		}
	}
	if rest != "" && rest[0] != ' ' {
		return pathCommand{}, &reply{501, "5.5.4", "parameters stand behind a space"}
	}
	for _, word := range strings.Fields(rest) {
		p := param{}
		p.name, p.value, p.hasValue = strings.Cut(word, "=")
		p.name = strings.ToUpper(p.name)
		if !isKeyword(p.name) || p.hasValue && p.value == "" {
			return pathCommand{}, &reply{501, "5.5.4", "a parameter is NAME or NAME=value"}
		}
		for _, earlier := range cmd.params {
			if earlier.name == p.name {
				return pathCommand{}, &reply{501, "5.5.4", "the parameter " + p.name + " stands twice"}
			}
		}
		cmd.params = append(cmd.params, p)
	}
	return cmd, nil
}

func isKeyword(s string) bool {
	for i := range len(s) {
		c := s[i]
		if !('A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '-' && i > 0) {
			return false
		}
	}
	return s != ""
}

// mailParams are the parameters of MAIL that the server knows.
type mailParams struct {
	size       int64
	smtpUTF8   bool
	ret        queue.Return
	envelopeID string
	requireTLS bool
}

func parseMailParams(params []param, limit int64, auth, secure bool) (mailParams, *reply) {
	var m mailParams
	for _, p := range params {
		switch {
		case p.name == "SIZE" && p.hasValue: // RFC 1870
			n, err := strconv.ParseUint(p.value, 10, 63)
			if err != nil && len(p.value) < 20 {
				return m, &reply{501, "5.5.4", "SIZE is a number of bytes"}
			}
			if err != nil || int64(n) > limit {
				return m, tooLarge(limit)
			}
			m.size = int64(n)
		case p.name == "BODY" && p.hasValue: // RFC 6152
			if v := strings.ToUpper(p.value); v != "7BIT" && v != "8BITMIME" {
				return m, &reply{501, "5.5.4", "BODY is 7BIT or 8BITMIME"}
			}
		case p.name == "SMTPUTF8" && !p.hasValue: // RFC 6531
			m.smtpUTF8 = true
		case p.name == "RET" && p.hasValue: // RFC 3461 section 4.3
			switch strings.ToUpper(p.value) {
			case "FULL":
				m.ret = queue.ReturnFull
			case "HDRS":
				m.ret = queue.ReturnHeaders
			default:
				return m, &reply{501, "5.5.4", "RET is FULL or HDRS"}
			}
		case p.name == "ENVID" && p.hasValue: // RFC 3461 section 4.4
			if id, ok := dsn.DecodeXtext(p.value); !ok || !isPrintableASCII(id) || len(p.value) > maxEnvelopeID {
				return m, &reply{501, "5.5.4", "ENVID is xtext of printable characters, 100 at most"}
			}
			m.envelopeID = p.value
		case p.name == "REQUIRETLS" && !p.hasValue: // RFC 8689 section 2
			if !secure {
				return m, &reply{555, "5.5.4", "REQUIRETLS can only be asked for under TLS"}
			}
			m.requireTLS = true
		case p.name == "AUTH" && p.hasValue && auth: // RFC 4954 section 5: whoever submits is who signed in
		default:
			return m, &reply{555, "5.5.4", "the parameter " + p.name + " is not known here"}
		}
	}
	return m, nil
}

// The longest ENVID and ORCPT (RFC 3461 sections 4.4 and 4.2).
const (
	maxEnvelopeID        = 100
	maxOriginalRecipient = 500
)

// parseRcptParams reads the parameters of RCPT: whether and of what the sender is told (RFC 3461), as far as To says it.
func parseRcptParams(params []param, smtpUTF8 bool) (to queue.Recipient, refusal *reply) {
	for _, p := range params {
		switch {
		case p.name == "NOTIFY" && p.hasValue: // section 4.1
			if to.Notify = parseNotify(p.value); to.Notify == 0 {
				return to, &reply{501, "5.5.4", "NOTIFY is NEVER, or a list of SUCCESS, FAILURE and DELAY"}
			}
		case p.name == "ORCPT" && p.hasValue: // section 4.2, RFC 6533 section 3
			_, _, ok := dsn.DecodeOriginal(p.value)
			switch {
			case !ok || len(p.value) > maxOriginalRecipient:
				return to, &reply{501, "5.5.4", "ORCPT is a type, a semicolon, and an address as xtext, 500 characters at most"}
			case !isPrintableASCII(p.value) && !smtpUTF8:
				return to, &reply{553, "5.6.7", "an address beyond ASCII needs the parameter SMTPUTF8"}
			}
			to.Original = p.value
		default:
			return to, &reply{555, "5.5.4", "the parameter " + p.name + " is not known here"}
		}
	}
	return to, nil
}

// parseNotify reads the value of NOTIFY; 0 is for what is none.
func parseNotify(value string) (all queue.Notify) {
	for word := range strings.SplitSeq(strings.ToUpper(value), ",") {
		n := map[string]queue.Notify{"SUCCESS": queue.OnSuccess, "FAILURE": queue.OnFailure, "DELAY": queue.OnDelay, "NEVER": queue.Never}[word]
		if n == 0 || all&(n|queue.Never) != 0 || n == queue.Never && all != 0 {
			return 0
		}
		all |= n
	}
	return all
}

func isPrintableASCII(s string) bool {
	for i := range len(s) {
		if s[i] < ' ' || s[i] >= 127 {
			return false
		}
	}
	return true
}

func tooLarge(limit int64) *reply {
	return &reply{552, "5.3.4", "a message can have " + strconv.FormatInt(limit, 10) + " bytes at most"}
}

// parseHello returns the name in EHLO or HELO. RFC 5321 section 4.1.4 forbids to refuse a client for a name that is not its
// own; so any printable word will do.
func parseHello(args string) (name string, ok bool) {
	if args == "" || len(args) > 255 {
		return "", false
	}
	for i := range len(args) {
		if c := args[i]; c <= ' ' || c == 127 || strings.IndexByte("()<>\"\\,;", c) >= 0 {
			return "", false
		}
	}
	return args, true
}
