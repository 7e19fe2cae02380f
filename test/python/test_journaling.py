"""Journaling: reports of all mail, taken apart by Python's email package as an archive does."""

import email
import email.policy
import smtplib

from support import PASSWORD, Case, client, unique, wait_for
from test_mail import deliver, mailbox, message, submit


class JournalingTest(Case):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.pennypost = client("pennypost")
        self = cls()
        for name in ("ann", "bob", "cyd", "dan", "archive", "failures"):
            setattr(cls, f"{name}_id", self.enabled_user(name)[0])
        cls.team = self.call("create_group", Name="team")["GroupId"]
        self.call("register_to_work_mail", EntityId=cls.team, Email=cls.at("team"))
        for member in (cls.bob_id, cls.cyd_id):
            self.call("associate_member_to_group", GroupId=cls.team, MemberId=member)

    @classmethod
    def at(cls, name):
        return f"{name}@{cls.domain}"

    def set(self, **kwargs):
        out = self.pennypost.set_journaling_rules(OrganizationId=self.org, **kwargs)
        self.assertEqual(out["ResponseMetadata"]["HTTPStatusCode"], 200)

    def get(self):
        out = self.pennypost.get_journaling_rules(OrganizationId=self.org)
        out.pop("ResponseMetadata")
        out.pop("DateModified", None)
        return out

    def messages(self, name):
        with mailbox(self.at(name)) as m:
            _, count = m.select("INBOX", readonly=True)
            if count == [b"0"]:
                return []
            _, data = m.fetch("1:*", "(BODY.PEEK[])")
            return [email.message_from_bytes(part[1], policy=email.policy.SMTP) for part in data if isinstance(part, tuple)]

    def report(self, subject):
        """The one report on a message: its lines, and the message in it."""
        found = wait_for(lambda: [m for m in self.messages("archive") if m["Subject"] == subject])
        self.assertEqual(len(found), 1)
        m = found[0]
        self.assertEqual((m["From"], m["X-MS-Journal-Report"], m.defects), (f"amazonjournaling@{self.domain}", "", []))
        self.assertEqual((m["Return-Path"], m.get_content_type(), m["Auto-Submitted"]), (f"<{self.at('failures')}>", "multipart/mixed", "auto-generated"))
        envelope, original = m.iter_parts()
        self.assertEqual((envelope.get_content_type(), original.get_content_type()), ("text/plain", "message/rfc822"))
        return envelope.get_content().splitlines(), original.get_content()

    def test_journaling(self):
        self.assertEqual(self.get(), {"Enabled": False})
        for bad in ({"JournalingAddress": "x@far.example"}, {"JournalingAddress": "x", "ReportAddress": self.at("failures")},
                    {"JournalingAddress": "x@far.example", "ReportAddress": "X@far.example"}):
            with self.assertRaises(self.pennypost.exceptions.InvalidParameterException):
                self.set(Enabled=True, **bad)
        rules = {"Enabled": True, "JournalingAddress": self.at("archive"), "ReportAddress": self.at("failures")}
        self.set(**rules)
        self.assertEqual(self.get(), rules)

        inside = unique("inside Köln ")
        m = message(self.at("ann"), self.at("bob"), inside, Cc=self.at("team"), Bcc=self.at("dan"))
        self.assertEqual(submit(self.at("ann"), PASSWORD, m, [self.at(n) for n in ("bob", "team", "dan")]), {})
        lines, original = self.report(inside)
        got = wait_for(lambda: [m for m in self.messages("dan") if m["Subject"] == inside])[0]
        self.assertEqual(lines, [
            f"Sender: {self.at('ann')}", f"Subject: {inside}", f"Message-Id: {got['Message-ID']}", f"To: {self.at('bob')}",
            f"Cc: {self.at('bob')}, Expanded: {self.at('team')}", f"Cc: {self.at('cyd')}, Expanded: {self.at('team')}", f"Bcc: {self.at('dan')}",
        ])
        self.assertEqual((original["Subject"], original.get_content(), original["Bcc"]), (inside, "Hello.\r\n", None))

        inbound = unique("inbound ")
        self.assertEqual(deliver("x@far.example", [self.at("bob"), self.at("dan")], message("x@far.example", self.at("bob"), inbound)), {})
        lines, original = self.report(inbound)
        self.assertEqual(lines[0], "Sender: x@far.example")
        self.assertEqual(lines[3:], [f"Recipient: {self.at('bob')}", f"Recipient: {self.at('dan')}"])
        self.assertEqual(original["From"], "x@far.example")

        # The sender's address is nobody's.
        with self.assertRaises(smtplib.SMTPRecipientsRefused) as refused:
            deliver("x@far.example", [self.at("amazonjournaling")], message("x@far.example", "x", "x"))
        self.assertEqual(list(refused.exception.recipients.values())[0][0], 550)
        with self.refused("InvalidParameterException"):
            self.call("create_alias", EntityId=self.dan_id, Alias=self.at("amazonjournaling"))

        # What the archive can't take comes back.
        self.set(Enabled=True, JournalingAddress=self.at("nobody"), ReportAddress=self.at("failures"))
        lost = unique("lost ")
        self.assertEqual(submit(self.at("ann"), PASSWORD, message(self.at("ann"), self.at("bob"), lost), [self.at("bob")]), {})
        notice = wait_for(lambda: self.messages("failures"))[0]
        self.assertEqual((notice["Subject"], notice["Return-Path"], notice.get_content_type()), (f"Not delivered: {lost}", "<>", "multipart/report"))
        returned = list(notice.iter_parts())[2].get_content()
        self.assertEqual((returned["X-MS-Journal-Report"], list(returned.iter_parts())[1].get_content()["Subject"]), ("", lost))

        self.set(Enabled=False)
        self.assertEqual(self.get(), {"Enabled": False})
        self.assertEqual(len(self.messages("archive")), 2)
        self.assertEqual(len(self.messages("failures")), 1)
