"""Drives an export from outside, for test/e2e/export_test.go: one step a call. What one step must tell the next is in a file."""

import email
import email.message
import hashlib
import imaplib
import io
import json
import random
import smtplib
import sys
import zipfile

import boto3

from support import PASSWORD, address_of, client, tls, wait_for

ROLE = "arn:aws:iam::111122223333:role/Export"
KEY = "arn:aws:kms:us-east-1:111122223333:key/0123"


def s3(state):
    return boto3.client("s3", endpoint_url=state["s3"], region_name="us-east-1", aws_access_key_id="test", aws_secret_access_key="test")


def imap(state):
    m = imaplib.IMAP4_SSL(*address_of("imaps"), ssl_context=tls(), timeout=60)
    m.login(state["address"], PASSWORD)
    return m


def furnish(state):
    """Makes a mailbox by the API, SMTP and IMAP, too large for one part."""
    api = client()
    org = state["org"] = api.create_organization(Alias="export")["OrganizationId"]
    wait_for(lambda: api.describe_organization(OrganizationId=org)["State"] == "Active")
    user = api.create_user(OrganizationId=org, Name="ann", DisplayName="Ann", Password=PASSWORD)["UserId"]
    state["user"], state["address"] = user, "ann@export.awsapps.com"
    api.register_to_work_mail(OrganizationId=org, EntityId=user, Email=state["address"])
    lots = random.Random(1)
    with smtplib.SMTP(*address_of("smtp"), timeout=60) as smtp:
        for i in range(60):
            m = email.message.EmailMessage()
            m["From"], m["To"], m["Subject"] = "s@example.com", state["address"], f"Nummer {i} – ü"
            m.set_content(f"Text {i}\n" * (i + 1))
            if i % 2:
                m.add_attachment(lots.randbytes(1_000_000), maintype="application", subtype="octet-stream", filename="lots")
            smtp.send_message(m, "s@example.com")
    m = imap(state)
    for folder in ("Projects", "Projects/&ANw-n&AO8-code", '"Old: mail?"'):
        assert m.create(folder)[0] == "OK"
    m.select("INBOX")
    m.store("1:20", "+FLAGS", r"(\Seen \Answered)")
    m.store("5:7", "+FLAGS", "(label-1 $Forwarded)")
    for numbers, folder in (("1:10", "Projects/&ANw-n&AO8-code"), ("1:10", '"Old: mail?"')):
        assert m.copy(numbers, folder)[0] == "OK"
        m.store(numbers, "+FLAGS", r"\Deleted")
        m.expunge()
    m.append("Drafts", r"(\Draft)", '"01-Feb-2003 04:05:06 +0700"', b"Subject: draft\r\n\r\nBare bytes: \xff\xfe\r\n")
    m.logout()


def start(state):
    out = client().start_mailbox_export_job(
        OrganizationId=state["org"], EntityId=state["address"], Description="all", RoleArn=ROLE, KmsKeyArn=KEY, S3BucketName="archive",
        S3Prefix="of/ann")
    state["job"] = out["JobId"]


def describe(state):
    return client().describe_mailbox_export_job(OrganizationId=state["org"], JobId=state["job"])


def cancel(state):
    client().cancel_mailbox_export_job(OrganizationId=state["org"], JobId=state["job"], ClientToken="t")
    job = describe(state)
    assert job["State"] == "CANCELLED" and "EndTime" in job, job
    wait_for(lambda: "Uploads" not in s3(state).list_multipart_uploads(Bucket=state["bucket"]), 60)
    assert "Contents" not in s3(state).list_objects_v2(Bucket=state["bucket"]), "an object appeared"


def running(state):
    """In the middle: progress is told, and nothing is to be seen in the bucket."""
    job = describe(state)
    assert job["State"] == "RUNNING" and 0 < job["EstimatedProgress"] < 100, job
    assert "Contents" not in s3(state).list_objects_v2(Bucket=state["bucket"])


def check(state):
    """Waits for the export, downloads it, and compares it with what IMAP shows."""
    job = wait_for(lambda: (lambda j: j if j["State"] != "RUNNING" else None)(describe(state)), 120)
    assert job["State"] == "COMPLETED" and job["EstimatedProgress"] == 100, job
    (listed,) = [j for j in client().list_mailbox_export_jobs(OrganizationId=state["org"])["Jobs"] if j["JobId"] == state["job"]]
    assert listed["S3Path"] == job["S3Path"] and listed["State"] == "COMPLETED", listed
    key = state["prefix"] + job["S3Path"]
    head = s3(state).head_object(Bucket=state["bucket"], Key=key)
    assert head["ServerSideEncryption"] == "aws:kms" and head["SSEKMSKeyId"] == KEY, head
    assert "Uploads" not in s3(state).list_multipart_uploads(Bucket=state["bucket"])
    body = io.BytesIO()
    s3(state).download_fileobj(state["bucket"], key, body)
    archive = zipfile.ZipFile(body)
    assert archive.testzip() is None
    lines = [json.loads(line) for line in archive.read("manifest.jsonl").splitlines()]
    head, folders = lines[0], {line["id"]: line for line in lines if line["type"] == "folder"}
    messages = [line for line in lines if line["type"] == "message"]
    assert head["format"] == "pennypost-mailbox" and head["version"] == 1 and head["messages"] == len(messages) == 61, head
    log = json.loads(archive.read("export.json"))
    assert log["sha384Hash"] == hashlib.sha384(archive.read("manifest.jsonl")).hexdigest()
    assert log["totalMessages"] == "61" and log["totalNonExportableItems"] == "0" and log["totalFolders"] == str(len(folders)), log
    names = {m["file"] for m in messages}
    assert names | {"manifest.jsonl", "export.json"} == set(archive.namelist()) and len(names) == 61
    found = {}
    for m in messages:
        text = archive.read(m["file"])
        assert len(text) == m["size"] and hashlib.sha384(text).hexdigest() == m["sha384"], m
        assert email.message_from_bytes(text)["Subject"], m
        found.setdefault(folders[m["folder"]]["path"], {})[m["uid"]] = (text, set(m["flags"]) | set(m["keywords"]), m["received"])
    for f in folders.values():
        assert f["messages"] == len(found.get(f["path"], {})), f
    assert {len(v) for k, v in found.items() if k == "Projects/Ünïcode"} == {10}, list(found)
    compare(state, found)


def compare(state, found):
    m = imap(state)
    for path, name in (("INBOX", "INBOX"), ("Projects/Ünïcode", "Projects/&ANw-n&AO8-code"), ("Old: mail?", '"Old: mail?"'), ("Drafts", "Drafts")):
        m.select(name, readonly=True)
        count = 0
        for i in m.search(None, "ALL")[1][0].split():
            (meta, text), *_ = m.fetch(i, "(UID FLAGS BODY.PEEK[])")[1]
            uid = int(meta.split(b"UID ")[1].split()[0])
            flags = {f.decode() for f in imaplib.ParseFlags(meta)} - {r"\Recent"}
            exported = found[path][uid]
            assert exported[0] == text and exported[1] == flags, (path, uid, flags, exported[1])
            count += 1
        assert count == len(found[path]), path
    m.logout()
    (draft,) = found["Drafts"].values()
    assert draft[2] == "2003-01-31T21:05:06Z", draft[2]


def main():
    step, path = sys.argv[1:]
    with open(path) as f:
        state = json.load(f)
    globals()[step](state)
    with open(path, "w") as f:
        json.dump(state, f)


main()
