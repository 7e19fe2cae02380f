// An OpenID Connect provider for test/e2e: oidc-provider, with its own pages for signing in, where any password does. It prints
// its issuer, reads a line {clientId, clientSecret, redirectUri, accounts: {login: claims}}, prints "ready", and serves until its
// input ends.
import { createServer } from "node:http";
import { once } from "node:events";
import { createInterface } from "node:readline";
import Provider from "oidc-provider";

let handle = (_, response) => response.writeHead(503).end();
const server = createServer((request, response) => handle(request, response));
server.listen(0, "127.0.0.1");
await once(server, "listening");
const issuer = `http://127.0.0.1:${server.address().port}`;
console.log(issuer);

for await (const line of createInterface({ input: process.stdin })) {
  const { clientId, clientSecret, redirectUri, accounts } = JSON.parse(line);
  const provider = new Provider(issuer, {
    clients: [{ client_id: clientId, client_secret: clientSecret, redirect_uris: [redirectUri], response_types: ["code"], grant_types: ["authorization_code"] }],
    pkce: { required: () => true },
    claims: { openid: ["sub"], profile: ["preferred_username"], email: ["email", "email_verified"] },
    findAccount: (_, id) => ({ accountId: id, claims: () => ({ sub: id, ...accounts[id] }) }),
    cookies: { keys: ["of the tests"] },
  });
  handle = provider.callback();
  console.log("ready");
}
server.close();
server.closeAllConnections();
