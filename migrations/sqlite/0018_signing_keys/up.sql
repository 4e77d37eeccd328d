-- The keys that access tokens are signed with, a handful.
CREATE TABLE cf_signing_keys (
    id blob NOT NULL CONSTRAINT cf_signing_keys_pkey PRIMARY KEY,
    algorithm text NOT NULL CONSTRAINT cf_signing_keys_algorithm_check CHECK (algorithm IN ('EdDSA', 'ES256')),
    public_key blob NOT NULL,
    -- PKCS#8, sealed.
    private_key blob NOT NULL,
    -- Before that, whoever verifies learns to know it.
    signs_from integer NOT NULL,
    -- Set when another key follows: the last token that it signs has expired then.
    verifies_until integer,
    created_at integer NOT NULL
) STRICT;
