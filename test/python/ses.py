"""Plays Amazon SES for test/e2e/ses_test.go by boto3, on a server of S3 and SQS: each argument is a JSON text of what is received."""

import json
import os
import sys
import time

import boto3

RECEIVED = (
    "Return-Path: <{sender}>\r\nReceived: from mail.far.example (mail.far.example [192.0.2.1])\r\n"
    " by inbound-smtp.us-east-1.amazonaws.com with SMTP id {key}{clause};\r\n Thu, 26 Nov 2026 10:00:00 +0000 (UTC)\r\n"
    "X-SES-Spam-Verdict: PASS\r\nX-SES-Virus-Verdict: PASS\r\nAuthentication-Results: amazonses.com; spf=none; dkim=none; dmarc=none;\r\nX-SES-RECEIPT: AEFB\r\n"
)


def service(name, at):
    return boto3.client(name, endpoint_url=at["endpoint"], region_name="us-east-1", aws_access_key_id="test", aws_secret_access_key="test")


def receive(at):
    """Receives messages as a receipt rule with an S3 action does; with a queue its notifications reach it through SNS. The last waits for the file "last"."""
    s3, sqs = service("s3", at), service("sqs", at)
    for n in range(at["count"]):
        while "last" in at and n == at["count"] - 1 and not os.path.exists(at["last"]):
            time.sleep(0.01)
        key = f"{at['prefix']}m{n:04}"
        clause = "" if at.get("queue") else f"\r\n for {at['to']}"
        body = f"From: x@far.example\r\nTo: undisclosed-recipients:;\r\nSubject: number {n}\r\n\r\nhello\r\n"
        s3.put_object(Bucket=at["bucket"], Key=key, Body=(RECEIVED.format(sender="x@far.example", key=key, clause=clause) + body).encode())
        if at.get("queue"):
            notification = {
                "notificationType": "Received",
                "mail": {"source": "x@far.example", "messageId": key, "destination": ["undisclosed-recipients:;"]},
                "receipt": {
                    "recipients": [at["to"]],
                    "spamVerdict": {"status": "PASS"},
                    "virusVerdict": {"status": "PASS"},
                    "action": {"type": "S3", "bucketName": at["bucket"], "objectKeyPrefix": at["prefix"], "objectKey": key},
                },
            }
            sns = {"Type": "Notification", "MessageId": key, "Subject": "Amazon SES Email Receipt Notification", "Message": json.dumps(notification)}
            for _ in range(2):  # SNS and SQS deliver at least once
                sqs.send_message(QueueUrl=at["queue"], MessageBody=json.dumps(sns))


if __name__ == "__main__":
    for argument in sys.argv[1:]:
        receive(json.loads(argument))
