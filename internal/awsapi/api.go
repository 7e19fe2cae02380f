package awsapi

import (
	"context"
	"slices"
	"time"

	"github.com/pennypost/pennypost/internal/availability"
	"github.com/pennypost/pennypost/internal/awsapi/contract"
	"github.com/pennypost/pennypost/internal/directory"
	"github.com/pennypost/pennypost/internal/export"
	"github.com/pennypost/pennypost/internal/identity"
	"github.com/pennypost/pennypost/internal/organization"
	"github.com/pennypost/pennypost/internal/policy"
	"github.com/pennypost/pennypost/internal/principal"
	"github.com/pennypost/pennypost/internal/transport/autoreply"
	"github.com/pennypost/pennypost/internal/transport/domain"
	"github.com/pennypost/pennypost/internal/transport/flow"
	"github.com/pennypost/pennypost/internal/transport/intake"
	"github.com/pennypost/pennypost/internal/transport/journal"
	"github.com/pennypost/pennypost/internal/transport/manage"
)

// API carries out the operations of WorkMail, and our own, by calling the core. Each handler turns an input into one call, and
// what the call returns into an output; it decides nothing. All fields but Queue and Reports are required.
type API struct {
	Directory     *directory.Service
	Organizations *organization.Service
	Policy        *policy.Service
	Impersonation *identity.Impersonation
	Center        *identity.Center
	Exports       *export.Service
	Availability  *availability.Service
	Flow          *flow.Service
	Replies       *autoreply.Service
	Contents      *flow.Contents
	Journal       *journal.Service
	Domains       *domain.Service
	Queue         *manage.Queue // nil: its operations are not built
	Reports       *intake.Box   // nil: its operations are not built
	Pages         *Pages
}

// Handlers are the operations that are built.
func (a *API) Handlers() []contract.Handler {
	return slices.Concat(
		a.organizationHandlers(),
		a.userHandlers(),
		a.mailboxHandlers(),
		a.groupHandlers(),
		a.resourceHandlers(),
		a.addressHandlers(),
		a.domainHandlers(),
		a.permissionHandlers(),
		a.tagHandlers(),
		a.accessHandlers(),
		a.mobileHandlers(),
		a.monitoringHandlers(),
		a.impersonationHandlers(),
		a.identityHandlers(),
		a.retentionHandlers(),
		a.exportHandlers(),
		a.availabilityHandlers(),
		a.mailFlowHandlers(),
		a.automaticReplyHandlers(),
		a.messageFlowHandlers(),
		a.journalingHandlers(),
		a.queueHandlers(),
		a.reportHandlers(),
	)
}

// OrganizationARN is what Options.OrganizationARN asks for.
func (a *API) OrganizationARN(ctx context.Context, id string) (string, error) {
	o, err := a.Directory.DescribeOrganization(ctx, principal.TheSystem("API"), directory.OrgID(id))
	if err != nil {
		return "", err
	}
	return o.ARN(), nil
}

// page is one page of one list, on its way to the core and back.
type page struct {
	directory.Page
	pages *Pages
	list  list
}

// page reads which page the input of a list asks for. A bad token is told after what is wrong with the organisation.
func (a *API) page(ctx context.Context, op *contract.Op, input any) (page, error) {
	filter, err := op.WithoutPage(input)
	if err != nil {
		return page{}, err
	}
	p := page{pages: a.Pages, list: list{op.Name, op.Organization(input), string(filter)}}
	token, items := op.Page(input)
	if items != nil {
		p.Limit = int(*items)
	}
	p.After, err = a.Pages.open(p.list, token)
	if err != nil && p.list.organization != "" {
		err = a.Directory.GateFirst(ctx, directory.OrgID(p.list.organization), err)
	}
	return p, err
}

// token is the NextToken of the page behind cursor, nil behind the last page.
func (p page) token(cursor string) *string { return p.pages.seal(p.list, cursor) }

// some is a string that is absent when it is empty.
func some[S ~string](s S) *string {
	if s == "" {
		return nil
	}
	return always(s)
}

// always is a string that is there even when it is empty.
func always[S ~string](s S) *string {
	text := string(s)
	return &text
}

// when is a time that is absent when it never came.
func when(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return &t
}

// text is an optional string as the core wants it where absent and empty are the same.
func text(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}

// each turns a list of the core into a list of the API, which is there even when it is empty.
func each[From, To any](from []From, turn func(*From) To) []To {
	to := make([]To, len(from))
	for i := range from {
		to[i] = turn(&from[i])
	}
	return to
}

func stateOf(s directory.State) contract.EntityState { return contract.EntityState(s.String()) }

// stateFilter reads the state that a list is narrowed to; nil for none.
func stateFilter(s contract.EntityState) (*directory.State, error) {
	if s == "" {
		return nil, nil // no state is not an error, it is no filter
	}
	state, err := directory.ParseState(string(s))
	return &state, err
}
