"""Fills a store through the binary of an older version, for scripts/write-previous: BINARY DIR DATABASE-URL. What it asks for is what the
newest version has that a store was written of; for an older one take this file as it was then. Prints what a test must know."""

import atexit
import base64
import gzip
import imaplib
import json
import os
import smtplib
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from unittest import mock

import managesieve

binary, directory, url = sys.argv[1:]
FUNCTION, INSTANCE = "arn:aws:lambda:eu-west-1:111122223333:function:mail", "arn:aws:sso:::instance/ssoins-0123456789abcdef"
LOG_GROUP = "arn:aws:logs:us-east-1:000000000000:log-group:/mail:*"
beside = directory + "-beside"  # what is no part of the store
os.makedirs(beside + "/bucket")


def write(name, text):
    path = os.path.join(beside, name)
    with open(path, "w", opener=lambda path, flags: os.open(path, flags, 0o600)) as f:
        f.write(text)
    return path


settings = write("settings.toml", f"""allowed_networks = ["127.0.0.1"]
[function."{FUNCTION}"]
url = "https://127.0.0.1:1/"
[export_bucket.archive]
url = "file://{beside}/bucket"
[log_group."{LOG_GROUP}"]
kind = "https"
url = "https://127.0.0.1:1/"
[identity_center."{INSTANCE}"]
issuer = "http://127.0.0.1:1"
client_id = "pennypost"
client_secret_file = "{write("client.secret", "secret")}"
""")
common = ["--data", directory, "--database-url", url, "--config", settings]


def verb(*args):
    return subprocess.check_output([binary, *args, *common], text=True)


def serve(*more):
    """Starts a server in which no name is known and nothing of DNS can be asked."""
    flags = [f"--{name}=127.0.0.1:0" for name in ("http", "https", "smtp", "submission", "submissions", "imap", "imaps", "managesieve")]
    server = subprocess.Popen(
        [binary, "serve", *common, "--hostname", "mail.pennypost.example", "--dns-resolver", "127.0.0.1:1", *flags, *more],
        stdout=subprocess.PIPE, stderr=open(beside + "/log", "a"), text=True)
    atexit.register(server.kill)  # where something fails
    while (line := server.stdout.readline()) != "ready\n":
        if not line:
            sys.exit("the server did not start: see " + beside + "/log")
    exports = subprocess.check_output([binary, "env", "--data", directory], text=True)
    shell = subprocess.check_output(["sh", "-c", 'eval "$1" && env -0', "sh", exports], text=True)
    os.environ.update(entry.split("=", 1) for entry in shell.split("\0") if entry)
    return server


def stop(server):
    server.terminate()
    if server.wait(30) != 0:
        sys.exit("the server did not stop well")


server = serve("--greylisting=true", "--trusted-proxies=127.0.0.2", "--outbound-networks=127.0.0.0/8", "--limit-daily-user-external=1000")
os.environ["AWS_DATA_PATH"] = os.path.join(os.path.dirname(__file__), "../../docs/models")

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

# All that came later is in an organisation of its own, which "old" and "gone" don't meet.
own = support.client("pennypost")
sends = organization("sends")


def call(operation, **kwargs):
    out = getattr(own if hasattr(own, operation) else api, operation)(OrganizationId=sends, **kwargs)
    del out["ResponseMetadata"]
    return out


call("register_mail_domain", DomainName="sends.example")
verb("domain", "verify", "sends.example", "--organization", sends)
users = {}
for name in ("cyd", "dan", "eve", "archive"):
    users[name] = call("create_user", Name=name, DisplayName=name.title(), Password=PASSWORD)["UserId"]
    call("register_to_work_mail", EntityId=users[name], Email=f"{name}@sends.example")
far = call("create_user", Name="far", DisplayName="Far", Role="REMOTE_USER")["UserId"]
call("register_to_work_mail", EntityId=far, Email="far@far.example")
call("create_alias", EntityId=far, Alias="far@sends.example")
team = call("create_group", Name="team")["GroupId"]
call("register_to_work_mail", EntityId=team, Email="team@sends.example")
for member in (far, users["eve"]):
    call("associate_member_to_group", GroupId=team, MemberId=member)

call("put_access_control_rule", Name="elsewhere", Effect="DENY", Description="x", IpRanges=["203.0.113.0/24"], NotActions=["SMTP"], NotUserIds=[users["eve"]])
role = call("create_impersonation_role", Name="reader", Type="READ_ONLY", Description="x", Rules=[
    {"ImpersonationRuleId": "all", "Name": "all", "Effect": "ALLOW", "NotTargetUsers": [users["eve"]]}])["ImpersonationRoleId"]
call("put_retention_policy", Name="years", Description="x", FolderConfigurations=[
    {"Name": "DELETED_ITEMS", "Action": "PERMANENTLY_DELETE", "Period": 730}, {"Name": "INBOX", "Action": "NONE"}])
call("create_mobile_device_access_rule", Name="phones", Effect="ALLOW", DeviceTypes=["phone"], NotDeviceModels=["old"])
call("put_mobile_device_access_override", UserId=users["cyd"], DeviceId="device1", Effect="DENY", Description="lost")
call("create_availability_configuration", DomainName="ews.example", EwsProvider={
    "EwsEndpoint": "https://ews.example/EWS/Exchange.asmx", "EwsUsername": "u", "EwsPassword": "secret"})
call("create_availability_configuration", DomainName="lambda.example", LambdaProvider={"LambdaArn": FUNCTION})
call("put_email_monitoring_configuration", LogGroupArn=LOG_GROUP)
call("put_inbound_dmarc_settings", Enforced=True)
application = api.create_identity_center_application(Name="mail", InstanceArn=INSTANCE)["ApplicationArn"]
call("put_identity_provider_configuration", AuthenticationMode="IDENTITY_PROVIDER_AND_DIRECTORY",
     IdentityCenterConfiguration={"InstanceArn": INSTANCE, "ApplicationArn": application},
     PersonalAccessTokenConfiguration={"Status": "ACTIVE", "LifetimeInDays": 90})

call("create_smtp_gateway", Name="relay", Host="127.0.0.1", Port=1, Username="u", Password="secret")
call("create_outbound_mail_flow_rule", Name="by relay", Action="ROUTE_TO_SMTP_GATEWAY", SenderPatterns=["*"], RecipientPatterns=["relayed.example"],
     SmtpGatewayName="relay")
call("create_inbound_mail_flow_rule", Name="ask", Action="RUN_LAMBDA", SenderPatterns=["asked.example"], RecipientPatterns=["*"], Lambda={
    "LambdaArn": FUNCTION, "InvocationType": "SYNCHRONOUS", "FallbackAction": "DROP", "TimeoutMinutes": 240})
call("create_inbound_mail_flow_rule", Name="junk", Action="MOVE_TO_JUNK", SenderPatterns=["ads.example"], RecipientPatterns=["*"])
call("set_journaling_rules", Enabled=True, JournalingAddress="archive@sends.example", ReportAddress="eve@sends.example")
call("put_automatic_reply", EntityId=users["dan"], State="ENABLED", InternalReply="Away.", ExternalReply="Away.", ExternalAudience="ALL")
with mock.patch.dict(os.environ, SSL_CERT_FILE=os.environ["PENNYPOST_CA_FILE"]):
    sieve = managesieve.MANAGESIEVE(*support.address_of("managesieve"), use_tls=True, timeout=30)
sieve.login("", "eve@sends.example", PASSWORD)
assert sieve.putscript("rules", 'require ["fileinto", "mailbox", "vacation"]; vacation "Not here."; '
                       'if header :contains "subject" "work" { fileinto :create "Work"; }') == "OK"
assert sieve.setactive("rules") == "OK"
sieve.sock.sslobj.close()

LARGE = "A line of a large letter.\r\n" * 20_000  # lies in blobs


def submit(sender, to, subject, body="Hello\r\n"):
    with smtplib.SMTP_SSL(*support.address_of("submissions"), context=support.tls()) as smtp:
        smtp.login(sender, PASSWORD)
        smtp.sendmail(sender, [to], f"From: {sender}\r\nTo: {to}\r\nSubject: {subject}\r\n\r\n{body}")


def deliver(sender, to, subject, text="\r\nHello\r\n", client="127.0.0.1"):
    """Hands a message in as another server; from an address of another network by the PROXY protocol."""
    smtp = smtplib.SMTP()
    if client != "127.0.0.1":
        smtp.sock = socket.create_connection(support.address_of("smtp"), source_address=("127.0.0.2", 0))
        smtp.sock.sendall(f"PROXY TCP4 {client} 192.0.2.1 4000 25\r\n".encode())
        smtp.getreply()
    else:
        smtp.connect(*support.address_of("smtp"))
    smtp.ehlo("mail.far.example")
    try:
        smtp.sendmail(sender, [to], f"From: {sender}\r\nTo: {to}\r\nSubject: {subject}\r\n{text}")
    finally:
        smtp.close()


def attempted(recipient):
    return [m for m in call("list_queued_messages")["Messages"] if m["Recipient"] == recipient and m.get("Attempts", 0) > 0]


submit("cyd@sends.example", "dan@sends.example", "inside")
submit("cyd@sends.example", "eve@sends.example", "about work", LARGE)
submit("cyd@sends.example", "friend@far.example", "waits")
submit("cyd@sends.example", "friend@far.example", "waits, and is large", LARGE)
submit("cyd@sends.example", "held@far.example", "is held")
call("hold_queued_messages", Filters={"Recipient": "held@far.example"})
submit("cyd@sends.example", "friend@relayed.example", "by a gateway")
deliver("x@far.example", "team@sends.example", "passed on")
deliver("x@far.example", "dan@sends.example", "from far")
deliver("x@asked.example", "cyd@sends.example", "asks")
deliver("x@asked.example", "cyd@sends.example", "asks, and is large", "\r\n" + LARGE)
deliver("x@ads.example", "cyd@sends.example", "buy this", "\r\nBargains, viagra and lottery tickets\r\n")
try:
    deliver("x@strange.example", "cyd@sends.example", "greylisted", client="192.0.2.9")
    sys.exit("a stranger is not put off")
except smtplib.SMTPRecipientsRefused:
    pass
report = """<?xml version="1.0"?><feedback xmlns="urn:ietf:params:xml:ns:dmarc-2.0"><version>1.0</version>
<report_metadata><org_name>Far</org_name><email>dmarc@far.example</email><report_id>1</report_id>
<date_range><begin>1795478400</begin><end>1795564799</end></date_range></report_metadata>
<policy_published><domain>sends.example</domain><p>reject</p></policy_published>
<record><row><source_ip>192.0.2.1</source_ip><count>7</count><policy_evaluated><disposition>reject</disposition></policy_evaluated></row>
<identifiers><header_from>sends.example</header_from></identifiers><auth_results/></record></feedback>"""
deliver("x@far.example", "dmarc-reports@sends.example", "Report Domain: sends.example",
        "MIME-Version: 1.0\r\nContent-Type: application/gzip; name=r.xml.gz\r\nContent-Transfer-Encoding: base64\r\n\r\n"
        + base64.encodebytes(gzip.compress(report.encode())).decode().replace("\n", "\r\n"))

with imaplib.IMAP4_SSL(*support.address_of("imaps"), ssl_context=support.tls()) as imap:
    imap.login("dan@sends.example", PASSWORD)
    support.wait_for(lambda: int(imap.select("INBOX")[1][0]) == 2)
    imap.uid("MOVE", "2", '"Junk E-mail"')  # what the spam filter learns from
    imap.append("INBOX", "(keyword)", None, b"Subject: comes and goes\r\n\r\nx\r\n")
    imap.store("2", "+FLAGS", r"(\Deleted)")
    imap.expunge()
    imap.subscribe("Not/there")
# Mail of another server, which is this one.
accounts = write("accounts.csv", f"address,user,password\narchive@sends.example,ann@old.awsapps.com,{PASSWORD}\n")
verb("import", "imap", "--organization", sends, "--server", "localhost:%d" % support.address_of("imaps")[1], "--accounts", accounts,
     "--ca-file", os.environ["PENNYPOST_CA_FILE"])
job = call("start_mailbox_export_job", ClientToken="t", EntityId=users["eve"], RoleArn="arn:aws:iam::111122223333:role/r",
           KmsKeyArn="arn:aws:kms:us-east-1:111122223333:key/k", S3BucketName="archive", S3Prefix="p")["JobId"]
support.wait_for(lambda: call("describe_mailbox_export_job", JobId=job)["State"] == "COMPLETED")
for recipient in ("friend@far.example", "friend@relayed.example", "cyd@sends.example"):
    support.wait_for(lambda: attempted(recipient))

# What the API says of it, which must not change, but for what time changes.
said = []


def note(operation, **kwargs):
    client = own if hasattr(own, operation) else api
    said.append({"Operation": client.meta.method_to_api_mapping[operation], "In": {"OrganizationId": sends, **kwargs}, "Out": call(operation, **kwargs)})


for client in (api, own):
    for operation, name in client.meta.method_to_api_mapping.items():
        takes = client.meta.service_model.operation_model(name).input_shape
        if operation.startswith(("describe_", "list_", "get_")) and takes and takes.required_members == ["OrganizationId"] \
                and name not in ("DescribeQueue", "ListQueuedMessages", "ListMailboxExportJobs", "ListMailReports"):
            note(operation)
for direction, names in {"inbound": ("ask", "junk"), "outbound": ("by relay",)}.items():
    for name in names:
        note(f"describe_{direction}_mail_flow_rule", Name=name)
note("describe_smtp_gateway", Name="relay")
note("get_impersonation_role", ImpersonationRoleId=role)
note("get_automatic_reply", EntityId=users["dan"])
for user in users.values():
    note("describe_user", UserId=user)
    note("list_aliases", EntityId=user)
note("describe_entity", Email="far@far.example")
note("get_access_control_effect", IpAddress="203.0.113.1", Action="IMAP", UserId=users["cyd"])
note("get_mobile_device_access_override", UserId=users["cyd"], DeviceId="device1")
records = call("get_mail_domain", DomainName="sends.example")["Records"]
stop(server)

# Certificates are had by a server of its own: who connects by address is shown one that only its CA vouches for.
ports = [socket.create_server(("127.0.0.1", 0)) for _ in range(2)]
listen, management = (f"127.0.0.1:{p.getsockname()[1]}" for p in ports)
for p in ports:
    p.close()
subprocess.check_call(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", beside + "/ca.key", "-out", beside + "/ca.pem", "-days", "2",
                       "-subj", "/CN=pebble", "-addext", "subjectAltName=IP:127.0.0.1"], stderr=subprocess.DEVNULL)
pebble = subprocess.Popen(
    [os.path.join(os.path.dirname(__file__), "../../.cache/pebble"), "-config", write("pebble.json", json.dumps({"pebble": {
        "listenAddress": listen, "managementListenAddress": management, "certificate": beside + "/ca.pem", "privateKey": beside + "/ca.key",
        "httpPort": 1, "tlsPort": 1, "profiles": {"default": {"description": "-", "validityPeriod": 20 * 365 * 86400}}}}))],
    env=os.environ | {"PEBBLE_VA_ALWAYS_VALID": "1", "PEBBLE_VA_NOSLEEP": "1"}, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
try:
    trust = support.ssl.create_default_context(cafile=beside + "/ca.pem")

    def fetched():
        try:
            return urllib.request.urlopen(f"https://{management}/roots/0", context=trust).read().decode()
        except urllib.error.URLError:
            return None

    root = support.wait_for(fetched)
    server = serve("--acme=mail.pennypost.example", "--acme-accept-terms=true", f"--acme-directory=https://{listen}/dir", f"--acme-ca-file={beside}/ca.pem",
                   "--acme-domains=false")
    support.wait_for(lambda: subprocess.run([binary, "certificate", "list", *common], stdout=subprocess.DEVNULL).returncode == 0)
    stop(server)
finally:
    pebble.kill()
    pebble.wait()

print(json.dumps({
    "org": old, "gone": gone, "ann": ann, "bob": bob, "sends": sends, "role": role, "root": root, "said": said,
    "dkim": {r["Hostname"]: r["Value"] for r in records if "_domainkey" in r["Hostname"]},
}, default=lambda at: at.timestamp()))
