package awsapi_test

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/workmail"
	"github.com/aws/aws-sdk-go-v2/service/workmail/types"

	"github.com/pennypost/pennypost/internal/dial"
	"github.com/pennypost/pennypost/internal/ews/soap"
)

// noFunction is a function that no endpoint stands for.
const noFunction = "arn:aws:lambda:eu-west-1:111122223333:function:nowhere"

// trustInTestServers trusts the certificate of every TLS server of package httptest.
func trustInTestServers() *tls.Config {
	server := httptest.NewTLSServer(nil)
	defer server.Close()
	roots := x509.NewCertPool()
	roots.AddCert(server.Certificate())
	return &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}
}

// noNames connects to addresses only: the resolver of Go can't be used inside a bubble.
type noNames struct{ *dial.Dialer }

func (d noNames) Client(o dial.HTTPOptions) *http.Client {
	c := d.Dialer.Client(o)
	c.Transport = addressesOnly{c.Transport}
	return c
}

type addressesOnly struct{ http.RoundTripper }

func (a addressesOnly) RoundTrip(r *http.Request) (*http.Response, error) {
	if _, err := netip.ParseAddr(r.URL.Hostname()); err != nil {
		return nil, &net.DNSError{Err: "no such host", Name: r.URL.Hostname(), IsNotFound: true}
	}
	return a.RoundTripper.RoundTrip(r)
}

// ewsServer answers each GetUserAvailability of ann with nothing but success.
func (w *world) ewsServer() *httptest.Server {
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(out http.ResponseWriter, r *http.Request) {
		if name, password, _ := r.BasicAuth(); name != "CORP\\ann" || password != "right" {
			out.WriteHeader(http.StatusUnauthorized)
			return
		}
		asked, err := soap.DecodeAvailabilityRequest(r.Body)
		if err != nil {
			w.t.Error(err)
			return
		}
		var answer soap.AvailabilityResponse
		for range asked.Mailboxes.Mailboxes {
			answer.Responses.Responses = append(answer.Responses.Responses, soap.FreeBusyResponse{
				Message: soap.ResponseMessage{Class: "Success", Code: soap.NoError}, View: &soap.FreeBusyView{Type: "Detailed"},
			})
		}
		text, err := answer.Encode()
		if err != nil {
			w.t.Error(err)
		}
		out.Header().Set("Content-Type", soap.ContentType)
		_, _ = out.Write(text)
	}))
	server.Config.SetKeepAlivesEnabled(false) // a connection that waits would keep the test's bubble from settling
	server.StartTLS()
	return server
}

func (s *story) availability() {
	w := s.world
	server := w.ewsServer()
	ews := func(password string) *types.EwsAvailabilityProvider {
		return &types.EwsAvailabilityProvider{EwsEndpoint: str(server.URL + "/EWS/Exchange.asmx"), EwsUsername: str("CORP\\ann"), EwsPassword: &password}
	}
	lambda := &types.LambdaAvailabilityProvider{LambdaArn: str(noFunction)}
	create := func(domain string) *workmail.CreateAvailabilityConfigurationInput {
		return &workmail.CreateAvailabilityConfigurationInput{OrganizationId: &s.org, DomainName: &domain, LambdaProvider: lambda}
	}
	first := create("Far.example")
	first.EwsProvider, first.LambdaProvider, first.ClientToken = ews("right"), nil, str("availability")
	must(w, w.CreateAvailabilityConfiguration, first)
	must(w, w.CreateAvailabilityConfiguration, first)
	first.EwsProvider = ews("other")
	refused[*types.InvalidParameterException](w, w.CreateAvailabilityConfiguration, first)
	refused[*types.NameAvailabilityException](w, w.CreateAvailabilityConfiguration, create("far.EXAMPLE"))
	both := create("both.example")
	both.EwsProvider = ews("right")
	refused[*types.InvalidParameterException](w, w.CreateAvailabilityConfiguration, both)
	both.EwsProvider, both.LambdaProvider = nil, nil
	refused[*types.InvalidParameterException](w, w.CreateAvailabilityConfiguration, both)
	plain := create("plain.example")
	plain.EwsProvider, plain.LambdaProvider = ews("right"), nil
	plain.EwsProvider.EwsEndpoint = str("http://far.example/EWS/Exchange.asmx")
	refused[*types.InvalidParameterException](w, w.CreateAvailabilityConfiguration, plain)
	want := []string{"far.example EWS"}
	for i := range 7 {
		domain := fmt.Sprintf("lambda-%d.example", i)
		must(w, w.CreateAvailabilityConfiguration, create(domain))
		want = append(want, domain+" LAMBDA")
	}
	refused[*types.LimitExceededException](w, w.CreateAvailabilityConfiguration, create("more.example"))

	list := func() (listed []string, all []types.AvailabilityConfiguration) {
		w.t.Helper()
		pages := workmail.NewListAvailabilityConfigurationsPaginator(w, &workmail.ListAvailabilityConfigurationsInput{OrganizationId: &s.org, MaxResults: aws.Int32(3)})
		for pages.HasMorePages() {
			page, err := pages.NextPage(w.ctx)
			if err != nil {
				w.t.Fatal(err)
			}
			for _, c := range page.AvailabilityConfigurations {
				listed, all = append(listed, *c.DomainName+" "+string(c.ProviderType)), append(all, c)
			}
		}
		return listed, all
	}
	listed, all := list()
	if !slices.Equal(listed, want) {
		w.t.Errorf("listed %q, want %q", listed, want)
	}
	if e := all[0].EwsProvider; *e.EwsEndpoint != server.URL+"/EWS/Exchange.asmx" || *e.EwsUsername != "CORP\\ann" || *all[1].LambdaProvider.LambdaArn != noFunction {
		w.t.Errorf("listed %+v and %+v", e, all[1])
	}
	if raw := w.call("ADMIN", "ListAvailabilityConfigurations", map[string]any{"OrganizationId": s.org}); strings.Contains(string(raw.body), "right") {
		w.t.Errorf("a password is listed: %s", raw.body)
	}
	refused[*types.InvalidParameterException](w, w.ListAvailabilityConfigurations, &workmail.ListAvailabilityConfigurationsInput{OrganizationId: &s.org, NextToken: str("x")})

	test := func(in *workmail.TestAvailabilityConfigurationInput, reason string) {
		w.t.Helper()
		in.OrganizationId = &s.org
		out := must(w, w.TestAvailabilityConfiguration, in)
		if out.TestPassed != (reason == "") || !strings.Contains(aws.ToString(out.FailureReason), reason) || reason == "" && out.FailureReason != nil {
			w.t.Errorf("passed %t, %q; want a reason with %q", out.TestPassed, aws.ToString(out.FailureReason), reason)
		}
	}
	test(&workmail.TestAvailabilityConfigurationInput{DomainName: str("FAR.example")}, "")
	test(&workmail.TestAvailabilityConfigurationInput{EwsProvider: ews("right")}, "")
	test(&workmail.TestAvailabilityConfigurationInput{EwsProvider: ews("wrong")}, "HTTP 401")
	test(&workmail.TestAvailabilityConfigurationInput{DomainName: str("lambda-0.example")}, noFunction)
	test(&workmail.TestAvailabilityConfigurationInput{LambdaProvider: lambda}, "is not mapped to an endpoint")
	for _, in := range []*workmail.TestAvailabilityConfigurationInput{
		{}, {DomainName: str("far.example"), LambdaProvider: lambda}, {EwsProvider: ews("right"), LambdaProvider: lambda},
	} {
		in.OrganizationId = &s.org
		refused[*types.InvalidParameterException](w, w.TestAvailabilityConfiguration, in)
	}
	refused[*types.ResourceNotFoundException](w, w.TestAvailabilityConfiguration, &workmail.TestAvailabilityConfigurationInput{OrganizationId: &s.org, DomainName: str("none.example")})

	update := &workmail.UpdateAvailabilityConfigurationInput{OrganizationId: &s.org, DomainName: str("far.example"), EwsProvider: ews("wrong")}
	must(w, w.UpdateAvailabilityConfiguration, update)
	test(&workmail.TestAvailabilityConfigurationInput{DomainName: str("far.example")}, "HTTP 401")
	server.Close() // or time would not pass
	w.pass(time.Second)
	update.EwsProvider, update.LambdaProvider = nil, lambda
	must(w, w.UpdateAvailabilityConfiguration, update)
	if listed, all = list(); listed[0] != "far.example LAMBDA" || all[0].EwsProvider != nil || !all[0].DateModified.After(*all[0].DateCreated) {
		w.t.Errorf("after the update %q, %+v", listed[0], all[0])
	}
	update.LambdaProvider = nil
	refused[*types.InvalidParameterException](w, w.UpdateAvailabilityConfiguration, update)
	update.DomainName, update.LambdaProvider = str("none.example"), lambda
	refused[*types.ResourceNotFoundException](w, w.UpdateAvailabilityConfiguration, update)

	for range 2 {
		must(w, w.DeleteAvailabilityConfiguration, &workmail.DeleteAvailabilityConfigurationInput{OrganizationId: &s.org, DomainName: str("FAR.example")})
	}
	if listed, _ = list(); len(listed) != 7 {
		w.t.Errorf("after the deletion %q", listed)
	}
}
