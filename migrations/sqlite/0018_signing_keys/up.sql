-- The keys that sign access tokens. There are only a few.
CREATE TABLE cf_signing_keys (
    id blob NOT NULL CONSTRAINT cf_signing_keys_pkey PRIMARY KEY,
    algorithm text NOT NULL CONSTRAINT cf_signing_keys_algorithm_check CHECK (algorithm IN ('EdDSA', 'ES256')),
    public_key blob NOT NULL,
    -- PKCS#8, sealed.
    private_key blob NOT NULL,
    -- Until then, verifiers can already fetch the key.
    signs_from integer NOT NULL,
    -- Set when a successor is created: when the last token of this key has expired.
    verifies_until integer,
    created_at integer NOT NULL
) STRICT;
