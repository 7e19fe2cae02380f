// Package soap turns the messages of Exchange Web Services to values and back: SOAP 1.1 envelopes in the version
// Exchange2010_SP2, read with bounds. It knows the one operation that is needed so far, GetUserAvailability, from both sides.
package soap

import (
	"bytes"
	"encoding/xml"
	"errors"
	"fmt"
	"io"

	"github.com/pennypost/pennypost/internal/boundedxml"
)

// Version is the version of the schema that requests are written in.
const Version = "Exchange2010_SP2"

// ContentType is that of every message.
const ContentType = "text/xml; charset=utf-8"

// What Decode takes. The number of bytes is bounded by who hands in the reader.
const (
	maxDepth      = 32
	maxElements   = 200_000
	maxAttributes = 32 // of one element
)

// Fault is a SOAP fault: the whole request failed. It is an error.
type Fault struct {
	Code string `xml:"faultcode"`
	Text string `xml:"faultstring"`
	// ResponseCode is Exchange's own word, such as ErrorServerBusy; empty where there is none.
	ResponseCode string `xml:"detail>ResponseCode,omitempty"`
}

// Error returns the code and the text.
func (f *Fault) Error() string {
	if f.ResponseCode != "" {
		return f.ResponseCode + ": " + f.Text
	}
	return f.Code + ": " + f.Text
}

type envelope[Content any] struct {
	XMLName xml.Name `xml:"http://schemas.xmlsoap.org/soap/envelope/ Envelope"`
	Header  *header  `xml:"Header"`
	Body    *body[Content]
}

type body[Content any] struct {
	XMLName xml.Name `xml:"http://schemas.xmlsoap.org/soap/envelope/ Body"`
	Fault   *Fault   `xml:"Fault"`
	Content *Content
}

type header struct {
	Version serverVersion
	Zone    *zoneContext
}

type serverVersion struct {
	XMLName xml.Name `xml:"http://schemas.microsoft.com/exchange/services/2006/types RequestServerVersion"`
	Version string   `xml:"Version,attr"`
}

// zoneContext says which zone a time without one is of. GetUserAvailability says the same again in its own way.
type zoneContext struct {
	XMLName    xml.Name `xml:"http://schemas.microsoft.com/exchange/services/2006/types TimeZoneContext"`
	Definition struct {
		ID string `xml:"Id,attr"`
	} `xml:"TimeZoneDefinition"`
}

// encode writes content in an envelope.
func encode[Content any](h *header, content *Content) ([]byte, error) {
	out := bytes.NewBufferString(xml.Header)
	if err := xml.NewEncoder(out).Encode(envelope[Content]{Header: h, Body: &body[Content]{Content: content}}); err != nil {
		return nil, fmt.Errorf("encode a SOAP message: %w", err)
	}
	return out.Bytes(), nil
}

// decode reads an envelope and returns its content, or the *Fault in it as the error.
func decode[Content any](r io.Reader) (*Content, error) {
	var e envelope[Content]
	limits := boundedxml.Limits{Elements: maxElements, Depth: maxDepth, Attributes: maxAttributes}
	if err := boundedxml.NewDecoder(xml.NewDecoder(r), limits).Decode(&e); err != nil {
		return nil, fmt.Errorf("decode a SOAP message: %w", err)
	}
	switch {
	case e.Body == nil:
		return nil, errors.New("decode a SOAP message: there is no body")
	case e.Body.Fault != nil:
		return nil, e.Body.Fault
	case e.Body.Content == nil:
		return nil, errors.New("decode a SOAP message: the body holds something else than what was expected")
	}
	return e.Body.Content, nil
}
