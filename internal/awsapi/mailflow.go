package awsapi

import (
	"context"
	"time"

	"github.com/pennypost/pennypost/internal/awsapi/contract"
	"github.com/pennypost/pennypost/internal/directory"
	"github.com/pennypost/pennypost/internal/principal"
	"github.com/pennypost/pennypost/internal/transport/flow"
)

// mailFlowHandlers are our own operations on mail flow rules and SMTP gateways.
func (a *API) mailFlowHandlers() []contract.Handler {
	return []contract.Handler{
		contract.CreateInboundMailFlowRule.Handle(a.createInboundMailFlowRule),
		contract.UpdateInboundMailFlowRule.Handle(a.updateInboundMailFlowRule),
		contract.DeleteInboundMailFlowRule.Handle(a.deleteInboundMailFlowRule),
		contract.DescribeInboundMailFlowRule.Handle(a.describeInboundMailFlowRule),
		contract.ListInboundMailFlowRules.Handle(a.listInboundMailFlowRules),
		contract.TestInboundMailFlowRules.Handle(a.testInboundMailFlowRules),
		contract.CreateOutboundMailFlowRule.Handle(a.createOutboundMailFlowRule),
		contract.UpdateOutboundMailFlowRule.Handle(a.updateOutboundMailFlowRule),
		contract.DeleteOutboundMailFlowRule.Handle(a.deleteOutboundMailFlowRule),
		contract.DescribeOutboundMailFlowRule.Handle(a.describeOutboundMailFlowRule),
		contract.ListOutboundMailFlowRules.Handle(a.listOutboundMailFlowRules),
		contract.TestOutboundMailFlowRules.Handle(a.testOutboundMailFlowRules),
		contract.CreateSmtpGateway.Handle(a.createSmtpGateway),
		contract.UpdateSmtpGateway.Handle(a.updateSmtpGateway),
		contract.DeleteSmtpGateway.Handle(a.deleteSmtpGateway),
		contract.DescribeSmtpGateway.Handle(a.describeSmtpGateway),
		contract.ListSmtpGateways.Handle(a.listSmtpGateways),
	}
}

// lambdaOf is the function of an input; nil for none.
func lambdaOf(in *contract.MailFlowLambda) *flow.Lambda {
	if in == nil {
		return nil
	}
	l := &flow.Lambda{ARN: in.LambdaArn, Synchronous: in.InvocationType == contract.MailFlowInvocationTypeSynchronous, Fallback: flow.Action(in.FallbackAction)}
	if in.TimeoutMinutes != nil {
		l.Timeout = time.Duration(*in.TimeoutMinutes) * time.Minute
	}
	return l
}

func lambda(l *flow.Lambda) *contract.MailFlowLambda {
	if l == nil {
		return nil
	}
	out := &contract.MailFlowLambda{LambdaArn: l.ARN, InvocationType: contract.MailFlowInvocationTypeAsynchronous}
	if l.Synchronous {
		minutes := int32(l.Timeout / time.Minute)
		out.InvocationType, out.FallbackAction, out.TimeoutMinutes = contract.MailFlowInvocationTypeSynchronous, contract.MailFlowFallbackAction(l.Fallback), &minutes
	}
	return out
}

func (a *API) createInboundMailFlowRule(ctx context.Context, p principal.Principal, in *contract.CreateInboundMailFlowRuleInput) (*contract.CreateInboundMailFlowRuleOutput, error) {
	return &contract.CreateInboundMailFlowRuleOutput{}, a.Flow.CreateRule(ctx, p, directory.OrgID(in.OrganizationId),
		flow.Rule{Direction: flow.Inbound, Name: in.Name, Action: flow.Action(in.Action), Senders: in.SenderPatterns, Recipients: in.RecipientPatterns, Lambda: lambdaOf(in.Lambda)})
}

func (a *API) updateInboundMailFlowRule(ctx context.Context, p principal.Principal, in *contract.UpdateInboundMailFlowRuleInput) (*contract.UpdateInboundMailFlowRuleOutput, error) {
	return &contract.UpdateInboundMailFlowRuleOutput{}, a.Flow.UpdateRule(ctx, p, directory.OrgID(in.OrganizationId),
		flow.Rule{Direction: flow.Inbound, Name: in.Name, Action: flow.Action(in.Action), Senders: in.SenderPatterns, Recipients: in.RecipientPatterns, Lambda: lambdaOf(in.Lambda)})
}

func (a *API) deleteInboundMailFlowRule(ctx context.Context, p principal.Principal, in *contract.DeleteInboundMailFlowRuleInput) (*contract.DeleteInboundMailFlowRuleOutput, error) {
	return &contract.DeleteInboundMailFlowRuleOutput{}, a.Flow.DeleteRule(ctx, p, directory.OrgID(in.OrganizationId), flow.Inbound, in.Name)
}

func inboundRule(r *flow.Rule) contract.InboundMailFlowRule {
	return contract.InboundMailFlowRule{
		Name: always(r.Name), Action: contract.InboundMailFlowAction(r.Action), SenderPatterns: r.Senders, RecipientPatterns: r.Recipients,
		Lambda: lambda(r.Lambda), DateCreated: when(r.Created), DateModified: when(r.Modified),
	}
}

func (a *API) describeInboundMailFlowRule(ctx context.Context, p principal.Principal, in *contract.DescribeInboundMailFlowRuleInput) (*contract.DescribeInboundMailFlowRuleOutput, error) {
	r, err := a.Flow.DescribeRule(ctx, p, directory.OrgID(in.OrganizationId), flow.Inbound, in.Name)
	if err != nil {
		return nil, err
	}
	out := contract.DescribeInboundMailFlowRuleOutput(inboundRule(r))
	return &out, nil
}

func (a *API) listInboundMailFlowRules(ctx context.Context, p principal.Principal, in *contract.ListInboundMailFlowRulesInput) (*contract.ListInboundMailFlowRulesOutput, error) {
	page, err := a.page(ctx, &contract.ListInboundMailFlowRules.Op, in)
	if err != nil {
		return nil, err
	}
	list, next, err := a.Flow.ListRules(ctx, p, directory.OrgID(in.OrganizationId), flow.Inbound, page.Page)
	if err != nil {
		return nil, err
	}
	return &contract.ListInboundMailFlowRulesOutput{Rules: each(list, inboundRule), NextToken: page.token(next)}, nil
}

func (a *API) testInboundMailFlowRules(ctx context.Context, p principal.Principal, in *contract.TestInboundMailFlowRulesInput) (*contract.TestInboundMailFlowRulesOutput, error) {
	r, err := a.Flow.TestRules(ctx, p, directory.OrgID(in.OrganizationId), flow.Inbound, in.Sender, in.Recipient)
	if err != nil || r == nil {
		return &contract.TestInboundMailFlowRulesOutput{Action: contract.InboundMailFlowActionDefault}, err
	}
	return &contract.TestInboundMailFlowRulesOutput{Action: contract.InboundMailFlowAction(r.Action), RuleName: always(r.Name)}, nil
}

func (a *API) createOutboundMailFlowRule(ctx context.Context, p principal.Principal, in *contract.CreateOutboundMailFlowRuleInput) (*contract.CreateOutboundMailFlowRuleOutput, error) {
	return &contract.CreateOutboundMailFlowRuleOutput{}, a.Flow.CreateRule(ctx, p, directory.OrgID(in.OrganizationId), flow.Rule{
		Direction: flow.Outbound, Name: in.Name, Action: flow.Action(in.Action), Senders: in.SenderPatterns, Recipients: in.RecipientPatterns, Gateway: text(in.SmtpGatewayName),
		Lambda: lambdaOf(in.Lambda),
	})
}

func (a *API) updateOutboundMailFlowRule(ctx context.Context, p principal.Principal, in *contract.UpdateOutboundMailFlowRuleInput) (*contract.UpdateOutboundMailFlowRuleOutput, error) {
	return &contract.UpdateOutboundMailFlowRuleOutput{}, a.Flow.UpdateRule(ctx, p, directory.OrgID(in.OrganizationId), flow.Rule{
		Direction: flow.Outbound, Name: in.Name, Action: flow.Action(in.Action), Senders: in.SenderPatterns, Recipients: in.RecipientPatterns, Gateway: text(in.SmtpGatewayName),
		Lambda: lambdaOf(in.Lambda),
	})
}

func (a *API) deleteOutboundMailFlowRule(ctx context.Context, p principal.Principal, in *contract.DeleteOutboundMailFlowRuleInput) (*contract.DeleteOutboundMailFlowRuleOutput, error) {
	return &contract.DeleteOutboundMailFlowRuleOutput{}, a.Flow.DeleteRule(ctx, p, directory.OrgID(in.OrganizationId), flow.Outbound, in.Name)
}

func outboundRule(r *flow.Rule) contract.OutboundMailFlowRule {
	return contract.OutboundMailFlowRule{
		Name: always(r.Name), Action: contract.OutboundMailFlowAction(r.Action), SenderPatterns: r.Senders, RecipientPatterns: r.Recipients,
		SmtpGatewayName: some(r.Gateway), Lambda: lambda(r.Lambda), DateCreated: when(r.Created), DateModified: when(r.Modified),
	}
}

func (a *API) describeOutboundMailFlowRule(ctx context.Context, p principal.Principal, in *contract.DescribeOutboundMailFlowRuleInput) (*contract.DescribeOutboundMailFlowRuleOutput, error) {
	r, err := a.Flow.DescribeRule(ctx, p, directory.OrgID(in.OrganizationId), flow.Outbound, in.Name)
	if err != nil {
		return nil, err
	}
	out := contract.DescribeOutboundMailFlowRuleOutput(outboundRule(r))
	return &out, nil
}

func (a *API) listOutboundMailFlowRules(ctx context.Context, p principal.Principal, in *contract.ListOutboundMailFlowRulesInput) (*contract.ListOutboundMailFlowRulesOutput, error) {
	page, err := a.page(ctx, &contract.ListOutboundMailFlowRules.Op, in)
	if err != nil {
		return nil, err
	}
	list, next, err := a.Flow.ListRules(ctx, p, directory.OrgID(in.OrganizationId), flow.Outbound, page.Page)
	if err != nil {
		return nil, err
	}
	return &contract.ListOutboundMailFlowRulesOutput{Rules: each(list, outboundRule), NextToken: page.token(next)}, nil
}

func (a *API) testOutboundMailFlowRules(ctx context.Context, p principal.Principal, in *contract.TestOutboundMailFlowRulesInput) (*contract.TestOutboundMailFlowRulesOutput, error) {
	r, err := a.Flow.TestRules(ctx, p, directory.OrgID(in.OrganizationId), flow.Outbound, in.Sender, in.Recipient)
	if err != nil || r == nil {
		return &contract.TestOutboundMailFlowRulesOutput{Action: contract.OutboundMailFlowActionDefault}, err
	}
	return &contract.TestOutboundMailFlowRulesOutput{Action: contract.OutboundMailFlowAction(r.Action), RuleName: always(r.Name)}, nil
}

func (a *API) createSmtpGateway(ctx context.Context, p principal.Principal, in *contract.CreateSmtpGatewayInput) (*contract.CreateSmtpGatewayOutput, error) {
	return &contract.CreateSmtpGatewayOutput{}, a.Flow.CreateGateway(ctx, p, directory.OrgID(in.OrganizationId),
		flow.Gateway{Name: in.Name, Host: in.Host, Port: uint16(in.Port), Username: text(in.Username), Password: text(in.Password)})
}

func (a *API) updateSmtpGateway(ctx context.Context, p principal.Principal, in *contract.UpdateSmtpGatewayInput) (*contract.UpdateSmtpGatewayOutput, error) {
	return &contract.UpdateSmtpGatewayOutput{}, a.Flow.UpdateGateway(ctx, p, directory.OrgID(in.OrganizationId),
		flow.Gateway{Name: in.Name, Host: in.Host, Port: uint16(in.Port), Username: text(in.Username), Password: text(in.Password)})
}

func (a *API) deleteSmtpGateway(ctx context.Context, p principal.Principal, in *contract.DeleteSmtpGatewayInput) (*contract.DeleteSmtpGatewayOutput, error) {
	return &contract.DeleteSmtpGatewayOutput{}, a.Flow.DeleteGateway(ctx, p, directory.OrgID(in.OrganizationId), in.Name)
}

func smtpGateway(g *flow.Gateway) contract.SmtpGateway {
	return contract.SmtpGateway{
		Name: always(g.Name), Host: always(g.Host), Port: int32(g.Port), Username: some(g.Username), DateCreated: when(g.Created), DateModified: when(g.Modified),
	}
}

func (a *API) describeSmtpGateway(ctx context.Context, p principal.Principal, in *contract.DescribeSmtpGatewayInput) (*contract.DescribeSmtpGatewayOutput, error) {
	g, err := a.Flow.DescribeGateway(ctx, p, directory.OrgID(in.OrganizationId), in.Name)
	if err != nil {
		return nil, err
	}
	out := contract.DescribeSmtpGatewayOutput(smtpGateway(g))
	return &out, nil
}

func (a *API) listSmtpGateways(ctx context.Context, p principal.Principal, in *contract.ListSmtpGatewaysInput) (*contract.ListSmtpGatewaysOutput, error) {
	page, err := a.page(ctx, &contract.ListSmtpGateways.Op, in)
	if err != nil {
		return nil, err
	}
	list, next, err := a.Flow.ListGateways(ctx, p, directory.OrgID(in.OrganizationId), page.Page)
	if err != nil {
		return nil, err
	}
	return &contract.ListSmtpGatewaysOutput{SmtpGateways: each(list, smtpGateway), NextToken: page.token(next)}, nil
}
