"""dkimpy as a judge of signatures, for test/harness (Judge): reads one JSON of records and cases, and prints the answers."""

import base64
import json
import sys

import dkim


def main():
    asked = json.load(sys.stdin)
    records = asked["records"]

    def txt(name, timeout=5):
        found = records.get("TXT " + name.decode().rstrip("."))
        return found[0].encode() if found else None

    json.dump([DO[case["do"]](case, base64.b64decode(case["message"]), txt) for case in asked["cases"]], sys.stdout)


def verify(case, message, txt):
    signatures = []
    for i, value in enumerate(v for n, v in dkim.DKIM(message).headers if n.lower() == b"dkim-signature"):
        d = dkim.DKIM(message)
        try:
            result = {"result": "pass" if d.verify(idx=i, dnsfunc=txt) else "fail"}
        except dkim.DKIMException as e:
            result = {"result": "permerror", "reason": str(e)}
        tags = d.signature_fields if hasattr(d, "signature_fields") else {}
        signatures.append({"domain": tags.get(b"d", b"").decode(), "selector": tags.get(b"s", b"").decode(), **result})
    chain, _, reason = dkim.arc_verify(message, dnsfunc=txt)
    # None is a chain that ended with cv=fail.
    return {"dkim": signatures, "arc": {"result": (chain or b"fail").decode(), "reason": reason}}


def private(case):
    """RSA keys as they are; of Ed25519 keys the seed, which ends their PKCS#8."""
    if case["algorithm"] == "rsa-sha256":
        return case["key"].encode()
    return base64.b64encode(base64.b64decode("".join(case["key"].splitlines()[1:-1]))[-32:])


def sign(case, message, txt):
    field = dkim.DKIM(message).sign(
        case["selector"].encode(), case["domain"].encode(), private(case), signature_algorithm=case["algorithm"].encode(),
        canonicalize=tuple(c.encode() for c in case["canonicalization"].split("/")),
    )
    return {"message": base64.b64encode(field + message).decode()}


def seal(case, message, txt):
    # dkimpy takes the results, and cv= with them, from a field of the message.
    server = case["results"].split(";")[0]
    found = f"Authentication-Results: {case['results']}; arc={case['cv']}\r\n".encode() + message
    fields = dkim.arc_sign(found, case["selector"].encode(), case["domain"].encode(), private(case), server.encode())
    return {"message": base64.b64encode(b"".join(fields) + message).decode()}


DO = {"verify": verify, "sign": sign, "seal": seal}

if __name__ == "__main__":
    main()
