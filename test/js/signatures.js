// mailauth as a judge of signatures, SPF and DMARC, for test/harness (Judge): reads one JSON of cases, and prints the answers.
import { Resolver } from "node:dns/promises";
import { text } from "node:stream/consumers";
import { authenticate, dkimSign, sealMessage } from "mailauth";

const { dns, cases } = JSON.parse(await text(process.stdin));

const server = new Resolver({ tries: 2 });
server.setServers([dns]);
const resolver = (name, kind) => server.resolve(name, kind);

const outcome = (found) =>
  found ? { result: found.status.result, reason: found.status.comment || "", domain: found.domain || "", policy: found.policy || "" } : null;

const prepended = (fields, message) => ({ message: Buffer.concat([Buffer.from(fields), message]).toString("base64") });

const actions = {
  async verify(c, message) {
    const asked = { ip: c.address, helo: c.hello, sender: c.sender || "", mta: "mx.example.com", disableBimi: true, resolver };
    const found = await authenticate(message, { ...asked, strict: true });
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
