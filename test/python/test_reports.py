"""Reports of DMARC and TLS that others send: they come by Python's own smtplib, and are seen by boto3 with our model and by the command line."""

import gzip
import io
import json
import os
import smtplib
import subprocess
import zipfile
from datetime import datetime, timezone
from email.message import EmailMessage

from support import Case, address_of, client, unique

NOWHERE = "m-00000000000000000000000000000000"

DMARC = """<?xml version="1.0"?>
<feedback xmlns="urn:ietf:params:xml:ns:dmarc-2.0"><version>1.0</version>
<report_metadata><org_name>Far</org_name><email>dmarc@far.example</email><report_id>%(id)s</report_id>
<date_range><begin>1795478400</begin><end>1795564799</end></date_range></report_metadata>
<policy_published><domain>%(domain)s</domain><p>reject</p></policy_published>
<record><row><source_ip>192.0.2.1</source_ip><count>7</count>
<policy_evaluated><disposition>reject</disposition><dkim>fail</dkim><spf>fail</spf></policy_evaluated></row>
<identifiers><header_from>%(domain)s</header_from></identifiers><auth_results/></record>
<record><row><source_ip>192.0.2.2</source_ip><count>2</count>
<policy_evaluated><disposition>none</disposition><dkim>pass</dkim><spf>fail</spf></policy_evaluated></row>
<identifiers><header_from>%(domain)s</header_from></identifiers><auth_results/></record></feedback>"""

TLS = {
    "organization-name": "Far", "date-range": {"start-datetime": "2026-11-24T00:00:00Z", "end-datetime": "2026-11-24T23:59:59Z"},
    "contact-info": "tls@far.example", "report-id": "t1"}


def verb(*args):
    return subprocess.run(
        [os.environ["PENNYPOST"], "domain", "reports", *args, "--data", os.environ["PENNYPOST_DIR"]], capture_output=True, text=True, timeout=60)


def zipped(name, text):
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as z:
        z.writestr(name, text)
    return out.getvalue()


class ReportsTest(Case):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.own = client("pennypost")

    def send(self, to, subtype, content):
        m = EmailMessage()
        m["From"], m["To"], m["Subject"] = "dmarc@far.example", to, "Report Domain: x Submitter: far.example Report-ID: <y>"
        m.set_content("See the attachment.")
        m.add_attachment(content, maintype="application", subtype=subtype)
        with smtplib.SMTP(*address_of("smtp"), timeout=30) as s:
            self.assertEqual(s.send_message(m), {})

    def listed(self, **filters):
        pages = self.own.get_paginator("list_mail_reports").paginate(OrganizationId=self.org, Filters=filters, PaginationConfig={"PageSize": 1})
        return [r for page in pages for r in page["Reports"]]

    def test_reports_come_and_are_seen(self):
        to = "dmarc-reports@" + self.domain
        text = DMARC % {"id": "d1", "domain": self.domain}
        self.send(to, "gzip", gzip.compress(text.encode()))
        self.send(to, "zip", zipped("far.example!x!1!2.xml", text))  # the same again
        self.send(to, "gzip", b"\x1f\x8b no report")
        policy = {"policy": {"policy-type": "no-policy-found", "policy-domain": self.domain}, "summary": {
            "total-successful-session-count": 5, "total-failure-session-count": 1}}
        self.send("tls-reports@" + self.domain, "tlsrpt+gzip", gzip.compress(json.dumps(TLS | {"policies": [policy]}).encode()))

        self.assertEqual([r["Kind"] for r in self.listed()], ["TLS", "DMARC"])
        self.assertEqual(self.listed(BeginsFrom=datetime(2026, 11, 25, tzinfo=timezone.utc)), [])
        report, = self.listed(Kind="DMARC", DomainName=self.domain.upper())
        self.assertEqual((report["Reporter"], report["ReporterReportId"], report["TotalCount"], report["FailedCount"]), ("Far", "d1", 9, 7))
        self.assertEqual(report["BeginDate"], datetime(2026, 11, 24, tzinfo=timezone.utc))
        self.assertNotIn("AuthenticatedDomain", report)
        pages = self.own.get_paginator("get_mail_report").paginate(
            OrganizationId=self.org, ReportId=report["ReportId"], PaginationConfig={"PageSize": 1})
        self.assertEqual([r["SourceIp"] for page in pages for r in page["DmarcRecords"]], ["192.0.2.1", "192.0.2.2"])

        self.assertIn(report["ReportId"], verb(self.domain).stdout)
        shown = verb(self.domain, "--report", report["ReportId"])
        self.assertIn("192.0.2.2", shown.stdout, shown)
        self.assertEqual(json.loads(verb(self.domain, "--kind", "tls", "--json").stdout)["total"], 6)
        self.assertEqual(verb(self.domain, "--report", "7").returncode, 1)
        self.assertEqual(verb(unique("no") + ".example").returncode, 2)

    def test_refusals(self):
        with self.assertRaises(self.own.exceptions.ResourceNotFoundException):
            self.own.get_mail_report(OrganizationId=self.org, ReportId="7")
        with self.assertRaises(self.own.exceptions.InvalidParameterException):
            self.own.get_mail_report(OrganizationId=self.org, ReportId="0")
        with self.assertRaises(self.own.exceptions.OrganizationNotFoundException):
            self.own.list_mail_reports(OrganizationId=NOWHERE)
