// openid-client against a gateway that it discovers: every grant, bound and not, and what follows.
import * as client from "openid-client";
import { readFileSync } from "node:fs";

const told = JSON.parse(readFileSync(0));
const insecure = { algorithm: "oauth2", execute: [client.allowInsecureRequests] };
const EXCHANGE = "urn:ietf:params:oauth:grant-type:token-exchange";
const ACCESS_TOKEN = "urn:ietf:params:oauth:token-type:access_token";

const discover = (id, auth) =>
  client.discovery(new URL(told.url), id, undefined, auth, insecure);

async function keyOf(jwk, algorithm) {
  return crypto.subtle.importKey("jwk", jwk, algorithm, false, ["sign"]);
}

async function called(config, token, DPoP) {
  const url = new URL("/v2/models/digits", told.url);
  const answer = await client.fetchProtectedResource(
    config, token, url, "GET", undefined, undefined, DPoP ? { DPoP } : undefined);
  return answer.status;
}

const said = {};

const secret = await discover(told.secret.id, client.ClientSecretBasic(told.secret.secret));
const plain = await client.clientCredentialsGrant(secret, { scope: "infer" });
said.secret = [plain.token_type, plain.scope, await called(secret, plain.access_token)];

for (const [name, algorithm] of [
  ["rs256", { name: "RSASSA-PKCS1-v1_5", hash: "SHA-256" }],
  ["ps256", { name: "RSA-PSS", hash: "SHA-256" }],
]) {
  const signing = { key: await keyOf(told.machine.jwk, algorithm) };
  const config = await discover(told.machine.id, client.PrivateKeyJwt(signing));
  const DPoP = client.getDPoPHandle(config, await client.randomDPoPKeyPair("ES256"));
  const token = await client.clientCredentialsGrant(config, {}, { DPoP });
  said[name] = [token.token_type, await called(config, token.access_token, DPoP)];
}

const delegate = await discover(told.delegate.id, client.ClientSecretPost(told.delegate.secret));
const exchanged = await client.genericGrantRequest(delegate, EXCHANGE, {
  subject_token: plain.access_token, subject_token_type: ACCESS_TOKEN, scope: "infer" });
said.exchange = [exchanged.issued_token_type, await called(delegate, exchanged.access_token)];

const good = await client.tokenIntrospection(delegate, exchanged.access_token);
said.introspected = [good.active, good.sub, good.client_id, good.act];
await client.tokenRevocation(secret, plain.access_token);
said.afterwards = (await client.tokenIntrospection(delegate, exchanged.access_token)).active;

console.log(JSON.stringify(said));
