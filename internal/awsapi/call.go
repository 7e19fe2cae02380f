package awsapi

import (
	"context"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/netip"
	"strings"
	"time"

	"github.com/pennypost/pennypost/internal/awsapi/contract"
	"github.com/pennypost/pennypost/internal/awsapi/contract/schema"
	"github.com/pennypost/pennypost/internal/awsapi/sigv4"
	"github.com/pennypost/pennypost/internal/fault"
	"github.com/pennypost/pennypost/internal/identity"
	"github.com/pennypost/pennypost/internal/principal"
)

// call is one request on its way through the front.
type call struct {
	front   *Front
	request *http.Request
	id      string
	began   time.Time
	source  netip.Addr

	route  route
	key    identity.Credential // zero until the signature is good
	claim  string              // the key id that the request claims, verified or not
	body   []byte
	input  any // decoded
	actor  principal.Principal
	target string // the resource name that the policy was asked about
	cause  error  // of an answer that does not tell it; for the log
}

// source returns the client's address, the zero address where RemoteAddr is none.
func source(r *http.Request) netip.Addr {
	a, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return netip.Addr{}
	}
	return a.Addr().Unmap().WithZone("")
}

// answer takes the request through all checks and carries it out.
func (c *call) answer(w http.ResponseWriter) *answer {
	c.route = c.front.find(c.request)
	if c.route.kind == routeNowhere {
		return c.refuse(nothingHere(c.request))
	}
	if err := c.authenticate(w); err != nil {
		return c.fail(err)
	}
	if c.route.kind == routeSTS {
		return c.callSTS()
	}
	switch {
	case c.route.op != nil:
	case c.route.kind == routeMessageFlow: // it has no X-Amz-Target
		return c.refuse(nothingHere(c.request))
	default:
		return c.refuse(unknownOperation(c.request))
	}
	if err := c.decode(); err != nil {
		return c.fail(err)
	}
	handler, ok := c.front.handlers[c.route.op]
	if !ok {
		return c.refuse(notImplemented(c.route.op))
	}
	ctx, cancel := context.WithTimeout(c.request.Context(), c.front.options.Timeout)
	defer cancel()
	if err := c.authorize(ctx); err != nil {
		return c.fail(err)
	}
	output, err := handler.Run(ctx, c.actor, c.input)
	if err != nil {
		return c.fail(err)
	}
	if raw, ok := output.(*contract.Raw); ok {
		return c.open(raw)
	}
	body, err := c.route.op.Encode(output)
	if err != nil {
		return c.fail(fmt.Errorf("encode the output: %w", err))
	}
	return &answer{status: http.StatusOK, contentType: c.route.contentType(), body: body}
}

// open answers with bytes that are read while they are written, for which the operation's own time is too short.
func (c *call) open(raw *contract.Raw) *answer {
	body, err := raw.Open(c.request.Context())
	if err != nil {
		return c.fail(fmt.Errorf("open the output: %w", err))
	}
	return &answer{status: http.StatusOK, contentType: rawType, raw: body, size: raw.Size}
}

// authenticate reads the body and verifies the signature.
func (c *call) authenticate(w http.ResponseWriter) error {
	signature, err := sigv4.Parse(c.request)
	if err != nil {
		return err
	}
	c.claim = signature.KeyID
	key, err := c.front.options.Keys.Lookup(c.request.Context(), signature.KeyID)
	if fault.Is(err, fault.NotFound, fault.Key) {
		return &sigv4.Error{Code: sigv4.UnrecognizedClient, Message: "The access key in the request is not known, or was revoked."}
	}
	if err != nil {
		return err
	}
	if c.body, err = io.ReadAll(http.MaxBytesReader(w, c.request.Body, MaxBody)); err != nil {
		return bodyRefusal(err)
	}
	if err := c.front.verifier.Verify(c.request, c.body, signature, sigv4.Key{ID: key.ID, Secret: key.Secret}, c.route.signingName()); err != nil {
		return err
	}
	c.key = key
	c.actor = principal.Principal{
		Kind: principal.Administrator, ID: key.ID, Name: key.Label, Protocol: "API", Address: c.source,
		UserAgent: c.request.UserAgent(), RequestID: c.id,
	}
	return nil
}

// bodyRefusal says why a body could not be read.
func bodyRefusal(err error) error {
	var large *http.MaxBytesError
	if errors.As(err, &large) {
		return refusal{code: "RequestEntityTooLargeException", status: http.StatusBadRequest, text: fmt.Sprintf("The body is larger than %d bytes.", MaxBody)}
	}
	return refusal{code: "RequestTimeoutException", status: http.StatusRequestTimeout, text: "The body did not arrive.", cause: err}
}

// decode reads the operation's input.
func (c *call) decode() error {
	var inPath []string
	if c.route.op.Service == contract.MessageFlow {
		inPath = []string{strings.TrimPrefix(c.request.URL.Path, messagesPath)}
	} else if err := checkContentType(c.request.Header.Get("Content-Type")); err != nil {
		return err
	}
	input, unknown, err := c.route.op.Decode(c.body, inPath...)
	if len(unknown) > 0 {
		c.unknown(unknown)
	}
	var syntax *schema.SyntaxError
	var breaches schema.Breaches
	switch {
	case errors.As(err, &syntax):
		return refusal{code: "SerializationException", status: http.StatusBadRequest, text: "The body can't be read: " + syntax.Error() + "."}
	case errors.As(err, &breaches):
		return refusal{code: c.route.op.BreachCode(), status: http.StatusBadRequest, text: breaches.Error()}
	case err != nil:
		return err
	}
	c.input = input
	return nil
}

func checkContentType(header string) error {
	kind, _, err := mime.ParseMediaType(header)
	if err != nil || kind != jsonType {
		return refusal{
			code: "SerializationException", status: http.StatusBadRequest,
			text: fmt.Sprintf("Content-Type must be %s, not %q.", jsonType, strings.ToValidUTF8(header[:min(len(header), 100)], "")),
		}
	}
	return nil
}

// unknown counts members that the contract does not have, and logs them the first time they are met with an operation.
func (c *call) unknown(members []string) {
	op := c.route.op
	c.front.metrics.strange(op.Name, len(members))
	if _, before := c.front.strange.LoadOrStore(op, struct{}{}); !before {
		c.front.options.Log.Warn("a request has members that the API does not have; they are ignored, and not logged for this operation again",
			"operation", op.Name, "members", members, "request_id", c.id, "user_agent", c.userAgent())
	}
}

// userAgent is what the client calls itself, shortened.
func (c *call) userAgent() string {
	text := c.request.UserAgent()
	return strings.ToValidUTF8(text[:min(len(text), 256)], "")
}
