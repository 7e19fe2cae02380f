"""A mail flow function as the samples of AWS for WorkMail are written, called for test/e2e/messageflow_test.go with the event on its standard input.

It marks what comes from elsewhere in the subject and above the text: it reads the message by the message flow API, writes another to a bucket, and
puts that in the message's place. As AWS's does, it answers "true" where a boolean is meant.
"""

import email
import json
import os
import sys
import uuid
from email import policy

import boto3
from botocore.exceptions import ClientError

flow = boto3.client("workmailmessageflow")
s3 = boto3.client("s3", endpoint_url=os.environ["S3_URL"], region_name="us-east-1", aws_access_key_id="test", aws_secret_access_key="test")


def read(message_id):
    content = flow.get_raw_message_content(messageId=message_id)["messageContent"].read()
    return email.message_from_bytes(content, policy=policy.SMTP.clone(refold_source="none"))


def put(message_id, content, **version):
    key = str(uuid.uuid4())
    stored = s3.put_object(Body=content, Bucket=os.environ["BUCKET"], Key=key)
    if version:
        version = {"objectVersion": stored["VersionId"]}
        s3.put_object(Body=b"another version", Bucket=os.environ["BUCKET"], Key=key)
    flow.put_raw_message_content(messageId=message_id, content={"s3Reference": {"bucket": os.environ["BUCKET"], "key": key, **version}})


def mark(event):
    message = read(event["messageId"])
    message.replace_header("Subject", f"[External] {event['subject']}")
    for part in message.walk():
        if part.get_content_type() == "text/plain" and part.get_content_disposition() != "attachment":
            part.set_content("CAUTION\n\n" + part.get_content(), charset=part.get_content_charset("utf-8"), cte=part["Content-Transfer-Encoding"])
    put(event["messageId"], message.as_bytes(), version=True)


def refused(code, says, call, *args):
    try:
        call(*args)
    except ClientError as e:
        error = e.response["Error"]
        assert error["Code"] == code and says in error["Message"], error
        return
    raise AssertionError(f"not refused with {code}")


def refusals(event):
    """What a function hears that does it wrong, while it is asked."""
    message_id = event["messageId"]
    message = read(message_id)
    message.replace_header("From", "somebody@else.example")
    refused("MessageRejected", "the header From must stay", put, message_id, message.as_bytes())
    refused("MessageRejected", "of type .exe", put, message_id, read(message_id).as_bytes().replace(b"notes.txt", b"notes.exe"))
    refused("MessageRejected", "does not end it", put, message_id, read(message_id).as_bytes().rstrip().removesuffix(b"--"))
    lies = {"s3Reference": {"bucket": os.environ["BUCKET"], "key": "nothing"}}
    refused("InvalidContentLocation", "is not there", lambda: flow.put_raw_message_content(messageId=message_id, content=lies))
    lies["s3Reference"]["bucket"] = "elsewhere"
    refused("InvalidContentLocation", "is none that this server reads", lambda: flow.put_raw_message_content(messageId=message_id, content=lies))
    refused("ResourceNotFoundException", "there is no message", read, "12345678-0123-0123-0123-0123456789ab")


def over(event):
    """What is to be read, and no more to be changed, once it was decided."""
    message = read(event["messageId"])
    assert message["Subject"] == "[External] decide", message["Subject"]
    refused("MessageFrozen", "can't be changed", put, event["messageId"], message.as_bytes())


def main():
    event = json.load(sys.stdin)
    for step in sys.argv[1:]:
        globals()[step](event)
    json.dump({"actions": [{"action": {"type": "DEFAULT"}, "allRecipients": "true"}]}, sys.stdout)


main()
