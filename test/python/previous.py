"""Fills a store through the binary of an older version, for scripts/write-previous: BINARY DIR DATABASE-URL. What it asks for is what
that version has. Prints what a test must know."""

import imaplib
import json
import os
import smtplib
import subprocess
import sys

binary, directory, url = sys.argv[1:]
flags = [f"--{name}=127.0.0.1:0" for name in ("http", "https", "smtp", "submission", "submissions", "imap", "imaps")]
server = subprocess.Popen(
    [binary, "serve", "--data", directory, "--database-url", url, "--hostname", "mail.pennypost.example", *flags],
    stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
while (line := server.stdout.readline()) != "ready\n":
    if not line:
        sys.exit("the server did not start")
exports = subprocess.check_output([binary, "env", "--data", directory], text=True)
shell = subprocess.check_output(["sh", "-c", 'eval "$1" && env -0', "sh", exports], text=True)
os.environ.update(entry.split("=", 1) for entry in shell.split("\0") if entry)

import support  # noqa: E402  reads the environment

PASSWORD = support.PASSWORD
api = support.client()


def organization(alias):
    org = api.create_organization(Alias=alias)["OrganizationId"]
    support.wait_for(lambda: api.describe_organization(OrganizationId=org)["State"] == "Active")
    return org


def user(name, **more):
    return api.create_user(OrganizationId=old, Name=name, DisplayName=name.title(), **more)["UserId"]


def register(entity, local):
    api.register_to_work_mail(OrganizationId=old, EntityId=entity, Email=f"{local}@old.awsapps.com")


old = organization("old")
gone = organization("gone")
api.delete_organization(OrganizationId=gone, DeleteDirectory=True)
support.wait_for(lambda: api.describe_organization(OrganizationId=gone)["State"] == "Deleted")

ann, bob = user("ann", Password=PASSWORD, FirstName="Änn"), user("bob", Password=PASSWORD)
user("carl")
left = user("left", Password=PASSWORD)
for entity, name in ((ann, "ann"), (bob, "bob"), (left, "left")):
    register(entity, name)
api.deregister_from_work_mail(OrganizationId=old, EntityId=left)
group = api.create_group(OrganizationId=old, Name="all")["GroupId"]
register(group, "all")
api.associate_member_to_group(OrganizationId=old, GroupId=group, MemberId=ann)
room = api.create_resource(OrganizationId=old, Name="room", Type="ROOM")["ResourceId"]
register(room, "room")
api.associate_delegate_to_resource(OrganizationId=old, ResourceId=room, EntityId=bob)
api.create_alias(OrganizationId=old, EntityId=ann, Alias="sales@old.awsapps.com")
api.put_mailbox_permissions(OrganizationId=old, EntityId=ann, GranteeId=bob, PermissionValues=["SEND_AS"])
api.update_mailbox_quota(OrganizationId=old, UserId=bob, MailboxQuota=100)
api.register_mail_domain(OrganizationId=old, DomainName="old.example")
api.tag_resource(ResourceARN=api.describe_organization(OrganizationId=old)["ARN"], Tags=[{"Key": "k", "Value": "v"}])

with smtplib.SMTP(*support.address_of("smtp")) as smtp:
    smtp.starttls(context=support.tls())
    for n in range(3):
        smtp.sendmail("x@elsewhere.example", ["all@old.awsapps.com"], f"Subject: message {n}\r\nMessage-ID: <{n}@x>\r\n\r\nHello\r\n")
with imaplib.IMAP4_SSL(*support.address_of("imaps"), ssl_context=support.tls()) as imap:
    imap.login("ann@old.awsapps.com", PASSWORD)
    imap.append('"Deleted Items"', r"(\Seen)", None, b"Subject: thrown away\r\n\r\nx\r\n")
    imap.select("INBOX")
    imap.store("2", "+FLAGS", r"(\Flagged project)")
    imap.create("Projects/2026")
    imap.copy("1", "Projects/2026")

server.terminate()
if server.wait(30) != 0:
    sys.exit("the server did not stop well")
print(json.dumps({"org": old, "gone": gone, "ann": ann, "bob": bob}))
