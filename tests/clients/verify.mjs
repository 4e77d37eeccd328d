// Verifies access tokens as a service in JavaScript would: jose, and the keys over HTTP.
//
// Arguments: the address of the JWK set, the algorithm, the issuer, the audience. Standard input: a token a line. It prints for
// each `good <sub>` or `bad <code of the error>`.
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { pathToFileURL } from "node:url";

const require = createRequire(pathToFileURL(process.env.JOSE + "/"));
const { createRemoteJWKSet, jwtVerify } = require("jose");
const [url, algorithm, issuer, audience] = process.argv.slice(2);
const keys = createRemoteJWKSet(new URL(url), { cooldownDuration: 0 });
for (const token of readFileSync(0, "utf8").split("\n").filter(Boolean)) {
  try {
    const { payload } = await jwtVerify(token, keys, {
      algorithms: [algorithm],
      typ: "at+jwt",
      issuer,
      audience,
      requiredClaims: ["exp", "iat", "jti", "sub", "sid", "client_id"],
    });
    console.log("good", payload.sub);
  } catch (error) {
    console.log("bad", error.code);
  }
}
