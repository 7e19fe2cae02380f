"""Mail flow rules and SMTP gateways, by boto3 with the model that docs/models publishes, and what they do to mail."""

import smtplib

from support import PASSWORD, Case, client, unique, wait_for
from test_mail import deliver, mailbox, message, subjects, submit

NOWHERE = "m-00000000000000000000000000000000"


class MailFlowTest(Case):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.pennypost = client("pennypost")
        self = cls()
        cls.ann, cls.ann_at = self.enabled_user()
        cls.bob, cls.bob_at = self.enabled_user()

    def own(self, operation, **kwargs):
        out = getattr(self.pennypost, operation)(OrganizationId=self.org, **kwargs)
        out.pop("ResponseMetadata")
        return out

    def rule(self, direction, name, action, senders, recipients=("*",), **kwargs):
        given = {"Name": name, "Action": action, "SenderPatterns": list(senders), "RecipientPatterns": list(recipients), **kwargs}
        self.assertEqual(self.own(f"create_{direction}_mail_flow_rule", **given), {})
        self.addCleanup(self.own, f"delete_{direction}_mail_flow_rule", Name=name)

    def test_every_operation(self):
        self.assertEqual(self.own("create_smtp_gateway", Name="relay", Host="relay.example", Port=465, Username="u", Password="p"), {})
        self.addCleanup(self.own, "delete_smtp_gateway", Name="relay")
        gateway = self.own("describe_smtp_gateway", Name="RELAY")
        self.assertEqual((gateway["Host"], gateway["Port"], gateway["Username"], "Password" in gateway), ("relay.example", 465, "u", False))
        self.assertEqual(self.own("update_smtp_gateway", Name="relay", Host="192.0.2.1", Port=25), {})
        self.assertEqual([g["Host"] for g in self.own("list_smtp_gateways")["SmtpGateways"]], ["192.0.2.1"])
        self.rule("outbound", "out", "ROUTE_TO_SMTP_GATEWAY", ["*.example"], SmtpGatewayName="relay")
        self.rule("inbound", "in", "DROP", ["*.example"])
        for direction in ("inbound", "outbound"):
            name = {"inbound": "in", "outbound": "out"}[direction]
            told = self.own(f"describe_{direction}_mail_flow_rule", Name=name)
            self.assertEqual((told["SenderPatterns"], told["RecipientPatterns"]), (["*.example"], ["*"]))
            pages = self.pennypost.get_paginator(f"list_{direction}_mail_flow_rules").paginate(OrganizationId=self.org, PaginationConfig={"PageSize": 1})
            self.assertEqual([r["Name"] for page in pages for r in page["Rules"]], [name])
            acts = self.own(f"test_{direction}_mail_flow_rules", Sender="a@b.example", Recipient="c@d.example")
            self.assertEqual((acts["RuleName"], acts["Action"]), (name, told["Action"]))
            self.assertEqual(self.own(f"update_{direction}_mail_flow_rule", Name=name, Action="BOUNCE", SenderPatterns=["x.example"], RecipientPatterns=["*"]), {})
            self.assertEqual(self.own(f"test_{direction}_mail_flow_rules", Sender="a@b.example", Recipient="c@d.example"), {"Action": "DEFAULT"})
            with self.assertRaises(self.pennypost.exceptions.NameAvailabilityException):
                self.rule(direction, name.upper(), "DROP", ["*"])
            with self.assertRaises(self.pennypost.exceptions.ResourceNotFoundException):
                self.own(f"describe_{direction}_mail_flow_rule", Name="none")
        with self.assertRaises(self.pennypost.exceptions.OrganizationNotFoundException):
            self.pennypost.list_smtp_gateways(OrganizationId=NOWHERE)

    def test_inbound(self):
        """Who writes from where is dropped, refused, or in Junk E-mail, from the next message on."""
        domain = unique("far") + ".example"
        subject = unique("subject")

        def send(local):
            return deliver(f"{local}@{domain}", [self.ann_at], message(f"{local}@{domain}", self.ann_at, f"{subject} {local}"))

        self.rule("inbound", "junk", "MOVE_TO_JUNK", [f"*.{domain}"])
        self.rule("inbound", "drop", "DROP", [f"drop@{domain}"])
        self.rule("inbound", "bounce", "BOUNCE", [f"bounce@{domain}"])
        self.rule("inbound", "fine", "DEFAULT", [f"fine@{domain}"])
        for local in ("drop", "junk", "fine"):
            self.assertEqual(send(local), {})
        with self.assertRaises(smtplib.SMTPDataError) as refused:
            send("bounce")
        self.assertEqual((refused.exception.smtp_code, refused.exception.smtp_error), (550, b"5.7.1 the message was blocked by the administrator"))
        with mailbox(self.ann_at) as m:
            self.assertEqual([s for s in subjects(m) if subject in s], [f"{subject} fine"])
            self.assertEqual([s for s in subjects(m, '"Junk E-mail"') if subject in s], [f"{subject} junk"])

    def test_outbound(self):
        """The sender hears of what bounces, and nobody of what is dropped."""
        subject = unique("subject")
        self.rule("outbound", "bounce", "BOUNCE", [self.bob_at], [self.ann_at])
        self.rule("outbound", "drop", "DROP", [self.bob_at], [self.bob_at])
        self.assertEqual(submit(self.bob_at, PASSWORD, message(self.bob_at, self.ann_at, subject), [self.ann_at, self.bob_at]), {})

        def notices():
            with mailbox(self.bob_at) as m:
                return [s for s in subjects(m) if subject in s]

        self.assertEqual(wait_for(notices), [f"Not delivered: {subject}"])
        with mailbox(self.ann_at) as m:
            self.assertEqual([s for s in subjects(m) if subject in s], [])
