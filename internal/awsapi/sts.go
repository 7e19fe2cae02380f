package awsapi

import (
	"encoding/xml"
	"net/http"
	"net/url"

	"github.com/pennypost/pennypost/internal/identity"
	"github.com/pennypost/pennypost/internal/lazyregexp"
)

const callerIdentity = "GetCallerIdentity"

// callerIdentityAnswer is the answer of STS GetCallerIdentity, version 2011-06-15.
type callerIdentityAnswer struct {
	XMLName   xml.Name `xml:"https://sts.amazonaws.com/doc/2011-06-15/ GetCallerIdentityResponse"`
	ARN       string   `xml:"GetCallerIdentityResult>Arn"`
	UserID    string   `xml:"GetCallerIdentityResult>UserId"`
	Account   string   `xml:"GetCallerIdentityResult>Account"`
	RequestID string   `xml:"ResponseMetadata>RequestId"`
}

// callSTS answers GetCallerIdentity, which needs no permission, at AWS as here. It is the only operation of STS.
func (c *call) callSTS() *answer {
	form, err := url.ParseQuery(string(c.body))
	if err != nil {
		return c.refuse(refusal{code: "MalformedQueryString", status: http.StatusBadRequest, text: "The body is not a form."})
	}
	if form.Get("Action") != callerIdentity || form.Get("Version") != "2011-06-15" {
		return c.refuse(refusal{
			code: "InvalidAction", status: http.StatusBadRequest,
			text: "Of STS this server answers the action GetCallerIdentity of version 2011-06-15 only.",
		})
	}
	body, err := xml.Marshal(callerIdentityAnswer{
		ARN: c.front.callerARN(c.key), UserID: c.key.ID, Account: c.front.options.Account, RequestID: c.id,
	})
	if err != nil {
		return c.fail(err)
	}
	return &answer{status: http.StatusOK, contentType: xmlType, body: body}
}

// notInUserName matches what the name of an IAM user can't have.
var notInUserName = lazyregexp.New(`[^\w+=,.@-]+`)

// callerARN names the holder of an access key as IAM names a user: by the key's label, or its id where it has none.
func (f *Front) callerARN(key identity.Credential) string {
	name := notInUserName.ReplaceAllString(key.Label, "-")
	if name == "" {
		name = key.ID
	}
	return "arn:aws:iam::" + f.options.Account + ":user/" + name
}
