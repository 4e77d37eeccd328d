const PASSWORD = "Tr0ub4dor&3 zoo";
const out = (system, by, text, recipe = "") => console.log([system, by, recipe, text].join("\t"));
const attempt = async (name, make) => { try { await make(); } catch (error) { console.error(name, error.message); } };
import { createRequire } from "node:module";
const require = createRequire(import.meta.url);
const version = (name) => { try { return JSON.parse(require("node:fs").readFileSync(`node_modules/${name}/package.json`)).version } catch { return "" } };
await attempt("better-auth", async () => {
  const { hashPassword } = await import("better-auth/crypto");
  out("better-auth", `better-auth ${version("better-auth")}: hashPassword(password)`, await hashPassword(PASSWORD));
});
await attempt("lucia", async () => {
  const { Scrypt, LegacyScrypt } = await import("lucia");
  out("lucia 3 Scrypt", `lucia ${version("lucia")}: new Scrypt().hash(password)`, await new Scrypt().hash(PASSWORD));
  out("lucia 3 LegacyScrypt", `lucia ${version("lucia")}: new LegacyScrypt().hash(password)`, await new LegacyScrypt().hash(PASSWORD));
});
await attempt("oslo", async () => {
  const o = await import("oslo/password");
  out("oslo Argon2id", `oslo ${version("oslo")}: new Argon2id().hash(password)`, await new o.Argon2id().hash(PASSWORD));
  out("oslo Bcrypt", `oslo ${version("oslo")}: new Bcrypt().hash(password)`, await new o.Bcrypt().hash(PASSWORD));
  out("oslo Scrypt", `oslo ${version("oslo")}: new Scrypt().hash(password)`, await new o.Scrypt().hash(PASSWORD));
});
await attempt("bcryptjs", async () => { const b = (await import("bcryptjs")).default; out("bcryptjs", `bcryptjs ${version("bcryptjs")}: hash(password, 10)`, await b.hash(PASSWORD, 10)); });
await attempt("firebase", async () => {
  const { FirebaseScrypt } = require("firebase-scrypt");
  const signer = Buffer.from("0123456789012345678901234567890123456789012345678901234567890123").toString("base64"), sep = Buffer.from([7]).toString("base64");
  const f = new FirebaseScrypt({ memCost: 14, rounds: 8, saltSeparator: sep, signerKey: signer });
  const salt = Buffer.from("abcdefgh1234").toString("base64");
  const hash = await f.hash(PASSWORD, salt);
  out("Firebase with a recipe", `firebase-scrypt ${version("firebase-scrypt")}: hash(password, salt)`, `${hash}:${salt}`, "firebase");
  out("Supabase $fbscrypt$", `firebase-scrypt ${version("firebase-scrypt")}: hash(password, salt), joined as Supabase documents`, `$fbscrypt$v=1,n=14,r=8,p=1,ss=${sep},sk=${signer}$${salt}$${hash}`);
});
await attempt("drupal", async () => { const d = require("drupal-hash"); out("Drupal 7", `drupal-hash ${version("drupal-hash")}: hashPassword(password)`, d.hashPassword(PASSWORD)); });
await attempt("wordpress", async () => { const w = require("wordpress-hash-node"); out("WordPress", `wordpress-hash-node ${version("wordpress-hash-node")}: HashPassword(password)`, w.HashPassword(PASSWORD)); });
