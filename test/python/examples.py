import contextlib
import io
import json
import pathlib
import re
import shlex

import awscli
from awscli.clidriver import create_clidriver

from support import Case

EXAMPLES = pathlib.Path(awscli.__file__).parent / "examples" / "workmail"

# The published examples in an order in which each finds what it speaks of. A step that is a pair is none of them, but a call before it.
STEPS = [
    "create-user", "create-group", "create-resource",
    ("register_to_work_mail", {"EntityId": "USER", "Email": "exampleUser1@DOMAIN"}), "register-to-work-mail",
    ("register_to_work_mail", {"EntityId": "RESOURCE", "Email": "exampleRoom1@DOMAIN"}), ("create_user", {"Name": "exampleGuestUser", "DisplayName": ""}),
    "create-alias", ("create_alias", {"EntityId": "USER", "Alias": "exampleAlias1@DOMAIN"}), "list-aliases",
    "associate-member-to-group", "list-group-members", "associate-delegate-to-resource", "list-resource-delegates",
    "put-mailbox-permissions", "list-mailbox-permissions", "put-access-control-rule", "get-access-control-effect", "list-access-control-rules",
    "tag-resource", "list-tags-for-resource",
    "describe-organization", "describe-user", "describe-group", "describe-resource", "get-mailbox-details",
    "list-organizations", "list-users", "list-groups", "list-resources",
    "reset-password", "update-mailbox-quota", "update-primary-email-address", "update-resource",
    "untag-resource", "delete-access-control-rule", "delete-mailbox-permissions", "disassociate-delegate-from-resource",
    "disassociate-member-from-group", "delete-alias", "deregister-from-work-mail", "delete-user",
    ("deregister_from_work_mail", {"EntityId": "GROUP"}), "delete-group", ("deregister_from_work_mail", {"EntityId": "RESOURCE"}), "delete-resource",
]


class ExamplesTest(Case):
    """The examples that the AWS CLI is published with, given to the CLI, and the shapes of their outputs."""

    def test_published_examples(self):
        examples = {path.stem: path.read_text() for path in EXAMPLES.glob("*.rst")}
        self.assertEqual(sorted(examples), sorted(step for step in STEPS if isinstance(step, str)))
        self.names = {  # what the examples call it, and what it is here
            r"arn:aws:workmail:[\w:-]+/m-\w+": self.call("describe_organization")["ARN"], r"m-\w{32}": self.org, r"site\.awsapps\.com": self.domain,
            r"S-1-1-11-1111111111[\d-]+": "USER", r"S-1-1-11-1122222222[\d-]+": "GROUP", r"r-\w{32}": "RESOURCE",
        }
        self.driver = create_clidriver()
        for step in STEPS:
            if not isinstance(step, str):
                self.call(step[0], **{k: self.here(v) for k, v in step[1].items()})
                continue
            with self.subTest(step):
                command, _, published = examples[step].partition("\nOutput::")
                words = command[command.index("ws workmail "):].partition("\n\n")[0]  # one lost its a
                words = words.replace("\\\n", "").replace("$$", r"\$\$")
                out = self.cli(shlex.split(words))
                if not published:
                    self.assertIn("produces no output", command)
                    self.assertEqual(out, "")
                    continue
                out, wanted = json.loads(out), json.JSONDecoder().raw_decode(published.strip())[0]
                self.assertEqual([], list(lacks(out, wanted)), out)
                for member, name in {"UserId": "USER", "GroupId": "GROUP", "ResourceId": "RESOURCE"}.items():
                    if step.startswith("create-") and member in out:
                        self.names = {k: out[member] if v == name else v for k, v in self.names.items()} | {name: out[member]}

    def here(self, text):
        for pattern, name in (self.names | {"DOMAIN": self.domain}).items():
            text = re.sub(pattern, name, text)
        return text

    def cli(self, words):
        out, err = io.StringIO(), io.StringIO()
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            status = self.driver.main([*map(self.here, words[1:]), "--output", "json"])
        self.assertEqual((status, err.getvalue()), (0, ""), words)
        return out.getvalue()


def lacks(out, wanted, path=""):
    """What of a published output another lacks, or has with another type."""
    if isinstance(wanted, dict) and isinstance(out, dict):
        for key, value in wanted.items():
            if key in out:
                yield from lacks(out[key], value, f"{path}.{key}")
            else:
                yield f"{path}.{key}"
    elif isinstance(wanted, list) and isinstance(out, list):
        for i, value in enumerate(wanted):
            if not any(list(lacks(one, value)) == [] for one in out):
                yield f"{path}[{i}]"
    elif type(wanted) is not type(out) and not {type(wanted), type(out)} <= {int, float}:
        yield f"{path}: {type(out).__name__}"
