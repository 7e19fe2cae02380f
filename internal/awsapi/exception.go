package awsapi

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"github.com/pennypost/pennypost/internal/awsapi/contract"
	"github.com/pennypost/pennypost/internal/awsapi/sigv4"
	"github.com/pennypost/pennypost/internal/fault"
	"github.com/pennypost/pennypost/internal/lazy"
)

// refusal is an exception that is ready to be sent. It is an error.
type refusal struct {
	code   contract.ErrorCode
	status int
	text   string
	cause  error // for the log
}

// Error returns the code and the text.
func (r refusal) Error() string { return string(r.code) + ": " + r.text }

const accessDenied contract.ErrorCode = "AccessDeniedException"

// The exceptions of AWS's frameworks that the front itself raises, beside those of package sigv4.
func internalFailure() refusal {
	return refusal{
		code: "InternalFailure", status: http.StatusInternalServerError,
		text: "The server failed. Its log says more under this request's id.",
	}
}

func unavailable(text string) refusal {
	return refusal{code: "ServiceUnavailable", status: http.StatusServiceUnavailable, text: text}
}

func notImplemented(op *contract.Op) refusal {
	return refusal{
		code: "NotImplementedException", status: http.StatusNotImplemented,
		text: "The operation " + op.Name + " is known, and not yet implemented by this server.",
	}
}

func unknownOperation(r *http.Request) refusal {
	return refusal{
		code: "UnknownOperationException", status: http.StatusBadRequest,
		text: fmt.Sprintf("There is no operation with the X-Amz-Target %.100q.", r.Header.Get("X-Amz-Target")),
	}
}

func nothingHere(r *http.Request) refusal {
	return refusal{
		code: "UnknownOperationException", status: http.StatusNotFound,
		text: fmt.Sprintf("There is no operation at %.20s %.100s. WorkMail's are at POST /, message flow's at GET and POST /messages/ID.", r.Method, r.URL.EscapedPath()),
	}
}

// fail turns any error on a request's way into its answer.
func (c *call) fail(err error) *answer {
	var signature *sigv4.Error
	var ready refusal
	switch {
	case errors.As(err, &signature):
		return c.refuse(refusal{code: contract.ErrorCode(signature.Code), status: http.StatusBadRequest, text: signature.Message})
	case errors.As(err, &ready):
		return c.refuse(ready)
	}
	f := fault.As(err)
	if f != nil && c.route.op != nil {
		c.cause = f.Cause // the message is the caller's to read, and may repeat what the caller sent
		return c.refuse(exception(c.route.op, f))
	}
	c.cause = err
	if errors.Is(err, context.DeadlineExceeded) {
		return c.refuse(unavailable(fmt.Sprintf("The operation took longer than %v. It may still be carried out.", c.front.options.Timeout)))
	}
	return c.refuse(internalFailure())
}

// exceptions says which of an operation's exceptions tells a fault: the first that the operation lists. A fault with a
// subject that is not named is told as one with the subject None.
var exceptions = lazy.Value[map[fault.Kind]map[fault.Subject][]contract.ErrorCode]{Make: func() map[fault.Kind]map[fault.Subject][]contract.ErrorCode {
	return map[fault.Kind]map[fault.Subject][]contract.ErrorCode{
		fault.Invalid: {
			fault.None:     {contract.InvalidParameterException},
			fault.Message:  {contract.MessageRejected, contract.InvalidParameterException},
			fault.Location: {contract.InvalidContentLocation, contract.InvalidParameterException},
		},
		fault.NotFound: {
			fault.None:         {contract.ResourceNotFoundException, contract.EntityNotFoundException},
			fault.Organization: {contract.OrganizationNotFoundException, contract.ResourceNotFoundException},
			fault.Entity:       {contract.EntityNotFoundException, contract.ResourceNotFoundException},
			fault.Address:      {contract.EntityNotFoundException},
			fault.Mailbox:      {contract.EntityNotFoundException},
			fault.Domain:       {contract.MailDomainNotFoundException, contract.ResourceNotFoundException},
			fault.Directory:    {contract.DirectoryUnavailableException},
		},
		fault.Exists: {
			fault.None:    {contract.NameAvailabilityException},
			fault.Address: {contract.EmailAddressInUseException},
			fault.Domain:  {contract.MailDomainInUseException, contract.NameAvailabilityException},
		},
		fault.Reserved: {
			fault.None: {contract.ReservedNameException, contract.NameAvailabilityException},
		},
		fault.State: {
			fault.None:         {contract.EntityStateException},
			fault.Organization: {contract.OrganizationStateException, contract.ResourceNotFoundException},
			fault.Domain:       {contract.MailDomainStateException},
			fault.Message:      {contract.MessageFrozen, contract.EntityStateException},
		},
		fault.InUse: {
			fault.None:         {contract.EntityStateException, contract.OrganizationStateException},
			fault.Organization: {contract.OrganizationStateException},
			fault.Domain:       {contract.MailDomainInUseException},
			fault.Directory:    {contract.DirectoryInUseException},
			fault.Address:      {contract.EmailAddressInUseException},
		},
		fault.AlreadyRegistered: {
			fault.None: {contract.EntityAlreadyRegisteredException, contract.EntityStateException},
		},
		fault.Limit: {
			fault.None: {contract.LimitExceededException},
			fault.Tag:  {contract.TooManyTagsException},
		},
		fault.OverQuota:   {fault.None: {contract.LimitExceededException}},
		fault.TooLarge:    {fault.None: {contract.LimitExceededException}},
		fault.Unsupported: {fault.None: {contract.UnsupportedOperationException}},
		fault.BadPassword: {fault.None: {contract.InvalidPasswordException}},
		fault.BadConfiguration: {
			fault.None: {contract.InvalidConfigurationException, contract.EntityStateException},
		},
		fault.Conflict: {fault.None: {contract.InvalidParameterException}},
		fault.DirectoryDown: {
			fault.None: {contract.DirectoryUnavailableException},
		},
		fault.DirectoryRefusedUs: {
			fault.None: {contract.DirectoryServiceAuthenticationFailedException, contract.DirectoryUnavailableException},
		},
	}
}}

// exception tells a fault in the operation's own exceptions, or, where it lists none that fits, in one of the frameworks':
// those of the caller's making as the operation's answer to bad input, those that time may heal as ServiceUnavailable.
func exception(op *contract.Op, f *fault.Error) refusal {
	bySubject := exceptions.Get()[f.Kind]
	codes, ok := bySubject[f.Subject]
	if !ok {
		codes = bySubject[fault.None]
	}
	for _, code := range codes {
		if op.Lists(code) {
			return refusal{code: code, status: op.Status(code), text: f.Message}
		}
	}
	switch f.Kind {
	case fault.Internal:
		return internalFailure()
	case fault.Temporary, fault.DirectoryDown, fault.DirectoryRefusedUs:
		return unavailable(f.Message)
	case fault.Denied:
		return refusal{code: accessDenied, status: http.StatusBadRequest, text: f.Message}
	case fault.Unauthenticated:
		return refusal{code: sigv4.UnrecognizedClient, status: http.StatusBadRequest, text: f.Message}
	default:
		return refusal{code: op.BreachCode(), status: http.StatusBadRequest, text: f.Message}
	}
}
