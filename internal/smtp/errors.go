package smtp

import (
	"github.com/pennypost/pennypost/internal/fault"
)

// replyTo turns an error of the core into the words of SMTP (RFC 5321 section 4.2, RFC 3463). An error that is no fault
// says nothing of its detail: that is for the log.
func replyTo(err error) reply {
	f := fault.As(err)
	if f == nil {
		return reply{451, "4.3.0", "the server has a problem; try again later"}
	}
	code, enhanced := codeOf(f.Kind, f.Subject)
	text := f.Message
	if f.Kind == fault.Internal {
		text = "the server has a problem; try again later"
	}
	return reply{code, enhanced, text}
}

func codeOf(k fault.Kind, s fault.Subject) (code int, enhanced string) {
	switch k {
	case fault.Internal:
		return 451, "4.3.0"
	case fault.Invalid:
		switch s {
		case fault.Address:
			return 553, "5.1.3"
		case fault.Message:
			return 554, "5.6.0"
		}
		return 501, "5.5.4"
	case fault.NotFound:
		if s == fault.Mailbox || s == fault.Folder {
			return 550, "5.2.1"
		}
		return 550, "5.1.1"
	case fault.Exists, fault.Reserved, fault.InUse, fault.AlreadyRegistered, fault.BadPassword, fault.BadConfiguration:
		return 554, "5.0.0" // nothing that taking a message in can meet
	case fault.State:
		return 550, "5.2.1"
	case fault.Limit:
		switch s {
		case fault.Message: // too many Received fields
			return 554, "5.4.6"
		case fault.Organization: // too much waits in the queue
			return 452, "4.3.1"
		case fault.Allowance: // as SES answers; 4.5.3 would ask for the rest in another message at once
			return 454, "4.7.1"
		}
		return 452, "4.5.3"
	case fault.OverQuota:
		return 552, "5.2.2"
	case fault.TooLarge:
		return 552, "5.3.4"
	case fault.Unsupported:
		return 550, "5.7.1"
	case fault.Unauthenticated:
		return 535, "5.7.8"
	case fault.Denied:
		return 550, "5.7.1"
	case fault.Conflict, fault.Temporary:
		return 451, "4.3.0"
	case fault.DirectoryDown:
		return 451, "4.4.3"
	case fault.DirectoryRefusedUs:
		return 451, "4.3.5"
	}
	return 451, "4.3.0"
}
