"""Mail in and out of a mailbox, by Python's own smtplib and imaplib."""

import email.policy
import imaplib
import re
import smtplib
import time
from email.message import EmailMessage

from support import PASSWORD, Case, address_of, tls, unique, wait_for


def message(sender, to, subject="A subject", body="Hello.\r\n", **headers):
    m = EmailMessage(policy=email.policy.SMTP)
    m["From"], m["To"], m["Subject"] = sender, to, subject
    for name, value in headers.items():
        m[name.replace("_", "-")] = value
    m.set_content(body)
    return m


def submit(user, password, m, to, sender=None):
    with smtplib.SMTP_SSL(*address_of("submissions"), context=tls(), timeout=30) as s:
        s.login(user, password)
        return s.sendmail(sender or user, to, m.as_bytes())


def deliver(sender, to, m):
    """Hands a message in as another server would."""
    with smtplib.SMTP(*address_of("smtp"), timeout=30) as s:
        s.starttls(context=tls())
        return s.sendmail(sender, to, m.as_bytes())


def mailbox(user, password=PASSWORD):
    m = imaplib.IMAP4_SSL(*address_of("imaps"), ssl_context=tls(), timeout=30)
    m.login(m._quote(user), password)  # imaplib leaves a name as it is, backslash included
    return m


def subjects(m, folder="INBOX"):
    status, count = m.select(folder)
    assert status == "OK", (status, count)
    if count == [b"0"]:
        return []
    status, lines = m.fetch("1:*", "(BODY.PEEK[HEADER.FIELDS (SUBJECT)])")
    assert status == "OK"
    return [part[1].decode().split(":", 1)[1].strip() for part in lines if isinstance(part, tuple)]


class SubmissionTest(Case):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        self = cls()
        cls.ann, cls.ann_at = self.enabled_user("ann")
        cls.bob, cls.bob_at = self.enabled_user("bob")

    def test_a_message_arrives(self):
        subject = unique("Grüße ")
        self.assertEqual(submit(self.ann_at, PASSWORD, message(self.ann_at, self.bob_at, subject, Bcc="hidden@example.com"), [self.bob_at]), {})
        with mailbox(self.bob_at) as m:
            m.select()
            _, found = m.uid("SEARCH", "CHARSET", "UTF-8", "SUBJECT", '"' + subject.split()[1] + '"')
            _, data = m.fetch("*", "(UID RFC822.SIZE INTERNALDATE ENVELOPE BODYSTRUCTURE BODY.PEEK[])")
            raw = data[0][1]
            got = email.message_from_bytes(raw, policy=email.policy.SMTP)
            self.assertEqual(got["Subject"], subject)
            self.assertEqual(got.get_content(), "Hello.\r\n")
            self.assertIsNone(got["Bcc"])
            self.assertTrue(got["Date"] and got["Message-ID"] and got["Received"])
            self.assertIn(f"RFC822.SIZE {len(raw)}".encode(), data[0][0])

    def test_starttls_and_login(self):
        with smtplib.SMTP(*address_of("submission"), timeout=30) as s:
            s.ehlo()
            self.assertNotIn("auth", s.esmtp_features)
            code, _ = s.docmd("AUTH", "PLAIN AGEAYg==")
            self.assertIn(code, (530, 538, 502, 503, 504))
            s.starttls(context=tls())
            s.ehlo()
            self.assertEqual(set(s.esmtp_features["auth"].split()), {"PLAIN", "LOGIN"})
            for feature in ("pipelining", "8bitmime", "smtputf8", "size", "chunking", "enhancedstatuscodes", "dsn", "requiretls"):
                self.assertIn(feature, s.esmtp_features)
            s.user, s.password = self.ann_at, PASSWORD
            self.assertEqual(s.auth("LOGIN", s.auth_login)[0], 235)

    def test_delivery_status_parameters(self):
        m = message("sender@example.com", self.bob_at, unique("dsn ")).as_bytes()
        with smtplib.SMTP(*address_of("smtp"), timeout=30) as s:
            s.ehlo()
            self.assertNotIn("requiretls", s.esmtp_features)
            given = ["NOTIFY=SUCCESS,FAILURE,DELAY", "ORCPT=rfc822;b+2Bo@example.org"]
            self.assertEqual(s.sendmail("sender@example.com", self.bob_at, m, ["RET=HDRS", "ENVID=QQ314159"], given), {})
            for option, code in (("NOTIFY=NEVER,DELAY", 501), ("ORCPT=nothing", 501), ("RET=FULL", 555)):
                with self.subTest(option), self.assertRaises(smtplib.SMTPRecipientsRefused) as caught:
                    s.sendmail("sender@example.com", self.bob_at, m, [], [option])
                self.assertEqual(caught.exception.recipients[self.bob_at][0], code)
            for option, code in (("RET=ALL", 501), ("ENVID=a+", 501), ("REQUIRETLS", 555)):
                with self.subTest(option), self.assertRaises(smtplib.SMTPSenderRefused) as caught:
                    s.sendmail("sender@example.com", self.bob_at, m, [option])
                self.assertEqual(caught.exception.smtp_code, code)
            s.starttls(context=tls())
            s.ehlo()
            self.assertEqual(s.sendmail("sender@example.com", self.bob_at, m, ["REQUIRETLS"]), {})

    def test_sign_in_names(self):
        for name in (self.ann_at, self.ann_at.upper(), f"{self.alias}\\ann", f"{self.domain}\\Ann"):
            with self.subTest(name):
                mailbox(name).logout()
        refusals = set()
        for name, password in ((self.ann_at, "wrong"), ("nobody@" + self.domain, PASSWORD), (f"{self.alias}\\nobody", "x"), (self.ann, PASSWORD)):
            m = imaplib.IMAP4_SSL(*address_of("imaps"), ssl_context=tls(), timeout=30)
            with self.subTest(name), self.assertRaises(imaplib.IMAP4.error) as caught:
                m.login(m._quote(name), password)
            refusals.add(str(caught.exception))
            m.logout()
        self.assertEqual(len(refusals), 1, "the refusals differ")

    def test_only_own_addresses(self):
        with self.assertRaises(smtplib.SMTPException):
            submit(self.ann_at, PASSWORD, message(self.bob_at, self.bob_at), [self.bob_at], sender=self.bob_at)
        with self.assertRaises(smtplib.SMTPException):
            submit(self.ann_at, PASSWORD, message(self.bob_at, self.bob_at), [self.bob_at])
        with self.assertRaises(smtplib.SMTPException):
            submit(self.ann_at, PASSWORD, message(self.ann_at, self.bob_at, Sender=self.bob_at), [self.bob_at])

    def test_send_as_and_on_behalf(self):
        owner, owner_at = self.enabled_user()
        for permission, sender in (("SEND_AS", owner_at), ("SEND_ON_BEHALF", self.ann_at)):
            self.call("put_mailbox_permissions", EntityId=owner, GranteeId=self.ann, PermissionValues=[permission])
            subject = unique(permission)
            submit(self.ann_at, PASSWORD, message(owner_at, self.bob_at, subject), [self.bob_at], sender=owner_at)
            with mailbox(self.bob_at) as m:
                m.select()
                _, data = m.fetch("*", "(BODY.PEEK[])")
                got = email.message_from_bytes(data[0][1], policy=email.policy.SMTP)
                self.assertEqual((got["Subject"], got["From"]), (subject, owner_at))
                self.assertEqual((got["Sender"] or got["From"]).addresses[0].addr_spec, sender)

    def test_mail_of_a_test_domain_stays_here(self):
        with self.assertRaises(smtplib.SMTPRecipientsRefused) as caught:
            submit(self.ann_at, PASSWORD, message(self.ann_at, "x@example.com"), ["x@example.com"])
        self.assertEqual(caught.exception.recipients["x@example.com"][0] // 100, 5)


class InboundTest(Case):
    def test_recipients(self):
        user, address = self.enabled_user("rcpt")
        self.call("create_alias", EntityId=user, Alias=f"other@{self.domain}")
        outer, inner = (self.call("create_group", Name=unique("g"))["GroupId"] for _ in range(2))
        for group, name in ((outer, "outer"), (inner, "inner")):
            self.call("register_to_work_mail", EntityId=group, Email=f"{name}@{self.domain}")
        self.call("associate_member_to_group", GroupId=outer, MemberId=inner)
        for group in (outer, inner):
            self.call("associate_member_to_group", GroupId=group, MemberId=user)
        for to in (address, f"OTHER@{self.domain}", f"rcpt+tag@{self.domain}", f"outer@{self.domain}"):
            subject = unique("in ")
            deliver("sender@example.com", [to], message("sender@example.com", to, subject))
            with mailbox(address) as m:
                self.assertEqual(subjects(m).count(subject), 1, to)
        disabled = self.user()
        for to in ("x@example.com", f"nobody@{self.domain}", f"{disabled}@{self.domain}", address.replace("@", "@sub.")):
            with self.subTest(to), self.assertRaises(smtplib.SMTPRecipientsRefused):
                deliver("sender@example.com", [to], message("sender@example.com", to))

    def test_quota(self):
        user, address = self.enabled_user()
        self.call("update_mailbox_quota", UserId=user, MailboxQuota=1)
        big = message("s@example.com", address, body="x" * 70 + "\r\n")
        big.set_content("y" * 60 + "\r\n")
        big.replace_header("Subject", "fits")
        deliver("s@example.com", [address], big)
        big.set_content(("z" * 70 + "\r\n") * 20_000)
        with self.assertRaises(smtplib.SMTPException) as caught:
            deliver("s@example.com", [address], big)
        self.assertIn("552", str(caught.exception))
        self.assertGreater(self.call("get_mailbox_details", UserId=user)["MailboxSize"], 0)

        # At nine tenths its owner is told, once.
        def notices():
            with mailbox(address) as m:
                return [s for s in subjects(m) if "nearly full" in s]

        big.set_content(("n" * 70 + "\r\n") * 1_650)  # 118,800 bytes
        for _ in range(8):
            self.assertEqual(notices(), [])
            deliver("s@example.com", [address], big)
        wait_for(notices)
        big.set_content("more")
        deliver("s@example.com", [address], big)
        self.assertEqual(len(notices()), 1)

    def test_bytes_of_all_kinds(self):
        _, address = self.enabled_user()
        raw = b"From: s@example.com\r\nSubject: raw\r\nX-Long: " + b"a" * 900 + b"\r\n\r\n8-bit: \xff\xfe\x80 NUL: \x00 end\r\n..\r\n"
        with smtplib.SMTP(*address_of("smtp"), timeout=30) as s:
            s.sendmail("s@example.com", [address], raw, mail_options=["BODY=8BITMIME"])
        with mailbox(address) as m:
            m.select()
            _, data = m.fetch("1", "(BODY.PEEK[])")
            # A literal of IMAP can't hold a NUL (RFC 3501 section 9); all else must be as it came.
            self.assertTrue(data[0][1].endswith(raw.replace(b"\0", b"\x80")), data)


class ReadingTest(Case):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.user_id, cls.address = cls().enabled_user("reader")

    def test_special_folders(self):
        with mailbox(self.address) as m:
            _, lines = m.list()
        found = {re.search(rb'"/" "?([^"]+)"?$', line).group(1).decode(): line for line in lines}
        for name, use in (("INBOX", b""), ("Drafts", rb"\Drafts"), ("Sent Items", rb"\Sent"), ("Deleted Items", rb"\Trash"), ("Junk E-mail", rb"\Junk")):
            self.assertIn(name, found)
            self.assertIn(use, found[name])

    def test_folder_life(self):
        name = unique("Folder ")
        with mailbox(self.address) as m:
            self.assertEqual(m.create(f'"{name}"')[0], "OK")
            self.assertEqual(m.create(f'"{name}"')[0], "NO")
            for i in range(5):
                status, data = m.append(f'"{name}"', r"(\Seen)" if i % 2 else None, None, message("a@example.com", self.address, f"m{i}").as_bytes())
                self.assertEqual(status, "OK")
                self.assertRegex(data[0], rb"APPENDUID \d+ \d+")
            self.assertEqual(subjects(m, f'"{name}"'), [f"m{i}" for i in range(5)])
            self.assertEqual(m.search(None, "UNSEEN")[1], [b"1 3 5"])
            self.assertEqual(m.store("2", "+FLAGS", r"(\Flagged custom)")[0], "OK")
            self.assertEqual(m.search(None, "FLAGGED", "KEYWORD", "custom")[1], [b"2"])
            self.assertEqual(m.copy("1:2", "Drafts")[0], "OK")
            self.assertEqual(m._simple_command("MOVE", "3", '"Deleted Items"')[0], "OK")
            m.store("1", "+FLAGS", r"(\Deleted)")
            m.expunge()
            self.assertEqual(subjects(m, f'"{name}"'), ["m1", "m3", "m4"])
            m.close()
            self.assertEqual(m.rename(f'"{name}"', f'"{name} renamed"')[0], "OK")
            _, data = m.status(f'"{name} renamed"', "(MESSAGES UNSEEN UIDNEXT)")
            for item in (b"MESSAGES 3", b"UNSEEN 1", b"UIDNEXT 6"):
                self.assertIn(item, data[0])
            self.assertEqual(m.delete(f'"{name} renamed"')[0], "OK")

    def test_idle_hears_of_mail(self):
        with mailbox(self.address) as m:
            m.select()
            m.send(b"i1 IDLE\r\n")
            self.assertTrue(m.readline().startswith(b"+"))
            deliver("s@example.com", [self.address], message("s@example.com", self.address))
            self.assertRegex(m.readline(), rb"\* \d+ EXISTS")
            m.send(b"DONE\r\n")
            while not m.readline().startswith(b"i1 OK"):
                pass

    def test_no_secret_before_tls(self):
        m = imaplib.IMAP4(*address_of("imap"), timeout=30)
        self.assertIn("LOGINDISABLED", m.capabilities)
        with self.assertRaises(imaplib.IMAP4.error):
            m.login(self.address, PASSWORD)
        m.starttls(ssl_context=tls())
        m.login(self.address, PASSWORD)
        m.logout()


class SessionsEndTest(Case):
    """What ends a user's rights ends the open sessions, within a second."""

    def ends(self, change):
        user, address = self.enabled_user()
        m = mailbox(address)
        m.select()
        change(user)
        begun = time.monotonic()
        try:
            while m.sock.recv(1000):
                pass
        except ConnectionError:
            pass  # cut off without a goodbye; a time-out would be another error
        self.assertLess(time.monotonic() - begun, 20)  # a second is promised; the machine may be busy
        m.shutdown()
        again = imaplib.IMAP4_SSL(*address_of("imaps"), ssl_context=tls(), timeout=30)
        with self.assertRaises(imaplib.IMAP4.error):
            again.login(address, PASSWORD)
        again.logout()
        return user, address

    def test_reset_password(self):
        _, address = self.ends(lambda u: self.call("reset_password", UserId=u, Password="another-Passw0rd"))
        mailbox(address, "another-Passw0rd").logout()

    def test_deregister_and_return(self):
        user, address = self.enabled_user()
        deliver("s@example.com", [address], message("s@example.com", address, "kept"))
        self.call("deregister_from_work_mail", EntityId=user)
        with self.assertRaises(smtplib.SMTPRecipientsRefused):
            deliver("s@example.com", [address], message("s@example.com", address))
        self.call("register_to_work_mail", EntityId=user, Email=address)
        with mailbox(address) as m:
            self.assertEqual(subjects(m), ["kept"])

    def test_deregister(self):
        self.ends(lambda u: self.call("deregister_from_work_mail", EntityId=u))

    def test_delete_organization(self):
        def delete(_):
            self.api.delete_organization(OrganizationId=self.org, DeleteDirectory=True, ForceDelete=True)
        alias, org = self.alias, self.org
        try:
            self.alias = unique("ends-")
            self.org, self.domain = self.new_organization(self.alias), f"{self.alias}.awsapps.com"
            self.ends(delete)
            wait_for(lambda: self.api.describe_organization(OrganizationId=self.org)["State"] == "Deleted")
        finally:
            self.alias, self.org, self.domain = alias, org, f"{alias}.awsapps.com"


class TakenAwayTest(Case):
    """What an operation takes away is gone for mail too, at once."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.user_id, cls.address = cls().enabled_user("taken")

    def arrives(self, to):
        subject = unique("taken ")
        try:
            deliver("s@example.com", [to], message("s@example.com", to, subject))
        except smtplib.SMTPRecipientsRefused as e:
            self.assertEqual(e.recipients[to][0] // 100, 5)
            return False
        with mailbox(self.address) as m:
            return subject in subjects(m)

    def test_delete_alias(self):
        alias = f"alias@{self.domain}"
        self.call("create_alias", EntityId=self.user_id, Alias=alias)
        self.assertTrue(self.arrives(alias))
        self.call("delete_alias", EntityId=self.user_id, Alias=alias)
        self.assertFalse(self.arrives(alias))

    def test_disassociate_member_from_group(self):
        group, address = self.call("create_group", Name=unique("g"))["GroupId"], f"group@{self.domain}"
        self.call("register_to_work_mail", EntityId=group, Email=address)
        self.call("associate_member_to_group", GroupId=group, MemberId=self.user_id)
        self.assertTrue(self.arrives(address))
        self.call("disassociate_member_from_group", GroupId=group, MemberId=self.user_id)
        self.assertFalse(self.arrives(address))

    def test_delete_group(self):
        group, address = self.call("create_group", Name=unique("g"))["GroupId"], f"gone@{self.domain}"
        self.call("register_to_work_mail", EntityId=group, Email=address)
        self.call("associate_member_to_group", GroupId=group, MemberId=self.user_id)
        self.assertTrue(self.arrives(address))
        self.call("deregister_from_work_mail", EntityId=group)
        self.call("delete_group", GroupId=group)
        self.assertFalse(self.arrives(address))

    def test_delete_resource(self):
        room, address = self.call("create_resource", Name=unique("room"), Type="ROOM")["ResourceId"], f"room@{self.domain}"
        self.call("register_to_work_mail", EntityId=room, Email=address)
        deliver("s@example.com", [address], message("s@example.com", address))
        self.call("deregister_from_work_mail", EntityId=room)
        self.call("delete_resource", ResourceId=room)
        with self.assertRaises(smtplib.SMTPRecipientsRefused):
            deliver("s@example.com", [address], message("s@example.com", address))

    def test_delete_user(self):
        user, address = self.enabled_user()
        mailbox(address).logout()
        self.call("deregister_from_work_mail", EntityId=user)
        self.call("delete_user", UserId=user)
        again = imaplib.IMAP4_SSL(*address_of("imaps"), ssl_context=tls(), timeout=30)
        with self.assertRaises(imaplib.IMAP4.error):
            again.login(address, PASSWORD)
        again.logout()
        # Whoever gets the name and the address next starts with an empty mailbox.
        self.call("register_to_work_mail", EntityId=self.user(address.split("@")[0], Password=PASSWORD), Email=address)
        with mailbox(address) as m:
            self.assertEqual(subjects(m), [])

    def test_delete_mailbox_permissions(self):
        owner, owner_at = self.enabled_user()
        self.call("put_mailbox_permissions", EntityId=owner, GranteeId=self.user_id, PermissionValues=["SEND_AS"])
        submit(self.address, PASSWORD, message(owner_at, self.address), [self.address], sender=owner_at)
        self.call("delete_mailbox_permissions", EntityId=owner, GranteeId=self.user_id)
        with self.assertRaises(smtplib.SMTPException):
            submit(self.address, PASSWORD, message(owner_at, self.address), [self.address], sender=owner_at)

    def test_update_primary_email_address(self):
        user, old = self.enabled_user()
        new = f"new@{self.domain}"
        self.call("update_primary_email_address", EntityId=user, Email=new)
        for to in (old, new):  # the old one has become an alias
            subject = unique("primary ")
            deliver("s@example.com", [to], message("s@example.com", to, subject))
            with mailbox(new) as m:
                self.assertIn(subject, subjects(m))

    def test_update_mailbox_quota(self):
        user, address = self.enabled_user()
        self.call("update_mailbox_quota", UserId=user, MailboxQuota=1)
        big = message("s@example.com", address, body="z" * 70 + "\r\n")
        big.set_content(("z" * 70 + "\r\n") * 20_000)
        with self.assertRaises(smtplib.SMTPException):
            deliver("s@example.com", [address], big)
        self.call("update_mailbox_quota", UserId=user, MailboxQuota=10)
        deliver("s@example.com", [address], big)
