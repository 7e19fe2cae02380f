package awsapi

import (
	"mime"
	"net/http"
	"strings"

	"github.com/pennypost/pennypost/internal/awsapi/contract"
)

const (
	jsonType     = "application/x-amz-json-1.1"
	restJSONType = "application/json"
	rawType      = "application/octet-stream"
	formType     = "application/x-www-form-urlencoded"
	xmlType      = "text/xml"

	messagesPath = "/messages/" // before the id, in message flow
)

type routeKind uint8

const (
	routeWorkMail routeKind = iota
	routeMessageFlow
	routeSTS
	routeNowhere
)

// route is the service that a request is for, by its outside, and the operation if there is such a one.
type route struct {
	kind routeKind
	op   *contract.Op
}

// find tells where a request goes. It reads no body: the operation of STS stands there.
func (f *Front) find(r *http.Request) route {
	path := r.URL.EscapedPath()
	switch {
	case strings.HasPrefix(path, messagesPath) && !strings.Contains(path[len(messagesPath):], "/"):
		return route{routeMessageFlow, f.flow[r.Method]}
	case path != "/" || r.Method != http.MethodPost:
		return route{kind: routeNowhere}
	case len(r.Header.Values("X-Amz-Target")) == 0 && isForm(r):
		return route{kind: routeSTS}
	default:
		// One header only: a second would not be the one that the signature's reader thinks of.
		if targets := r.Header.Values("X-Amz-Target"); len(targets) == 1 {
			return route{routeWorkMail, f.targets[targets[0]]}
		}
		return route{kind: routeWorkMail}
	}
}

func isForm(r *http.Request) bool {
	kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	return err == nil && kind == formType
}

// signingName is the service that the request must be signed for.
func (r route) signingName() string {
	switch r.kind {
	case routeSTS:
		return "sts"
	case routeMessageFlow:
		return string(contract.MessageFlow)
	default:
		return string(contract.WorkMail)
	}
}

func (r route) contentType() string {
	switch r.kind {
	case routeSTS:
		return xmlType
	case routeMessageFlow:
		return restJSONType
	default:
		return jsonType
	}
}

// name is what logs and metrics call the operation.
func (r route) name() string {
	switch {
	case r.op != nil:
		return r.op.Name
	case r.kind == routeSTS:
		return callerIdentity
	default:
		return "unknown"
	}
}
