package smtp

import (
	"strconv"
	"strings"

	"github.com/pennypost/pennypost/internal/message"
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
	size     int64
	smtpUTF8 bool
}

func parseMailParams(params []param, limit int64, auth bool) (mailParams, *reply) {
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
		case p.name == "AUTH" && p.hasValue && auth: // RFC 4954 section 5: whoever submits is who signed in
		default:
			return m, &reply{555, "5.5.4", "the parameter " + p.name + " is not known here"}
		}
	}
	return m, nil
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
