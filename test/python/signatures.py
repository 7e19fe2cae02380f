"""dkimpy and pyspf as judges of DKIM, ARC and SPF, for test/harness (Judge): reads one JSON of cases, and prints the answers."""

import base64
import json
import sys

import dkim
import dns.resolver
import spf

resolver = dns.resolver.Resolver(configure=False)
resolver.lifetime = 5


def main():
    asked = json.load(sys.stdin)
    host, _, port = asked["dns"].rpartition(":")
    resolver.nameservers, resolver.port = [host], int(port)
    spf.DNSLookup = look_up
    json.dump([DO[case["do"]](case, base64.b64decode(case["message"])) for case in asked["cases"]], sys.stdout)


def answers(name, kind):
    try:
        return resolver.resolve(name, kind, search=False)
    except (dns.resolver.NXDOMAIN, dns.resolver.NoAnswer):
        return []


def txt(name, timeout=5):
    """The first record; dkimpy takes no more."""
    for record in answers(name.decode(), "TXT"):
        return b"".join(record.strings)
    return None


def look_up(name, kind, tcpfallback=True, timeout=5):
    value = {
        "A": lambda r: r.address,
        "AAAA": lambda r: r.address,
        "MX": lambda r: (r.preference, r.exchange.to_text(True)),
        "PTR": lambda r: r.target.to_text(True),
        "TXT": lambda r: list(r.strings),
    }.get(kind)
    try:
        return [((name, kind), value(r)) for r in answers(name, kind)] if value else []
    except dns.exception.DNSException as e:
        raise spf.TempError(f"DNS {e}")


def verify(case, message):
    signatures = []
    try:
        headers = dkim.DKIM(message).headers
    except dkim.MessageFormatError:  # it reads no header with a space before a colon
        headers = []
    for i, value in enumerate(v for n, v in headers if n.lower() == b"dkim-signature"):
        d = dkim.DKIM(message)
        try:
            result = {"result": "pass" if d.verify(idx=i, dnsfunc=txt) else "fail"}
        except (dkim.DKIMException, IndexError, ValueError) as e:  # the others are of an i= without @, and a signature of a wrong length
            result = {"result": "permerror", "reason": str(e)}
        except dns.exception.DNSException as e:
            result = {"result": "temperror", "reason": str(e)}
        tags = d.signature_fields if hasattr(d, "signature_fields") else {}
        signatures.append({"domain": tags.get(b"d", b"").decode(), "selector": tags.get(b"s", b"").decode(), **result})
    found = {"dkim": signatures}
    if headers:
        try:
            chain, _, reason = dkim.arc_verify(message, dnsfunc=txt)
            # None is a chain that ended with cv=fail.
            found["arc"] = {"result": (chain or b"fail").decode(), "reason": reason}
        except dns.exception.DNSException as e:
            found["arc"] = {"result": "temperror", "reason": str(e)}
    if "address" in case:
        result, reason = spf.check2(case["address"], case.get("sender", ""), case["hello"], querytime=0)
        found["spf"] = {"result": result, "reason": reason}
    return found


def private(case):
    """RSA keys as they are; of Ed25519 keys the seed, which ends their PKCS#8."""
    if case["algorithm"] == "rsa-sha256":
        return case["key"].encode()
    return base64.b64encode(base64.b64decode("".join(case["key"].splitlines()[1:-1]))[-32:])


def sign(case, message):
    field = dkim.DKIM(message).sign(
        case["selector"].encode(), case["domain"].encode(), private(case), signature_algorithm=case["algorithm"].encode(),
        canonicalize=tuple(c.encode() for c in case["canonicalization"].split("/")),
    )
    return {"message": base64.b64encode(field + message).decode()}


def seal(case, message):
    # dkimpy takes the results, and cv= with them, from a field of the message.
    server = case["results"].split(";")[0]
    found = f"Authentication-Results: {case['results']}; arc={case['cv']}\r\n".encode() + message
    fields = dkim.arc_sign(found, case["selector"].encode(), case["domain"].encode(), private(case), server.encode())
    return {"message": base64.b64encode(b"".join(fields) + message).decode()}


DO = {"verify": verify, "sign": sign, "seal": seal}

if __name__ == "__main__":
    main()
