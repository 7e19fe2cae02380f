package awsapi

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"errors"
	"io"
	"net/http"
	"strconv"

	"github.com/pennypost/pennypost/internal/awsapi/contract"
)

// answer is what goes back to the client.
type answer struct {
	status      int
	code        contract.ErrorCode // "" for success
	contentType string
	body        []byte
	raw         io.ReadCloser // in place of body, with size bytes
	size        int64
}

// write sends the answer and returns how many bytes of it went out. A client that is gone needs no further care.
func (a *answer) write(w http.ResponseWriter, c *call) int {
	h := w.Header()
	h.Set("Content-Type", a.contentType)
	if a.raw == nil {
		a.raw, a.size = io.NopCloser(bytes.NewReader(a.body)), int64(len(a.body))
	}
	h.Set("Content-Length", strconv.FormatInt(a.size, 10))
	h.Set("X-Amzn-Requestid", c.id)
	if a.code != "" {
		h.Set("X-Amzn-Errortype", string(a.code))
	}
	w.WriteHeader(a.status)
	n, err := io.Copy(w, a.raw)
	if err = errors.Join(err, a.raw.Close()); err != nil && c.cause == nil {
		c.cause = err
	}
	return int(n)
}

// refuse makes the answer of a refusal: JSON for the JSON services, XML for STS. Modelled exceptions have the member that
// their model gives them, all others "message".
func (c *call) refuse(r refusal) *answer {
	if r.cause != nil {
		c.cause = r.cause
	}
	a := &answer{status: r.status, code: r.code, contentType: c.route.contentType()}
	if c.route.kind == routeSTS {
		a.refuseSTS(r.text, c.id)
		return a
	}
	member := "message"
	if op := c.route.op; op != nil && op.Lists(r.code) {
		member = op.Service.MessageMember()
	}
	// Strings always marshal.
	a.body, _ = json.Marshal(map[string]string{"__type": string(r.code), member: r.text})
	return a
}

// stsError is an error of the query protocol.
type stsError struct {
	XMLName   xml.Name `xml:"https://sts.amazonaws.com/doc/2011-06-15/ ErrorResponse"`
	Type      string   `xml:"Error>Type"`
	Code      string   `xml:"Error>Code"`
	Message   string   `xml:"Error>Message"`
	RequestID string   `xml:"RequestId"`
}

func (a *answer) refuseSTS(text, requestID string) {
	e := stsError{Type: "Sender", Code: string(a.code), Message: text, RequestID: requestID}
	if a.status >= http.StatusInternalServerError {
		e.Type = "Receiver"
	}
	a.body, _ = xml.Marshal(e) // a struct of strings always marshals
}
