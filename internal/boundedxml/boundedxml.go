// Package boundedxml reads the XML of strangers. The number of bytes is bounded by who hands them in.
package boundedxml

import (
	"encoding/xml"
	"errors"
	"fmt"
)

// Limits are what a document may have.
type Limits struct {
	Elements   int
	Depth      int // elements inside each other
	Attributes int // of an element
}

// reader hands on the tokens of a document that stays within the limits. Document types are refused, so that there are no entities but
// XML's own five.
type reader struct {
	Limits
	from            *xml.Decoder
	depth, elements int
}

// NewDecoder returns what decodes the tokens that from reads, within the limits.
func NewDecoder(from *xml.Decoder, l Limits) *xml.Decoder {
	return xml.NewTokenDecoder(&reader{Limits: l, from: from})
}

// Token returns the next token.
func (r *reader) Token() (xml.Token, error) {
	token, err := r.from.RawToken()
	if err != nil {
		return nil, err
	}
	switch t := token.(type) {
	case xml.Directive:
		return nil, errors.New("a document type is not allowed")
	case xml.EndElement:
		r.depth--
	case xml.StartElement:
		r.depth++
		r.elements++
		if r.depth > r.Depth || r.elements > r.Elements || len(t.Attr) > r.Attributes {
			return nil, fmt.Errorf("more than %d elements, %d inside each other, or %d attributes of one", r.Elements, r.Depth, r.Attributes)
		}
	}
	return token, nil
}
