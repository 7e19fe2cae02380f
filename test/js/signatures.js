// mailauth as a judge of signatures, SPF and DMARC, for test/harness (Judge): reads one JSON of records and cases, and prints the answers.
import { text } from "node:stream/consumers";
import { authenticate, dkimSign, sealMessage } from "mailauth";

const { records, cases } = JSON.parse(await text(process.stdin));

const resolver = async (name, kind) => {
  const found = records[`${kind} ${name.toLowerCase().replace(/\.$/, "")}`];
  if (!found) throw Object.assign(new Error(`no ${kind} of ${name}`), { code: "ENOTFOUND" });
  switch (kind) {
    case "TXT":
      return found.map((text) => [text]);
    case "MX":
      return found.map((text) => ({ priority: Number(text.split(" ")[0]), exchange: text.split(" ")[1] }));
    default:
      return found;
  }
};

const outcome = (found) => (found ? { result: found.status.result, reason: found.status.comment || "", domain: found.domain || "" } : null);

const prepended = (fields, message) => ({ message: Buffer.concat([Buffer.from(fields), message]).toString("base64") });

const actions = {
  async verify(c, message) {
    const found = await authenticate(message, { ip: c.address, helo: c.hello, sender: c.sender, mta: "mx.example.com", disableBimi: true, resolver });
    return {
      dkim: found.dkim.results
        .filter((r) => r.signingDomain)
        .map((r) => ({ domain: r.signingDomain, selector: r.selector, result: r.status.result, reason: r.status.comment || "" })),
      arc: outcome(found.arc),
      spf: outcome(found.spf),
      dmarc: outcome(found.dmarc),
    };
  },
  async sign(c, message) {
    const { signatures, errors } = await dkimSign(message, {
      canonicalization: c.canonicalization,
      signatureData: [{ signingDomain: c.domain, selector: c.selector, privateKey: c.key, algorithm: c.algorithm }],
    });
    if (errors.length > 0) throw errors[0];
    return prepended(signatures, message);
  },
  async seal(c, message) {
    const seal = { signingDomain: c.domain, selector: c.selector, privateKey: c.key, algorithm: c.algorithm, authResults: c.results };
    const fields = await sealMessage(message, { ...seal, cv: c.cv });
    return prepended(fields, message);
  },
};

const answers = [];
for (const c of cases) answers.push(await actions[c.do](c, Buffer.from(c.message, "base64")));
console.log(JSON.stringify(answers));
