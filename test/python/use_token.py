"""A mail client that signs in with a personal access token, for test/e2e: `use_token.py ADDRESS TOKEN`.

Sends itself a message by smtplib, finds it by imaplib, says "in", and says "out" when the server ends the session; then tries
both doors again, and says how each refused.
"""

import imaplib
import os
import smtplib
import ssl
import sys


def server(name):
    host, port = os.environ[f"PENNYPOST_{name}_ADDR"].rsplit(":", 1)
    return host, int(port)


def smtp(tls, address, token):
    s = smtplib.SMTP_SSL(*server("SUBMISSIONS"), context=tls)
    s.login(address, token)
    return s


def imap(tls, address, token):
    m = imaplib.IMAP4_SSL(*server("IMAPS"), ssl_context=tls)
    m.login(address, token)
    return m


def main(address, token):
    tls = ssl.create_default_context(cafile=os.environ["PENNYPOST_CA_FILE"])
    with smtp(tls, address, token) as s:
        s.sendmail(address, [address], f"From: {address}\r\nSubject: by process {os.getpid()}\r\n\r\nHello\r\n")
    m = imap(tls, address, token)
    m.select()
    status, found = m.search(None, "SUBJECT", f'"by process {os.getpid()}"')
    assert status == "OK" and len(found[0].split()) == 1, (status, found)
    print("in", flush=True)
    try:
        while m.readline():
            pass
    except (OSError, imaplib.IMAP4.abort):
        pass
    print("out", flush=True)
    for door, refusal in ((imap, imaplib.IMAP4.error), (smtp, smtplib.SMTPAuthenticationError)):
        try:
            door(tls, address, token)
        except refusal as e:
            print(door.__name__, "refused:", e, flush=True)


main(*sys.argv[1:])
