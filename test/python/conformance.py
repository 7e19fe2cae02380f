"""Sends requests that botocore signed, but did not make, to the server that `pennypost env` exported: reads one a line, writes its answer
a line. botocore itself would refuse to send some of them."""

import json
import os
import socket
import sys

from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.httpsession import URLLib3Session
from botocore.session import Session

credentials = Session().get_credentials()
http = URLLib3Session(socket_options=[(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)])  # as its clients do
for line in sys.stdin:
    r = json.loads(line)
    request = AWSRequest(r["method"], os.environ["AWS_ENDPOINT_URL_WORKMAIL"] + r["path"], r["headers"], r["body"].encode())
    SigV4Auth(credentials, r["service"], os.environ["AWS_REGION"]).add_auth(request)
    answer = http.send(request.prepare())
    print(json.dumps({"status": answer.status_code, "body": answer.text}), flush=True)
