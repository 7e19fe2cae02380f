package awsapi

import (
	"context"
	"strconv"

	"github.com/pennypost/pennypost/internal/awsapi/contract"
	"github.com/pennypost/pennypost/internal/directory"
	"github.com/pennypost/pennypost/internal/principal"
	"github.com/pennypost/pennypost/internal/transport/manage"
	"github.com/pennypost/pennypost/internal/transport/queue"
)

// queueHandlers are our own operations on the outbound queue; none where there is no queue.
func (a *API) queueHandlers() []contract.Handler {
	if a.Queue == nil {
		return nil
	}
	return []contract.Handler{
		contract.DescribeQueue.Handle(a.describeQueue),
		contract.ListQueuedMessages.Handle(a.listQueuedMessages),
		contract.HoldQueuedMessages.Handle(a.holdQueuedMessages),
		contract.ReleaseQueuedMessages.Handle(a.releaseQueuedMessages),
		contract.RetryQueuedMessages.Handle(a.retryQueuedMessages),
		contract.DropQueuedMessages.Handle(a.dropQueuedMessages),
		contract.GetMessageTrace.Handle(a.getMessageTrace),
	}
}

// choiceOf reads which messages of the queue an input means.
func choiceOf(organization string, f *contract.QueuedMessageFilters, all bool) manage.Choice {
	c := manage.Choice{Organization: directory.OrgID(organization), All: all}
	if f == nil {
		return c
	}
	c.Trace, c.From, c.Recipient, c.Domain = text(f.TraceId), text(f.From), text(f.Recipient), text(f.Domain)
	if f.MessageId != nil {
		// Digits, by the pattern. Those beyond the range become its largest number, which is no message's.
		id, _ := strconv.ParseInt(*f.MessageId, 10, 64)
		c.Message = queue.ID(id)
	}
	if f.State != "" {
		held := f.State == contract.QueuedMessageStateHeld
		c.Held = &held
	}
	return c
}

func (a *API) describeQueue(ctx context.Context, p principal.Principal, _ *contract.DescribeQueueInput) (*contract.DescribeQueueOutput, error) {
	d, err := a.Queue.Describe(ctx, p)
	return &contract.DescribeQueueOutput{Waiting: d.Waiting, Held: d.Held, OldestDate: when(d.Oldest)}, err
}

func (a *API) listQueuedMessages(ctx context.Context, p principal.Principal, in *contract.ListQueuedMessagesInput) (*contract.ListQueuedMessagesOutput, error) {
	page, err := a.page(ctx, &contract.ListQueuedMessages.Op, in)
	if err != nil {
		return nil, err
	}
	entries, next, err := a.Queue.List(ctx, p, choiceOf(in.OrganizationId, in.Filters, false), page.Page)
	if err != nil {
		return nil, err
	}
	return &contract.ListQueuedMessagesOutput{
		Messages: each(entries, func(e *manage.Entry) contract.QueuedMessage {
			state := contract.QueuedMessageStateWaiting
			if e.Held {
				state = contract.QueuedMessageStateHeld
			}
			return contract.QueuedMessage{
				MessageId: messageID(e.Message), TraceId: some(e.Trace), From: some(e.From), Recipient: always(e.Recipient),
				Domain: some(e.Destination.Domain), Gateway: some(e.Destination.Route), State: state, Size: e.Size,
				QueuedDate: when(e.Queued), DueDate: when(e.Due), ExpiryDate: when(e.Expires), Attempts: int32(e.Attempts),
				Status: some(e.Status), Reply: some(e.Reply), Host: some(e.Host),
			}
		}),
		NextToken: page.token(next),
	}, nil
}

func messageID(id queue.ID) *string { return always(strconv.FormatInt(int64(id), 10)) }

func (a *API) holdQueuedMessages(ctx context.Context, p principal.Principal, in *contract.HoldQueuedMessagesInput) (*contract.HoldQueuedMessagesOutput, error) {
	n, err := a.Queue.Hold(ctx, p, choiceOf(in.OrganizationId, in.Filters, in.All))
	return &contract.HoldQueuedMessagesOutput{Count: int64(n)}, err
}

func (a *API) releaseQueuedMessages(ctx context.Context, p principal.Principal, in *contract.ReleaseQueuedMessagesInput) (*contract.ReleaseQueuedMessagesOutput, error) {
	n, err := a.Queue.Release(ctx, p, choiceOf(in.OrganizationId, in.Filters, in.All))
	return &contract.ReleaseQueuedMessagesOutput{Count: int64(n)}, err
}

func (a *API) retryQueuedMessages(ctx context.Context, p principal.Principal, in *contract.RetryQueuedMessagesInput) (*contract.RetryQueuedMessagesOutput, error) {
	n, err := a.Queue.Retry(ctx, p, choiceOf(in.OrganizationId, in.Filters, in.All))
	return &contract.RetryQueuedMessagesOutput{Count: int64(n)}, err
}

func (a *API) dropQueuedMessages(ctx context.Context, p principal.Principal, in *contract.DropQueuedMessagesInput) (*contract.DropQueuedMessagesOutput, error) {
	n, err := a.Queue.Drop(ctx, p, choiceOf(in.OrganizationId, in.Filters, in.All), in.Bounce)
	return &contract.DropQueuedMessagesOutput{Count: int64(n)}, err
}

func (a *API) getMessageTrace(ctx context.Context, p principal.Principal, in *contract.GetMessageTraceInput) (*contract.GetMessageTraceOutput, error) {
	page, err := a.page(ctx, &contract.GetMessageTrace.Op, in)
	if err != nil {
		return nil, err
	}
	events, next, err := a.Queue.Trace(ctx, p, directory.OrgID(in.OrganizationId), in.TraceId, page.Page)
	if err != nil {
		return nil, err
	}
	return &contract.GetMessageTraceOutput{
		Events: each(events, func(e *queue.Event) contract.MessageEvent {
			o := &e.Outcome
			return contract.MessageEvent{
				Date: when(e.At), Type: contract.MessageEventType(manage.EventName(e.Kind)), MessageId: messageID(e.Message), From: some(e.Envelope.From.String()),
				Recipient: always(e.Recipient.Address.String()), Gateway: some(e.Recipient.Route), Attempts: int32(e.Attempts),
				Status: some(o.Status), Reply: some(o.Reply), Host: some(o.Host), Tls: some(o.TLS),
			}
		}),
		NextToken: page.token(next),
	}, nil
}
