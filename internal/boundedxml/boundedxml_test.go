package boundedxml

import (
	"encoding/xml"
	"errors"
	"io"
	"strings"
	"testing"
)

func TestLimits(t *testing.T) {
	limits := Limits{Elements: 4, Depth: 3, Attributes: 2}
	for text, want := range map[string]string{
		`<a><b x="1" y="2"><c/></b><d/></a>`: "",
		`<a/><a/><a/><a/><a/>`:               "more than 4 elements",
		`<a><a><a><a/></a></a></a>`:          "3 inside each other",
		`<a x="1" y="2" z="3"/>`:             "2 attributes",
		`<!DOCTYPE a [<!ENTITY x "y">]><a/>`: "document type",
	} {
		d := NewDecoder(xml.NewDecoder(strings.NewReader(text)), limits)
		var err error
		for err == nil {
			_, err = d.Token()
		}
		if want == "" != errors.Is(err, io.EOF) || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", text, err)
		}
	}
}
