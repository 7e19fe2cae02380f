"""Automatic replies of mailboxes, by boto3 with the model that docs/models publishes, and what they do to mail."""

import datetime

from support import PASSWORD, Case, client, wait_for
from test_mail import mailbox, message, subjects, submit


class AutomaticRepliesTest(Case):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.pennypost = client("pennypost")
        self = cls()
        cls.ann, cls.ann_at = self.enabled_user()
        cls.bob, cls.bob_at = self.enabled_user()

    def get(self, entity):
        out = self.pennypost.get_automatic_reply(OrganizationId=self.org, EntityId=entity)
        out.pop("ResponseMetadata")
        return out

    def put(self, entity, state, **kwargs):
        self.pennypost.put_automatic_reply(OrganizationId=self.org, EntityId=entity, State=state, **kwargs)

    def test_setting(self):
        cyd, _ = self.enabled_user()
        self.assertEqual(self.get(cyd), {"State": "DISABLED", "InternalReply": "", "ExternalReply": "", "ExternalAudience": "ALL"})
        start = datetime.datetime(2026, 12, 23, 17, tzinfo=datetime.timezone.utc)
        end = start + datetime.timedelta(days=12)
        self.put(cyd, "SCHEDULED", StartTime=start, EndTime=end, InternalReply="Ask Bob.", ExternalReply="Later.", ExternalAudience="KNOWN")
        got = self.get(cyd)
        self.assertEqual((got["State"], got["StartTime"], got["EndTime"], got["ExternalAudience"]), ("SCHEDULED", start, end, "KNOWN"))
        with self.assertRaises(self.pennypost.exceptions.InvalidParameterException):
            self.put(cyd, "SCHEDULED", StartTime=end, EndTime=start, InternalReply="x")
        with self.assertRaises(self.pennypost.exceptions.EntityNotFoundException):
            self.pennypost.get_automatic_reply(OrganizationId=self.org, EntityId="nobody-of-the-name")

    def test_once_per_sender(self):
        """Two who are away answer each other once; after a change again."""
        self.put(self.ann, "ENABLED", InternalReply="Ich bin weg, grüße")
        self.put(self.bob, "ENABLED", InternalReply="me too")
        for subject in ("one", "two"):
            submit(self.bob_at, PASSWORD, message(self.bob_at, self.ann_at, subject), [self.ann_at])
        with mailbox(self.bob_at) as imap:
            wait_for(lambda: subjects(imap) == ["Automatic reply: one"])
            self.put(self.ann, "ENABLED", InternalReply="still away")
            submit(self.bob_at, PASSWORD, message(self.bob_at, self.ann_at, "three"), [self.ann_at])
            wait_for(lambda: subjects(imap) == ["Automatic reply: one", "Automatic reply: three"])
        with mailbox(self.ann_at) as imap:
            self.assertEqual(subjects(imap), ["one", "two", "three"])
