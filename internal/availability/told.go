package availability

import (
	"github.com/pennypost/pennypost/internal/audit"
	"github.com/pennypost/pennypost/internal/directory"
	"github.com/pennypost/pennypost/internal/principal"
)

// providerEvent is a record of WorkMail's WORKMAIL_AVAILABILITY_PROVIDER_LOGS.
type providerEvent struct {
	Time       int64  `json:"event_timestamp"`
	RequestID  string `json:"request_id,omitempty"`
	UserID     string `json:"user_id,omitempty"` // who asked; absent for a trial
	Role       string `json:"impersonator_id,omitempty"`
	Protocol   string `json:"protocol,omitempty"`
	SourceIP   string `json:"source_ip,omitempty"`
	UserAgent  string `json:"user_agent,omitempty"`
	Type       string `json:"type"`
	Domain     string `json:"domain,omitempty"` // absent for a trial of a provider that is not stored
	Function   string `json:"function_arn,omitempty"`
	Endpoint   string `json:"ews_endpoint,omitempty"`
	Error      string `json:"error_message,omitempty"`
	Successful bool   `json:"availability_event_successful"`
}

// tell tells the log of availability providers how the question that p put to one went. It waits for nobody.
func (s *Service) tell(p principal.Principal, org directory.OrgID, domain string, provider Provider, f *failure) {
	if s.audit == nil {
		return
	}
	e := providerEvent{
		Time: audit.Millis(s.clock.Now()), RequestID: p.RequestID, Protocol: p.Protocol, UserAgent: p.UserAgent,
		Type: "LAMBDA", Domain: domain, Function: provider.Function, Successful: f == nil,
	}
	switch p.Kind {
	case principal.User:
		e.UserID = p.ID
	case principal.Role:
		e.Role = p.ID
	}
	if p.Address.IsValid() {
		e.SourceIP = p.Address.Unmap().String()
	}
	if provider.EWS != nil {
		e.Type, e.Endpoint = "EWS", provider.EWS.Endpoint
	}
	if f != nil {
		e.Error = string(f.word) + ": " + f.reason
	}
	s.audit.Access(audit.AvailabilityLogs, string(org), e)
}
