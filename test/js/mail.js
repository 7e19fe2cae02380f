// Sends by nodemailer and reads by imapflow, as two users of the organisation "node".
import assert from "node:assert/strict";
import { ImapFlow } from "imapflow";
import nodemailer from "nodemailer";

const pass = "examplePa$$w0rd";
const [ann, bob] = ["ann@node.awsapps.com", "bob@node.awsapps.com"];

function at(listener) {
  const address = process.env[`PENNYPOST_${listener}_ADDR`];
  return { host: address.slice(0, address.lastIndexOf(":")), port: Number(address.slice(address.lastIndexOf(":") + 1)) };
}

async function send(listener, secure, subject, more = {}) {
  const transport = nodemailer.createTransport({ ...at(listener), secure, requireTLS: true, auth: { user: ann, pass } });
  const result = await transport.sendMail({ from: `Änn <${ann}>`, to: bob, subject, text: "plain", html: "<p>hyper</p>", ...more });
  assert.deepEqual(result.accepted, [bob]);
  transport.close();
}

const client = new ImapFlow({ ...at("IMAPS"), secure: true, auth: { user: bob, pass }, logger: false, qresync: true });
await client.connect();
let lock = await client.getMailboxLock("INBOX");

// Mail that arrives is announced while the client idles.
const arrived = new Promise((resolve) => client.once("exists", resolve));
const idling = client.idle();
await send("SUBMISSIONS", true, "Grüße 1", { attachments: [{ filename: "naïve.bin", content: Buffer.alloc(300_000, 7) }] });
assert.equal((await arrived).count, 1);
await send("SUBMISSION", false, "two", { dsn: { id: "two words", return: "headers", notify: ["failure", "delay"], recipient: bob } });
await client.noop(); // ends the idling
await idling;

const all = await client.fetchAll("1:*", { uid: true, flags: true, envelope: true, bodyStructure: true, size: true, internalDate: true, threadId: true });
assert.deepEqual(all.map((m) => m.envelope.subject), ["Grüße 1", "two"]);
assert.equal(all[0].envelope.from[0].name, "Änn");
assert.equal(all[0].bodyStructure.type, "multipart/mixed");
const { meta, content } = await client.download("1", "2");
assert.equal(meta.filename, "naïve.bin");
let bytes = 0;
for await (const chunk of content) bytes += chunk.length;
assert.equal(bytes, 300_000);

assert.deepEqual(await client.search({ subject: "grüße" }), [1]);
assert.ok(await client.messageFlagsAdd("1", ["\\Flagged", "$Important"]));
assert.deepEqual(await client.search({ keyword: "$Important", flagged: true }), [1]);
const copied = await client.messageCopy("1", "Drafts");
assert.equal(copied.uidMap.size, 1);
const moved = await client.messageMove("2", "Junk E-mail");
assert.equal(moved.uidMap.size, 1);
assert.equal(client.mailbox.exists, 1);
assert.ok(await client.messageDelete("1"));
assert.equal((await client.status("INBOX", { messages: true })).messages, 0);
lock.release();

// Folders, by their special use and by names that need encoding.
const folders = await client.list();
for (const use of ["\\Inbox", "\\Drafts", "\\Sent", "\\Trash", "\\Junk"]) assert.ok(folders.some((f) => f.specialUse === use), use);
await client.mailboxCreate(["Projekte", "Straße & Weg"]);
await client.mailboxRename(["Projekte", "Straße & Weg"], ["Projekte", "Ende"]);
assert.ok((await client.list()).some((f) => f.path === "Projekte/Ende"));
const appended = await client.append("Projekte/Ende", "Subject: appended\r\n\r\nbody\r\n", ["\\Seen"], new Date("2020-02-02T02:02:02Z"));
lock = await client.getMailboxLock("Projekte/Ende");
const one = await client.fetchOne(String(appended.uid), { internalDate: true, flags: true, source: true }, { uid: true });
assert.equal(one.internalDate.toISOString(), "2020-02-02T02:02:02.000Z");
assert.equal(one.source.toString(), "Subject: appended\r\n\r\nbody\r\n");
lock.release();
const quota = await client.getQuota("INBOX");
assert.ok(quota.storage.limit > 0);
await client.mailboxDelete("Projekte/Ende");
await client.logout();
console.log("all is well");
