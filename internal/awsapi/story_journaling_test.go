package awsapi_test

import "github.com/pennypost/pennypost/internal/awsapi/contract"

// journaling sets the journaling rules, reads them, and turns them off.
func (s *story) journaling() {
	w := s.world
	type rules struct {
		Enabled                          bool
		JournalingAddress, ReportAddress string
		DateModified                     float64
	}
	is := func(want rules) {
		w.t.Helper()
		var got rules
		w.own(&contract.GetJournalingRules.Op, map[string]any{"OrganizationId": s.org}, &got, "")
		if set := got.DateModified != 0; set != (want.DateModified != 0) {
			w.t.Errorf("the rules are %+v", got)
		}
		if got.DateModified = want.DateModified; got != want {
			w.t.Errorf("the rules are %+v, want %+v", got, want)
		}
	}
	is(rules{})
	in := map[string]any{"OrganizationId": s.org, "Enabled": true, "JournalingAddress": "archive@far.example"}
	w.own(&contract.SetJournalingRules.Op, in, nil, contract.InvalidParameterException)
	is(rules{})
	in["ReportAddress"] = "it@acme.awsapps.com"
	w.own(&contract.SetJournalingRules.Op, in, nil, "")
	is(rules{true, "archive@far.example", "it@acme.awsapps.com", 1})
	w.own(&contract.SetJournalingRules.Op, map[string]any{"OrganizationId": s.org, "Enabled": false}, nil, "")
	is(rules{DateModified: 1})
}
