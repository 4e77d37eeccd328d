"""Makes the part of the corpus that Python libraries hash: prints lines of `system<TAB>made by<TAB>recipe<TAB>hash`."""
import base64, hashlib, hmac, json, os, struct, warnings
warnings.filterwarnings("ignore")
PASSWORD = "Tr0ub4dor&3 zoo"
def out(system, by, text, recipe=""):
    print("\t".join([system, by, recipe, text]))

import passlib.hash as H
for name, kw in [("pbkdf2_sha1", {}), ("pbkdf2_sha256", {}), ("pbkdf2_sha512", {}), ("scrypt", {}), ("sha256_crypt", {}), ("sha512_crypt", {}), ("md5_crypt", {}), ("apr_md5_crypt", {}),
                 ("phpass", {}), ("bcrypt_sha256", {}), ("bcrypt", {}), ("ldap_salted_sha1", {}), ("ldap_salted_md5", {}), ("ldap_sha1", {}), ("ldap_md5", {}), ("ldap_salted_sha256", {}), ("ldap_salted_sha512", {}),
                 ("atlassian_pbkdf2_sha1", {}), ("grub_pbkdf2_sha512", {}), ("django_salted_md5", {}), ("django_salted_sha1", {}), ("django_pbkdf2_sha256", {}), ("django_bcrypt_sha256", {}),
                 ("mysql41", {}), ("ldap_pbkdf2_sha256", {}), ("ldap_pbkdf2_sha512", {}), ("ldap_pbkdf2_sha1", {}), ("ldap_sha512_crypt", {}), ("ldap_md5_crypt", {}), ("ldap_bcrypt", {}), ("argon2", {})]:
    try:
        h = getattr(H, name)
        out("passlib " + name, f"passlib 1.7.4: {name}.hash(password)", h.hash(PASSWORD))
    except Exception as e:
        import sys; print(name, e, file=sys.stderr)
out("passlib bcrypt_sha256 v1", "passlib 1.7.4: bcrypt_sha256.using(version=1).hash(password)", H.bcrypt_sha256.using(version=1).hash(PASSWORD))
out("phpBB3", "passlib 1.7.4: phpass.using(ident='H').hash(password)", H.phpass.using(ident="H").hash(PASSWORD))

import django
from django.conf import settings
settings.configure(PASSWORD_HASHERS=["django.contrib.auth.hashers." + n for n in ["PBKDF2PasswordHasher", "PBKDF2SHA1PasswordHasher", "Argon2PasswordHasher", "BCryptSHA256PasswordHasher", "BCryptPasswordHasher", "ScryptPasswordHasher", "MD5PasswordHasher"]])
django.setup()
from django.contrib.auth.hashers import make_password
for n in ["pbkdf2_sha256", "pbkdf2_sha1", "argon2", "bcrypt_sha256", "bcrypt", "scrypt", "md5"]:
    out("Django " + n, f"Django {django.get_version()}: make_password(password, hasher='{n}')", make_password(PASSWORD, hasher=n))

from werkzeug.security import generate_password_hash
import importlib.metadata as m
for method in ["scrypt", "pbkdf2:sha256", "pbkdf2:sha1", "pbkdf2:sha512"]:
    out("werkzeug " + method, f"werkzeug {m.version('werkzeug')}: generate_password_hash(password, '{method}')", generate_password_hash(PASSWORD, method))

import argon2
out("argon2-cffi", f"argon2-cffi {m.version('argon2-cffi')}: PasswordHasher().hash(password)", argon2.PasswordHasher().hash(PASSWORD))
out("argon2-cffi i", "argon2-cffi: PasswordHasher(type=Type.I)", argon2.PasswordHasher(type=argon2.Type.I).hash(PASSWORD))
out("argon2-cffi d", "argon2-cffi: PasswordHasher(type=Type.D)", argon2.PasswordHasher(type=argon2.Type.D).hash(PASSWORD))
out("argon2-cffi 12 bytes", "argon2-cffi: PasswordHasher(hash_len=12)", argon2.PasswordHasher(hash_len=12).hash(PASSWORD))
import nacl.pwhash as N
out("libsodium argon2id interactive", "PyNaCl: pwhash.argon2id.str(password, opslimit=OPSLIMIT_INTERACTIVE, memlimit=MEMLIMIT_INTERACTIVE)", N.argon2id.str(PASSWORD.encode(), opslimit=N.argon2id.OPSLIMIT_INTERACTIVE, memlimit=N.argon2id.MEMLIMIT_INTERACTIVE).decode())
out("libsodium scrypt $7$", "PyNaCl: pwhash.scrypt.str(password, interactive)", N.scrypt.str(PASSWORD.encode(), opslimit=N.scrypt.OPSLIMIT_INTERACTIVE, memlimit=N.scrypt.MEMLIMIT_INTERACTIVE).decode())
from pwdlib import PasswordHash
out("FastAPI pwdlib", f"pwdlib {m.version('pwdlib')}: PasswordHash.recommended().hash(password)", PasswordHash.recommended().hash(PASSWORD))
import bcrypt
for c in (4, 10, 12):
    out(f"bcrypt {c}", f"bcrypt {m.version('bcrypt')}: hashpw(password, gensalt({c}))", bcrypt.hashpw(PASSWORD.encode(), bcrypt.gensalt(c)).decode())
b12 = bcrypt.hashpw(PASSWORD.encode(), bcrypt.gensalt(6)).decode()
a2 = argon2.PasswordHasher().hash(PASSWORD)
# Documented recipes over Python's own primitives.
P = PASSWORD.encode()
b64 = lambda b: base64.b64encode(b).decode()
R = "hashlib, by the system's documentation"
out("Spring bcrypt", R, "{bcrypt}" + b12.replace("$2b$", "$2a$"))
out("Spring argon2", R, "{argon2@SpringSecurity_v5_8}" + a2)
s = os.urandom(16); out("Spring pbkdf2 5.8", R, "{pbkdf2@SpringSecurity_v5_8}" + (s + hashlib.pbkdf2_hmac("sha256", P, s, 310000, 32)).hex())
s = os.urandom(8); out("Spring pbkdf2 5.5", R, "{pbkdf2}" + (s + hashlib.pbkdf2_hmac("sha1", P, s, 185000, 32)).hex())
s = os.urandom(16); out("Spring scrypt", R, "{scrypt@SpringSecurity_v5_8}$100801$" + b64(s) + "$" + b64(hashlib.scrypt(P, salt=s, n=65536, r=8, p=1, dklen=32, maxmem=2**28)))
out("Spring SHA-256", R, "{SHA-256}{c2FsdHk}" + hashlib.sha256(P + b"{c2FsdHk}").hexdigest())
out("Spring MD5", R, "{MD5}{c2FsdHk}" + hashlib.md5(P + b"{c2FsdHk}").hexdigest())
def keycloak(alg, it, s, v, more={}):
    return json.dumps({"type": "password", "secretData": json.dumps({"value": b64(v), "salt": b64(s), "additionalParameters": {}}), "credentialData": json.dumps({"hashIterations": it, "algorithm": alg, "additionalParameters": more})})
s = os.urandom(16)
out("Keycloak pbkdf2-sha256", R, keycloak("pbkdf2-sha256", 27500, s, hashlib.pbkdf2_hmac("sha256", P, s, 27500, 64)))
out("Keycloak pbkdf2-sha512", R, keycloak("pbkdf2-sha512", 210000, s, hashlib.pbkdf2_hmac("sha512", P, s, 210000, 64)))
from argon2.low_level import hash_secret_raw, Type
out("Keycloak argon2", R, keycloak("argon2", 5, s, hash_secret_raw(P, s, 5, 7168, 1, 32, Type.ID), {"hashLength": ["32"], "memory": ["7168"], "type": ["id"], "version": ["1.3"], "parallelism": ["1"]}))
out("ASP.NET Identity 2", R, b64(b"\0" + s + hashlib.pbkdf2_hmac("sha1", P, s, 1000, 32)))
out("ASP.NET Identity 3", R, b64(b"\1" + struct.pack(">III", 1, 10000, 16) + s + hashlib.pbkdf2_hmac("sha256", P, s, 10000, 32)))
out("ASP.NET Identity 3 SHA-512", R, b64(b"\1" + struct.pack(">III", 2, 100000, 16) + s + hashlib.pbkdf2_hmac("sha512", P, s, 100000, 32)))
salt = os.urandom(16).hex()
out("passport-local-mongoose", R, salt + ":" + hashlib.pbkdf2_hmac("sha256", P, salt.encode(), 25000, 512).hex())
out("Node crypto.scrypt", R, hashlib.scrypt(P, salt=salt.encode(), n=16384, r=8, p=1, dklen=64).hex() + "." + salt)
out("Ory Kratos scrypt", R, "$scrypt$ln=16384,r=8,p=1$" + b64(s) + "$" + b64(hashlib.scrypt(P, salt=s, n=16384, r=8, p=1, dklen=32)))
out("Ory Kratos pbkdf2", R, "$pbkdf2-sha256$i=100000,l=32$" + b64(s).rstrip("=") + "$" + b64(hashlib.pbkdf2_hmac("sha256", P, s, 100000, 32)).rstrip("="))
out("Mattermost 11", R, "$pbkdf2$f=SHA256,w=600000,l=32$" + b64(s).rstrip("=") + "$" + b64(hashlib.pbkdf2_hmac("sha256", P, s, 600000, 32)).rstrip("="))
out("Nextcloud", R, "3|" + a2); out("Nextcloud bcrypt", R, "1|" + b12.replace("$2b$", "$2y$"))
s64 = os.urandom(64)
out("389 Directory Server", R, "{PBKDF2_SHA256}" + b64(struct.pack(">I", 30000) + s64 + hashlib.pbkdf2_hmac("sha256", P, s64, 30000, 256)))
out("389 Directory Server 1.4", R, "{PBKDF2-SHA512}" + b64(struct.pack(">I", 10000) + s64 + hashlib.pbkdf2_hmac("sha512", P, s64, 10000, 64)))
out("Gitea pbkdf2", R, "pbkdf2$50000$50$" + s.hex() + "$" + hashlib.pbkdf2_hmac("sha256", P, s, 50000, 50).hex())
out("Discourse", R, "$pbkdf2-sha256$i=64000,l=32$" + b64(salt.encode()).rstrip("=") + "$" + b64(hashlib.pbkdf2_hmac("sha256", P, salt.encode(), 64000, 32)).rstrip("="))
out("MediaWiki pbkdf2", R, ":pbkdf2:sha512:30000:64:" + b64(s) + ":" + b64(hashlib.pbkdf2_hmac("sha512", P, s, 30000, 64)))
out("MediaWiki B", R, ":B:1a2b3c4d:" + hashlib.md5(b"1a2b3c4d-" + hashlib.md5(P).hexdigest().encode()).hexdigest())
out("MediaWiki A", R, ":A:" + hashlib.md5(P).hexdigest())
m16 = "abcdefghijklmnop" + "qrstuvwxyz012345"
out("Magento 2.4", R, hash_secret_raw(P, m16[:16].encode(), 2, 65536, 1, 32, Type.ID).hex() + ":" + m16 + ":3_32_2_67108864")
out("Magento 2 v2", R, hash_secret_raw(P, m16[:16].encode(), 2, 65536, 1, 32, Type.ID).hex() + ":" + m16 + ":2")
out("Magento 2 v1", R, hashlib.sha256(m16.encode() + P).hexdigest() + ":" + m16 + ":1")
out("Magento 2 v0", R, hashlib.md5(m16.encode() + P).hexdigest() + ":" + m16 + ":0")
wp = "$wp" + bcrypt.hashpw(base64.b64encode(hmac.new(b"wp-sha384", P, hashlib.sha384).digest()), bcrypt.gensalt(10)).decode().replace("$2b$", "$2y$")
out("WordPress 6.8", R, wp)
out("Dovecot SHA512-CRYPT", R, "{SHA512-CRYPT}" + H.sha512_crypt.hash(PASSWORD)); out("Dovecot BLF-CRYPT", R, "{BLF-CRYPT}" + b12.replace("$2b$", "$2y$"))
out("OpenLDAP CRYPT bcrypt", R, "{CRYPT}" + b12); out("OpenLDAP ARGON2", R, "{ARGON2}" + a2)
out("werkzeug 0.x sha256", R, "sha256$saltsalt$" + hmac.new(b"saltsalt", P, hashlib.sha256).hexdigest())
# With a recipe.
out("Flask-Security", R, argon2.PasswordHasher().hash(base64.b64encode(hmac.new(b"salty", P, hashlib.sha512).digest())), "flask-security")
out("Devise with a pepper", R, bcrypt.hashpw(P + b"pepper", bcrypt.gensalt(5)).decode().replace("$2b$", "$2a$"), "devise")
out("Meteor", R, bcrypt.hashpw(hashlib.sha256(P).hexdigest().encode(), bcrypt.gensalt(10)).decode(), "meteor")
out("plain MD5", R, hashlib.md5(P).hexdigest(), "md5"); out("plain SHA-256", R, hashlib.sha256(P).hexdigest(), "sha256"); out("plain SHA-1", R, hashlib.sha1(P).hexdigest(), "sha1"); out("plain SHA-512", R, hashlib.sha512(P).hexdigest(), "sha512")
out("vBulletin", R, hashlib.md5(hashlib.md5(P).hexdigest().encode() + b"xyz").hexdigest() + ":xyz", "vbulletin")
out("Joomla 1.5", R, hashlib.md5(P + b"0123456789abcdef").hexdigest() + ":0123456789abcdef", "joomla")
out("Magento 1", R, hashlib.md5(b"ab" + P).hexdigest() + ":ab", "magento1")
out("PostgreSQL md5", R, hashlib.md5(P + b"ada").hexdigest() + ":ada", "joomla")
d = m2 = P + b"{salty}"; d = hashlib.sha512(m2).digest()
for _ in range(4999): d = hashlib.sha512(d + m2).digest()
out("FOSUserBundle", R, b64(d) + ":salty", "fosuser")
out("Oracle 11g", R, hashlib.sha1(P + b"0123456789").hexdigest() + ":0123456789", "sha1-salted")
