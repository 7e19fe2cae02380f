package awsapi

import (
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/pennypost/pennypost/internal/awsapi/contract"
	"github.com/pennypost/pennypost/internal/fault"
)

var subjects = []fault.Subject{
	fault.None, fault.Organization, fault.Directory, fault.Entity, fault.Address, fault.Domain, fault.Resource, fault.Tag, fault.Key,
	fault.Mailbox, fault.Folder, fault.Message, fault.Token, fault.Location,
}

// TestEveryFaultHasAnExceptionInEveryOperation walks every kind and subject through every operation: the answer is one of
// the operation's own exceptions or one that AWS's frameworks raise for any operation.
func TestEveryFaultHasAnExceptionInEveryOperation(t *testing.T) {
	frameworks := map[contract.ErrorCode]int{
		"InternalFailure": 500, "ServiceUnavailable": 503, "AccessDeniedException": 400, "UnrecognizedClientException": 400,
		contract.ValidationException: 400,
	}
	for _, op := range contract.Operations() {
		for _, kind := range fault.Kinds() {
			for _, subject := range subjects {
				f := fault.Wrap(http.ErrAbortHandler, kind, subject, "the words for the caller")
				r := exception(op, f)
				want, framework := frameworks[r.code]
				if !framework && !op.Lists(r.code) {
					t.Errorf("%s: %v %s is told as %s, which is not the operation's", op.Name, kind, subject, r.code)
				}
				if !framework {
					want = op.Status(r.code)
				}
				if r.status != want {
					t.Errorf("%s: %v %s: %s has status %d, want %d", op.Name, kind, subject, r.code, r.status, want)
				}
				if hidden := kind == fault.Internal; hidden == strings.Contains(r.text, f.Message) || strings.Contains(r.text, "abort") {
					t.Errorf("%s: %v %s: the caller reads %q", op.Name, kind, subject, r.text)
				}
				if retried := r.status >= 500; retried != slices.Contains([]fault.Kind{
					fault.Internal, fault.Temporary, fault.DirectoryDown, fault.DirectoryRefusedUs,
				}, kind) && !op.Lists(r.code) {
					t.Errorf("%s: %v %s is told with status %d", op.Name, kind, subject, r.status)
				}
			}
		}
	}
}

func TestExceptions(t *testing.T) {
	for _, c := range []struct {
		op      *contract.Op
		kind    fault.Kind
		subject fault.Subject
		want    contract.ErrorCode
	}{
		{&contract.CreateUser.Op, fault.Invalid, fault.None, contract.InvalidParameterException},
		{&contract.CreateUser.Op, fault.NotFound, fault.Organization, contract.OrganizationNotFoundException},
		{&contract.CreateUser.Op, fault.State, fault.Organization, contract.OrganizationStateException},
		{&contract.CreateUser.Op, fault.Exists, fault.Entity, contract.NameAvailabilityException},
		{&contract.CreateUser.Op, fault.Reserved, fault.Entity, contract.ReservedNameException},
		{&contract.CreateUser.Op, fault.BadPassword, fault.Entity, contract.InvalidPasswordException},
		{&contract.CreateUser.Op, fault.DirectoryDown, fault.Directory, contract.DirectoryUnavailableException},
		{&contract.CreateUser.Op, fault.DirectoryRefusedUs, fault.Directory, contract.DirectoryServiceAuthenticationFailedException},
		{&contract.CreateUser.Op, fault.Unsupported, fault.Directory, contract.UnsupportedOperationException},
		{&contract.CreateUser.Op, fault.Limit, fault.Entity, contract.InvalidParameterException},
		{&contract.CreateUser.Op, fault.Temporary, fault.None, "ServiceUnavailable"},
		{&contract.DescribeUser.Op, fault.NotFound, fault.Entity, contract.EntityNotFoundException},
		{&contract.ListUsers.Op, fault.Invalid, fault.Token, contract.InvalidParameterException},
		{&contract.CreateAlias.Op, fault.Exists, fault.Address, contract.EmailAddressInUseException},
		{&contract.CreateAlias.Op, fault.NotFound, fault.Domain, contract.MailDomainNotFoundException},
		{&contract.CreateAlias.Op, fault.State, fault.Domain, contract.MailDomainStateException},
		{&contract.CreateAlias.Op, fault.Limit, fault.Address, contract.LimitExceededException},
		{&contract.RegisterMailDomain.Op, fault.Exists, fault.Domain, contract.MailDomainInUseException},
		{&contract.DeregisterMailDomain.Op, fault.InUse, fault.Domain, contract.MailDomainInUseException},
		{&contract.RegisterToWorkMail.Op, fault.AlreadyRegistered, fault.Entity, contract.EntityAlreadyRegisteredException},
		{&contract.DeleteUser.Op, fault.State, fault.Entity, contract.EntityStateException},
		{&contract.UpdateResource.Op, fault.BadConfiguration, fault.Entity, contract.InvalidConfigurationException},
		{&contract.DisassociateDelegateFromResource.Op, fault.State, fault.Entity, contract.EntityStateException},
		{&contract.DeleteOrganization.Op, fault.InUse, fault.Organization, contract.OrganizationStateException},
		{&contract.CreateOrganization.Op, fault.InUse, fault.Directory, contract.DirectoryInUseException},
		{&contract.CreateOrganization.Op, fault.Exists, fault.Organization, contract.NameAvailabilityException},
		{&contract.TagResource.Op, fault.Limit, fault.Tag, contract.TooManyTagsException},
		{&contract.TagResource.Op, fault.State, fault.Organization, contract.OrganizationStateException},
		{&contract.UntagResource.Op, fault.State, fault.Organization, contract.ResourceNotFoundException},
		{&contract.TagResource.Op, fault.NotFound, fault.Resource, contract.ResourceNotFoundException},
		{&contract.ListTagsForResource.Op, fault.Invalid, fault.Tag, contract.ValidationException},
		{&contract.AssumeImpersonationRole.Op, fault.NotFound, fault.Resource, contract.ResourceNotFoundException},
		{&contract.GetRawMessageContent.Op, fault.NotFound, fault.Message, contract.ResourceNotFoundException},
		{&contract.PutRawMessageContent.Op, fault.State, fault.Message, contract.MessageFrozen},
		{&contract.PutRawMessageContent.Op, fault.Invalid, fault.Message, contract.MessageRejected},
		{&contract.PutRawMessageContent.Op, fault.Invalid, fault.Location, contract.InvalidContentLocation},
	} {
		if got := exception(c.op, fault.New(c.kind, c.subject, "x")).code; got != c.want {
			t.Errorf("%s: %v %s is told as %s, want %s", c.op.Name, c.kind, c.subject, got, c.want)
		}
	}
}
