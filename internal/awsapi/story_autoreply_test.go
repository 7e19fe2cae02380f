package awsapi_test

import (
	"github.com/aws/aws-sdk-go-v2/service/workmail"

	"github.com/pennypost/pennypost/internal/awsapi/contract"
)

// automaticReply sets a user's automatic reply and reads it back.
func (s *story) automaticReply() {
	w := s.world
	in := func(entity string, more ...any) map[string]any {
		m := map[string]any{"OrganizationId": s.org, "EntityId": entity}
		for i := 0; i < len(more); i += 2 {
			m[more[i].(string)] = more[i+1]
		}
		return m
	}
	type reply struct {
		State, InternalReply, ExternalReply, ExternalAudience string
		StartTime, EndTime                                    float64
	}
	get := func(want reply) {
		w.t.Helper()
		var got reply
		w.own(&contract.GetAutomaticReply.Op, in(s.ann), &got, "")
		if got != want {
			w.t.Errorf("the automatic reply is %+v, want %+v", got, want)
		}
	}
	put := func(code contract.ErrorCode, more ...any) {
		w.t.Helper()
		w.own(&contract.PutAutomaticReply.Op, in(s.ann, more...), nil, code)
	}
	get(reply{State: "DISABLED", ExternalAudience: "ALL"})
	put("", "State", "SCHEDULED", "StartTime", 1795644000, "EndTime", 1795645000.5, "InternalReply", "away", "ExternalReply", "<p>gone</p>", "ExternalAudience", "KNOWN")
	get(reply{"SCHEDULED", "away", "<p>gone</p>", "KNOWN", 1795644000, 1795645000.5})
	put("", "State", "ENABLED", "InternalReply", "away")
	get(reply{State: "ENABLED", InternalReply: "away", ExternalAudience: "ALL"})
	put(contract.InvalidParameterException, "State", "ENABLED")
	put(contract.InvalidParameterException, "State", "SCHEDULED", "InternalReply", "away", "StartTime", 2, "EndTime", 1)
	idle := *must(w, w.CreateUser, &workmail.CreateUserInput{OrganizationId: &s.org, Name: str("replies-not"), DisplayName: str("x")}).UserId
	for op, more := range map[*contract.Op][]any{&contract.GetAutomaticReply.Op: nil, &contract.PutAutomaticReply.Op: {"State", "DISABLED"}} {
		w.own(op, in(nobody, more...), nil, contract.EntityNotFoundException)
		w.own(op, in(idle, more...), nil, contract.EntityStateException)
	}
}
