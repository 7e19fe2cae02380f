"""Access control rules: what they say is what Python's own smtplib and imaplib meet."""

import imaplib
import smtplib
import time
from contextlib import suppress

from support import PASSWORD, Case, address_of, client, tls, unique
from test_mail import mailbox


def submission(user):
    s = smtplib.SMTP_SSL(*address_of("submissions"), context=tls(), timeout=30)
    s.login(user, PASSWORD)
    return s


class AccessTest(Case):
    def setUp(self):
        self.user_id, self.at = self.enabled_user()
        for rule in self.call("list_access_control_rules")["Rules"]:
            self.call("delete_access_control_rule", Name=rule["Name"])
        self.put("default", "ALLOW")

    def put(self, name, effect, **conditions):
        self.call("put_access_control_rule", Name=name, Effect=effect, Description="A rule", **conditions)

    def effect(self, action, address="127.0.0.1"):
        out = self.call("get_access_control_effect", Action=action, IpAddress=address, UserId=self.user_id)
        return out["Effect"], out["MatchedRules"]

    def refused_by(self, protocol):
        """A refused sign-in says no more of a rule than of a wrong password."""
        if protocol == "IMAP":
            with self.assertRaisesRegex(imaplib.IMAP4.error, "AUTHENTICATIONFAILED") as rule:
                mailbox(self.at)
            with self.assertRaises(imaplib.IMAP4.error) as wrong:
                mailbox(self.at, "wrong Pa$$w0rd")
        else:
            with self.assertRaises(smtplib.SMTPAuthenticationError) as rule:
                submission(self.at)
            with smtplib.SMTP_SSL(*address_of("submissions"), context=tls(), timeout=30) as s:
                with self.assertRaises(smtplib.SMTPAuthenticationError) as wrong:
                    s.login(self.at, "wrong Pa$$w0rd")
        self.assertEqual(str(rule.exception), str(wrong.exception))

    def ends_within_a_second(self, what, cause):
        """Runs cause and waits for the server to end the session that what reads from."""
        cause()
        began = time.monotonic()
        with suppress(OSError, imaplib.IMAP4.abort, smtplib.SMTPServerDisconnected):
            while what():
                pass
        self.assertLess(time.monotonic() - began, 20)  # a second is promised; the machine may be busy

    def test_put_access_control_rule(self):
        m, s = mailbox(self.at), submission(self.at)
        m.select()
        self.ends_within_a_second(m.readline, lambda: self.put("no-imap", "DENY", Actions=["IMAP"], UserIds=[self.user_id]))
        self.refused_by("IMAP")
        self.assertEqual(s.noop()[0], 250)
        submission(self.at).quit()
        self.ends_within_a_second(lambda: s.sock.recv(1024), lambda: self.put("home", "DENY", IpRanges=["127.0.0.0/8"]))
        self.refused_by("SMTP")
        self.put("home", "DENY", IpRanges=["192.0.2.0/24"])
        submission(self.at).quit()
        self.refused_by("IMAP")
        self.put("no-imap", "DENY", Actions=["IMAP"], NotUserIds=[self.user_id])
        mailbox(self.at).logout()

    def test_delete_access_control_rule(self):
        m = mailbox(self.at)
        self.ends_within_a_second(m.readline, lambda: self.call("delete_access_control_rule", Name="default"))
        self.call("delete_access_control_rule", Name="default")
        for protocol in "IMAP", "SMTP":
            self.refused_by(protocol)
        self.put("office", "ALLOW", NotIpRanges=["192.0.2.0/24"], NotActions=["SMTP"])
        mailbox(self.at).logout()
        self.refused_by("SMTP")

    def test_get_access_control_effect(self):
        self.put("no-smtp", "DENY", Actions=["SMTP"], IpRanges=["127.0.0.1/32"])
        self.assertEqual(self.effect("SMTP"), ("DENY", ["no-smtp"]))
        self.refused_by("SMTP")
        self.assertEqual(self.effect("IMAP"), ("ALLOW", ["default"]))
        mailbox(self.at).logout()
        self.assertEqual(self.effect("SMTP", "192.0.2.1"), ("ALLOW", ["default"]))

    def test_ten_rules(self):
        for _ in range(9):
            self.put(unique("rule-"), "ALLOW", Actions=["EWS"])
        with self.refused("LimitExceededException"):
            self.put("eleventh", "ALLOW")
        self.put("default", "DENY")
        self.refused_by("IMAP")

    def test_a_new_organization_lets_everybody_in(self):
        org = self.new_organization(unique("open-"))
        rule, = client().list_access_control_rules(OrganizationId=org)["Rules"]
        self.assertEqual((rule["Name"], rule["Effect"], rule["Description"]), ("default", "ALLOW", "Default WorkMail Rule"))
        self.assertEqual((rule["DateCreated"].timestamp(), rule["DateModified"].timestamp()), (0, 0))
        self.assertEqual(set(rule), {"Name", "Effect", "Description", "DateCreated", "DateModified"})
