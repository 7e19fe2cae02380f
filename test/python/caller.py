"""Calls operations of the API for test/sdk: reads a call a line, writes an answer a line. With --cli the calls go through the
AWS CLI's own command line, in this process, and the output is what it prints."""

import base64
import contextlib
import datetime
import io
import json
import re
import sys
import tempfile


def encode(value):
    if isinstance(value, datetime.datetime):
        return value.timestamp()
    raise TypeError(f"{type(value)} in an output")


def service(operation):
    return "workmailmessageflow" if operation.endswith("RawMessageContent") else "workmail"


def by_boto3():
    from botocore import xform_name
    from botocore.exceptions import ClientError

    from support import client

    services = {name: client(name) for name in ("workmail", "workmailmessageflow")}

    def call(operation, arguments):
        try:
            output = getattr(services[service(operation)], xform_name(operation))(**arguments)
        except ClientError as e:
            return {"error": e.response["Error"]["Code"], "type": type(e).__name__, "message": str(e)}
        del output["ResponseMetadata"]
        if operation == "GetRawMessageContent":
            output["messageContent"] = base64.b64encode(b"".join(output["messageContent"].iter_chunks())).decode()
        return {"output": output}

    return call


def by_cli():
    from awscli.clidriver import create_clidriver
    from botocore import xform_name

    driver = create_clidriver()

    def call(operation, arguments):
        out, err, content = io.StringIO(), io.StringIO(), tempfile.NamedTemporaryFile()
        given = ["--cli-input-json", json.dumps(arguments)]
        if operation == "GetRawMessageContent":  # which writes to a file, and then takes no JSON
            given = ["--message-id", arguments["messageId"], content.name]
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            status = driver.main([service(operation), xform_name(operation, "-"), *given, "--output", "json", "--no-paginate"])
        if status != 0:
            code = re.search(r"An error occurred \((\w+)\)", err.getvalue())
            code = code.group(1) if code else f"exit status {status}"
            return {"error": code, "type": code, "message": err.getvalue()}
        output = seconds(json.loads(out.getvalue() or "{}"))
        if operation == "GetRawMessageContent":
            output["messageContent"] = base64.b64encode(content.read()).decode()
        return {"output": output}

    return call


def seconds(value, name=""):
    """The output with its times, which the CLI prints as ISO 8601 or as numbers, in seconds."""
    if isinstance(value, dict):
        return {k: seconds(v, k) for k, v in value.items()}
    if isinstance(value, list):
        return [seconds(v) for v in value]
    if name.endswith("Date") and isinstance(value, str):
        return datetime.datetime.fromisoformat(value).timestamp()
    return value


call = by_cli() if "--cli" in sys.argv else by_boto3()
for line in sys.stdin:
    request = json.loads(line)
    print(json.dumps(call(request["call"], request["input"]), default=encode), flush=True)
