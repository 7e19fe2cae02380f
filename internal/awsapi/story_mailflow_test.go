package awsapi_test

import (
	"fmt"
	"slices"

	"github.com/pennypost/pennypost/internal/awsapi/contract"
)

// mailFlow makes, changes, tests and removes rules of both directions and a gateway.
func (s *story) mailFlow() {
	w := s.world
	in := func(more ...any) map[string]any {
		m := map[string]any{"OrganizationId": s.org}
		for i := 0; i < len(more); i += 2 {
			m[more[i].(string)] = more[i+1]
		}
		return m
	}
	everybody := []string{"*"}
	gateway := in("Name", "Relay", "Host", "Relay.Example", "Port", 465, "Username", "me", "Password", "secret")
	w.own(&contract.CreateSmtpGateway.Op, gateway, nil, "")
	w.own(&contract.CreateSmtpGateway.Op, gateway, nil, contract.NameAvailabilityException)
	w.own(&contract.CreateSmtpGateway.Op, in("Name", "second", "Host", "192.0.2.1", "Port", 25, "Username", "me"), nil, contract.InvalidParameterException)
	for i := range 99 {
		w.own(&contract.CreateSmtpGateway.Op, in("Name", fmt.Sprint("other-", i), "Host", "192.0.2.1", "Port", 25), nil, "")
	}
	w.own(&contract.CreateSmtpGateway.Op, in("Name", "one too many", "Host", "192.0.2.1", "Port", 25), nil, contract.LimitExceededException)
	var gateways struct {
		SmtpGateways []map[string]any
		NextToken    string
	}
	w.own(&contract.ListSmtpGateways.Op, in("MaxResults", 1), &gateways, "")
	w.own(&contract.ListSmtpGateways.Op, in("NextToken", gateways.NextToken), &gateways, "")
	if n := len(gateways.SmtpGateways); n != 99 || gateways.SmtpGateways[98]["Name"] != "Relay" || gateways.SmtpGateways[98]["Password"] != nil {
		w.t.Errorf("the second page has %d gateways: %v", n, gateways)
	}
	w.own(&contract.ListSmtpGateways.Op, in("NextToken", "x"), nil, contract.InvalidParameterException)

	for _, d := range []struct {
		create, update, remove, describe, list, test *contract.Op
		action                                       string
	}{
		{
			&contract.CreateInboundMailFlowRule.Op, &contract.UpdateInboundMailFlowRule.Op, &contract.DeleteInboundMailFlowRule.Op,
			&contract.DescribeInboundMailFlowRule.Op, &contract.ListInboundMailFlowRules.Op, &contract.TestInboundMailFlowRules.Op, "MOVE_TO_JUNK",
		},
		{
			&contract.CreateOutboundMailFlowRule.Op, &contract.UpdateOutboundMailFlowRule.Op, &contract.DeleteOutboundMailFlowRule.Op,
			&contract.DescribeOutboundMailFlowRule.Op, &contract.ListOutboundMailFlowRules.Op, &contract.TestOutboundMailFlowRules.Op, "ROUTE_TO_SMTP_GATEWAY",
		},
	} {
		rule := func(name, action string, senders []string) map[string]any {
			r := in("Name", name, "Action", action, "SenderPatterns", senders, "RecipientPatterns", everybody)
			if action == "ROUTE_TO_SMTP_GATEWAY" {
				r["SmtpGatewayName"] = "relay"
			}
			return r
		}
		w.own(d.create, rule("First", d.action, []string{"*.Far.example", "*.far.example", "x@y.example"}), nil, "")
		w.own(d.create, rule("first", "DROP", everybody), nil, contract.NameAvailabilityException)
		w.own(d.create, rule("bad", "DROP", []string{"a+b@c.example"}), nil, contract.InvalidParameterException)
		w.own(d.update, rule("none", "DROP", everybody), nil, contract.ResourceNotFoundException)
		w.own(d.update, rule("first", "DROP", []string{"@"}), nil, contract.InvalidParameterException)
		var told struct {
			Name, Action, SmtpGatewayName     string
			SenderPatterns, RecipientPatterns []string
			DateCreated, DateModified         float64
		}
		w.own(d.describe, in("Name", " FIRST "), &told, "")
		if told.Name != "First" || told.Action != d.action || !slices.Equal(told.SenderPatterns, []string{"*.far.example", "x@y.example"}) ||
			!slices.Equal(told.RecipientPatterns, everybody) || told.DateCreated == 0 || (told.SmtpGatewayName == "Relay") != (d.action == "ROUTE_TO_SMTP_GATEWAY") {
			w.t.Errorf("the rule is %+v", told)
		}
		w.own(d.describe, in("Name", "none"), nil, contract.ResourceNotFoundException)
		acts := func(sender, action, name string) {
			w.t.Helper()
			var out struct{ Action, RuleName string }
			w.own(d.test, in("Sender", sender, "Recipient", "ann@acme.awsapps.com"), &out, "")
			if out.Action != action || out.RuleName != name {
				w.t.Errorf("%s for %s: %+v", d.test.Name, sender, out)
			}
		}
		acts("a@mail.far.example", d.action, "First")
		acts("a@near.example", "DEFAULT", "")
		w.own(d.test, in("Sender", "nobody", "Recipient", "ann@acme.awsapps.com"), nil, contract.InvalidParameterException)
		w.own(d.update, rule("FIRST", "BOUNCE", []string{"far.example"}), nil, "")
		acts("a@mail.far.example", "DEFAULT", "")
		acts("a@far.example", "BOUNCE", "FIRST")

		var many []string
		for i := range 250 {
			many = append(many, fmt.Sprintf("d%d.example", i))
		}
		for i := range 3 {
			w.own(d.create, rule(fmt.Sprint("many-", i), "DROP", many), nil, "")
		}
		w.own(d.create, rule("many-3", "DROP", many), nil, contract.LimitExceededException)
		w.own(d.create, rule("many-3", "DROP", append(many, "x.example")), nil, contract.InvalidParameterException)
		w.own(d.create, rule("some", "DROP", many[:248]), nil, "")
		w.own(d.update, rule("some", "DROP", many), nil, contract.LimitExceededException)
		var list struct {
			Rules     []map[string]any
			NextToken string
		}
		w.own(d.list, in("MaxResults", 1), &list, "")
		if len(list.Rules) != 1 || list.Rules[0]["Name"] != "FIRST" {
			w.t.Errorf("the first page is %v", list)
		}
		w.own(d.list, in("NextToken", list.NextToken), &list, "")
		if len(list.Rules) != 4 || list.Rules[3]["Name"] != "some" {
			w.t.Errorf("the second page is %v", list)
		}
		w.own(d.list, in("NextToken", "x"), nil, contract.InvalidParameterException)
		for _, name := range []string{"some", "some", "many-0", "many-1", "many-2"} {
			w.own(d.remove, in("Name", name), nil, "")
		}
		ask := rule("ask", "RUN_LAMBDA", everybody)
		w.own(d.create, ask, nil, contract.InvalidParameterException)
		for i, function := range []map[string]any{
			{"LambdaArn": noFunction, "InvocationType": "SYNCHRONOUS", "FallbackAction": "BOUNCE", "TimeoutMinutes": 240},
			{"LambdaArn": noFunction, "InvocationType": "ASYNCHRONOUS"},
			{"LambdaArn": noFunction, "InvocationType": "SYNCHRONOUS"},
			{"LambdaArn": noFunction, "InvocationType": "SYNCHRONOUS", "FallbackAction": "DROP", "TimeoutMinutes": 241},
			{"LambdaArn": noFunction, "InvocationType": "ASYNCHRONOUS", "TimeoutMinutes": 1},
		} {
			if ask["Lambda"] = function; i > 1 {
				w.own(d.update, ask, nil, contract.InvalidParameterException)
				continue
			}
			w.own([]*contract.Op{d.create, d.update}[i], ask, nil, "")
			var told struct{ Lambda map[string]any }
			if w.own(d.describe, in("Name", "ask"), &told, ""); fmt.Sprint(told.Lambda) != fmt.Sprint(function) {
				w.t.Errorf("the function is %v, want %v", told.Lambda, function)
			}
			w.own(d.list, in(), &list, "")
		}
		w.own(d.remove, in("Name", "ask"), nil, "")
		w.own(d.remove, in("Name", ""), nil, contract.InvalidParameterException)
		w.own(d.update, rule("FIRST", d.action, everybody), nil, "")
		w.own(d.list, in(), &list, "")
	}
	w.own(&contract.CreateOutboundMailFlowRule.Op, in("Name", "x", "Action", "ROUTE_TO_SMTP_GATEWAY", "SenderPatterns", everybody, "RecipientPatterns", everybody, "SmtpGatewayName", "none"),
		nil, contract.ResourceNotFoundException)
	w.own(&contract.DeleteSmtpGateway.Op, in("Name", "Relay"), nil, contract.InvalidParameterException)
	gateway["Host"] = "192.0.2.7"
	w.own(&contract.UpdateSmtpGateway.Op, gateway, nil, "")
	gateway["Host"] = "no host"
	w.own(&contract.UpdateSmtpGateway.Op, gateway, nil, contract.InvalidParameterException)
	w.own(&contract.UpdateSmtpGateway.Op, in("Name", "none", "Host", "192.0.2.7", "Port", 25), nil, contract.ResourceNotFoundException)
	var told map[string]any
	w.own(&contract.DescribeSmtpGateway.Op, in("Name", "relay"), &told, "")
	if told["Host"] != "192.0.2.7" || told["Port"] != 465.0 || told["Username"] != "me" || told["Password"] != nil {
		w.t.Errorf("the gateway is %v", told)
	}
	w.own(&contract.DescribeSmtpGateway.Op, in("Name", "none"), nil, contract.ResourceNotFoundException)
	w.own(&contract.DescribeSmtpGateway.Op, in("Name", "\x01"), nil, contract.InvalidParameterException)
	for range 2 {
		w.own(&contract.DeleteSmtpGateway.Op, in("Name", "other-1"), nil, "")
	}
}
