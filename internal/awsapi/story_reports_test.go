package awsapi_test

import (
	"encoding/json"
	"fmt"
	"strings"

	"github.com/pennypost/pennypost/internal/awsapi/contract"
	"github.com/pennypost/pennypost/internal/directory"
	"github.com/pennypost/pennypost/internal/principal"
	"github.com/pennypost/pennypost/internal/transport/intake"
)

// dmarcReport and tlsReport are reports on DOMAIN with all that they can have.
const (
	dmarcReport = `<feedback><report_metadata><org_name>Far</org_name><email>dmarc@far.example</email><report_id>ID</report_id>
<date_range><begin>1763769600</begin><end>1763855999</end></date_range><error>something is missing</error></report_metadata>
<policy_published><domain>DOMAIN</domain><p>reject</p><sp>quarantine</sp><np>none</np><adkim>r</adkim><aspf>s</aspf><pct>100</pct><fo>1</fo><testing>n</testing></policy_published>
<record><row><source_ip>192.0.2.1</source_ip><count>7</count><policy_evaluated><disposition>quarantine</disposition><dkim>fail</dkim><spf>fail</spf>
<reason><type>local_policy</type><comment>we know better</comment></reason></policy_evaluated></row>
<identifiers><header_from>DOMAIN</header_from><envelope_from>other.example</envelope_from><envelope_to>far.example</envelope_to></identifiers>
<auth_results><dkim><domain>other.example</domain><selector>a</selector><result>fail</result><human_result>body hash</human_result></dkim>
<spf><domain>other.example</domain><scope>mfrom</scope><result>softfail</result><human_result>~all</human_result></spf></auth_results></record>
<record><row><source_ip>192.0.2.2</source_ip><count>2</count><policy_evaluated><disposition>none</disposition><dkim>pass</dkim><spf>fail</spf></policy_evaluated></row></record>
RECORDS</feedback>`
	tlsReport = `{"organization-name":"Far","date-range":{"start-datetime":"2025-11-23T00:00:00Z","end-datetime":"2025-11-23T23:59:59Z"},"contact-info":"tls@far.example",
"report-id":"ID","policies":[{"policy":{"policy-type":"sts","policy-domain":"DOMAIN","policy-string":["version: STSv1"],"mx-host":["mx.DOMAIN"]},
"summary":{"total-successful-session-count":5,"total-failure-session-count":3},"failure-details":[{"result-type":"certificate-expired","sending-mta-ip":"192.0.2.9",
"receiving-mx-hostname":"mx.DOMAIN","receiving-mx-helo":"mx","receiving-ip":"192.0.2.8","failed-session-count":3,"additional-information":"see there","failure-reason-code":"X"}]}]}`
)

// receiveReports takes in a report of each kind on an organisation's domain, and returns the number of the one on DMARC, which has more
// records than the two.
func (w *world) receiveReports(org, domain string, more int) string {
	w.t.Helper()
	fill := strings.NewReplacer("DOMAIN", domain, "ID", "id-"+org, "RECORDS", strings.Repeat(`<record><row><source_ip>192.0.2.3</source_ip><count>1</count></row></record>`, more)).Replace
	to := []intake.Address{{Organization: directory.OrgID(org), Key: w.keyOf(org), Domain: domain}}
	for _, m := range []string{"Content-Type: text/xml\r\n\r\n" + fill(dmarcReport), "Content-Type: application/tlsrpt+json\r\n\r\n" + fill(tlsReport)} {
		keep, err := w.reports.Receive(w.ctx, []byte(m), "far.example", to)
		if err != nil {
			w.t.Fatal(err)
		}
		if err := w.db.Write(w.ctx, keep); err != nil {
			w.t.Fatal(err)
		}
	}
	list, _, err := w.reports.List(w.ctx, principal.TheSystem("test"), directory.OrgID(org), intake.Filter{Kind: intake.DMARC}, directory.Page{})
	if err != nil || len(list) != 1 {
		w.t.Fatalf("%d reports were kept: %v", len(list), err)
	}
	return fmt.Sprint(list[0].ID)
}

// mailReports lists and reads the reports of others.
func (s *story) mailReports() {
	w := s.world
	id := w.receiveReports(s.org, "acme.awsapps.com", 20_000)
	in := func(more ...any) map[string]any {
		m := map[string]any{"OrganizationId": s.org}
		for i := 0; i < len(more); i += 2 {
			m[more[i].(string)] = more[i+1]
		}
		return m
	}
	var list struct {
		Reports   []map[string]any
		NextToken string
	}
	w.own(&contract.ListMailReports.Op, in("MaxResults", 1), &list, "")
	if len(list.Reports) != 1 || list.Reports[0]["Kind"] != "TLS" || list.NextToken == "" {
		w.t.Fatalf("listed are %+v", list)
	}
	tls := list.Reports[0]["ReportId"]
	list.Reports = nil
	w.own(&contract.ListMailReports.Op, in("MaxResults", 1, "NextToken", list.NextToken), &list, "")
	if one := list.Reports[0]; one["ReportId"] != id || one["TotalCount"] != 20_007.0 || one["FailedCount"] != 20_005.0 || one["BeginDate"] != 1763769600.0 ||
		one["AuthenticatedDomain"] != "far.example" || one["Reporter"] != "Far" {
		w.t.Errorf("the second is %v", one)
	}
	for filters, n := range map[string]int{
		`{"DomainName":"ACME.awsapps.com"}`: 2, `{"DomainName":"far.example"}`: 0, `{"Kind":"TLS"}`: 1, `{"BeginsFrom":1763769601}`: 1, `{"BeginsBefore":1763769601}`: 1,
		`{"BeginsFrom":1763769600,"BeginsBefore":1763769600}`: 0, `{}`: 2,
	} {
		list.Reports = nil
		w.own(&contract.ListMailReports.Op, in("Filters", json.RawMessage(filters)), &list, "")
		if len(list.Reports) != n {
			w.t.Errorf("with the filters %s are listed %v, want %d", filters, list.Reports, n)
		}
	}
	w.own(&contract.ListMailReports.Op, in("NextToken", "x"), nil, contract.InvalidParameterException)
	w.own(&contract.ListMailReports.Op, in("Filters", map[string]any{"Kind": "dmarc"}), nil, contract.InvalidParameterException)

	var r struct {
		Report                    map[string]any
		DmarcPolicy               map[string]any
		DmarcRecords, TlsSessions []map[string]any
		OmittedRecords            int
		NextToken                 string
	}
	w.own(&contract.GetMailReport.Op, in("ReportId", id, "MaxResults", 1), &r, "")
	if r.Report["ReportId"] != id || r.DmarcPolicy["SubdomainPolicy"] != "quarantine" || len(r.DmarcRecords) != 1 || r.DmarcRecords[0]["SourceIp"] != "192.0.2.1" ||
		r.TlsSessions != nil || r.OmittedRecords != 2 || r.NextToken == "" {
		w.t.Errorf("the report is %+v", r)
	}
	r.DmarcRecords = nil
	w.own(&contract.GetMailReport.Op, in("ReportId", id, "MaxResults", 1, "NextToken", r.NextToken), &r, "")
	if len(r.DmarcRecords) != 1 || r.DmarcRecords[0]["SourceIp"] != "192.0.2.2" {
		w.t.Errorf("the second page is %+v", r)
	}
	r.DmarcRecords = nil
	w.own(&contract.GetMailReport.Op, in("ReportId", tls), &r, "")
	if len(r.TlsSessions) != 2 || r.TlsSessions[0]["Count"] != 5.0 || r.TlsSessions[0]["ResultType"] != nil || r.TlsSessions[1]["ResultType"] != "certificate-expired" || r.DmarcRecords != nil {
		w.t.Errorf("the report on TLS is %+v", r)
	}
	for _, none := range []string{"7777", "9999999999999999999"} {
		w.own(&contract.GetMailReport.Op, in("ReportId", none), nil, contract.ResourceNotFoundException)
	}
	w.own(&contract.GetMailReport.Op, in("ReportId", "0"), nil, contract.InvalidParameterException)
	w.own(&contract.GetMailReport.Op, map[string]any{"OrganizationId": nowhere, "ReportId": id}, nil, contract.OrganizationNotFoundException)
}
