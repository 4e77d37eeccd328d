"""Verifies access tokens as a service in Python would: PyJWT, and the keys over HTTP.

Arguments: the address of the JWK set, the algorithm, the issuer, the audience. Standard input: a token a line. It prints for each
`good <sub>` or `bad <class of the error>`.
"""

import sys

import jwt

url, algorithm, issuer, audience = sys.argv[1:]
keys = jwt.PyJWKClient(url)
for token in sys.stdin.read().split():
    try:
        key = keys.get_signing_key_from_jwt(token)
        claims = jwt.decode(
            token,
            key,
            algorithms=[algorithm],
            issuer=issuer,
            audience=audience,
            options={"require": ["exp", "iat", "jti", "sub", "sid", "client_id"]},
        )
        print("good", claims["sub"])
    except jwt.PyJWTError as error:
        print("bad", type(error).__name__)
