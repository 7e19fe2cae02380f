"""Our own operations on the outbound queue, by boto3 and the AWS CLI with the model that docs/models publishes."""

import json
import os
import subprocess
import sys

from botocore.exceptions import ClientError
from support import PASSWORD, Case, client, unique, wait_for
from test_mail import message, submit

NOWHERE = "m-00000000000000000000000000000000"

CHANGES = ["hold_queued_messages", "release_queued_messages", "retry_queued_messages", "drop_queued_messages"]


def verb(*args):
    return subprocess.run(
        [os.environ["PENNYPOST"], "queue", *args, "--data", os.environ["PENNYPOST_DIR"]], capture_output=True, text=True, timeout=60)


class QueueTest(Case):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.queue = client("pennypost")

    def own(self, operation, **kwargs):
        out = getattr(self.queue, operation)(**kwargs)
        self.assertEqual(out.pop("ResponseMetadata")["HTTPStatusCode"], 200)
        return out

    def unknown(self, code, operation, **kwargs):
        with self.assertRaises(getattr(self.queue.exceptions, code)):
            getattr(self.queue, operation)(**kwargs)

    def test_the_model_is_checked(self):
        """What breaks a constraint is told before anything else."""
        for change in [*CHANGES, "list_queued_messages"]:
            self.unknown("InvalidParameterException", change, OrganizationId=NOWHERE, Filters={"MessageId": "0"})
        self.unknown("InvalidParameterException", "get_message_trace", OrganizationId=NOWHERE, TraceId="no trace")

    def test_every_operation(self):
        calls = {"describe_queue": {}, "list_queued_messages": {"OrganizationId": self.org}}
        calls |= {change: {"OrganizationId": self.org, "Filters": {"Domain": "nowhere.example"}} for change in CHANGES}
        trace = {"OrganizationId": self.org, "TraceId": "no-such-trace"}
        answers = {operation: self.own(operation, **given) for operation, given in calls.items()}
        self.assertGreaterEqual(answers.pop("describe_queue").keys(), {"Waiting", "Held"})
        self.assertEqual(answers.pop("list_queued_messages"), {"Messages": []})
        self.assertEqual(list(answers.values()), [{"Count": 0}] * len(CHANGES))
        self.unknown("ResourceNotFoundException", "get_message_trace", **trace)
        for change in CHANGES:  # nobody means everything by saying nothing
            self.unknown("InvalidParameterException", change, OrganizationId=self.org)
        for operation, given in (calls | {"get_message_trace": trace}).items():
            if "OrganizationId" in given:
                self.unknown("OrganizationNotFoundException", operation, **(given | {"OrganizationId": NOWHERE}))

    def test_a_message_that_waits(self):
        user, _ = self.enabled_user()
        domain = unique("own") + ".example"
        ann, to = f"ann@{domain}", unique("x") + "@dead.invalid"  # of which DNS can't be asked
        self.call("register_mail_domain", DomainName=domain)
        subprocess.run(
            [os.environ["PENNYPOST"], "domain", "verify", domain, "--organization", self.org, "--data", os.environ["PENNYPOST_DIR"]],
            check=True, timeout=60)
        self.call("update_primary_email_address", EntityId=user, Email=ann)
        submit(ann, PASSWORD, message(ann, to), [to])
        given = {"OrganizationId": self.org, "Filters": {"Recipient": to.upper()}}
        queued, = self.own("list_queued_messages", **given)["Messages"]
        self.assertEqual((queued["From"], queued["Recipient"], queued["Domain"], queued["State"]), (ann, to, "dead.invalid", "WAITING"))
        self.assertEqual(self.own("hold_queued_messages", **given), {"Count": 1})
        self.assertEqual(self.own("hold_queued_messages", **given), {"Count": 0})
        pages = self.queue.get_paginator("list_queued_messages").paginate(OrganizationId=self.org, PaginationConfig={"PageSize": 1})
        self.assertEqual([m["State"] for page in pages for m in page["Messages"]], ["HELD"])

        shown = verb("show", queued["MessageId"], "--json")
        self.assertEqual(json.loads(shown.stdout)["recipient"], to, shown)
        self.assertIn(to, verb("list", "--held", "--recipient", to).stdout)
        self.assertEqual(verb("release", "--message", queued["MessageId"]).stdout, "1 released\n")
        self.assertEqual(verb("release", "--message", queued["MessageId"]).returncode, 1)

        self.assertEqual(self.own("retry_queued_messages", **given), {"Count": 1})
        trace = {"OrganizationId": self.org, "TraceId": queued["TraceId"]}
        events = wait_for(lambda: (found := self.own("get_message_trace", **trace)["Events"])[-1]["Type"] == "DEFERRED" and found)
        types = [e["Type"] for e in events]
        for kind in ("QUEUED", "HELD", "RELEASED", "RETRIED"):
            self.assertIn(kind, types)
        self.assertIn("RETRIED", verb("trace", queued["TraceId"]).stdout)
        self.assertEqual(self.own("drop_queued_messages", **given), {"Count": 1})
        self.assertEqual(self.own("list_queued_messages", **given)["Messages"], [])
        self.assertEqual(verb("show", queued["MessageId"]).returncode, 1)

    def test_the_cli_knows_them(self):
        aws = os.path.join(os.path.dirname(sys.executable), "aws")
        r = subprocess.run([aws, "pennypost", "describe-queue", "--output", "json"], capture_output=True, text=True, timeout=60)
        self.assertGreaterEqual(json.loads(r.stdout).keys(), {"Waiting", "Held"})
