-- A token's text contains the token's id, which finds the row; the hash only proves the token. So a rotation writes to no index in
-- random order. The revision, which a rotation compares, ensures that a token has only one successor.
ALTER TABLE cf_refresh_tokens DROP CONSTRAINT cf_refresh_tokens_token_hash_key;
ALTER TABLE cf_refresh_tokens DROP CONSTRAINT cf_refresh_tokens_parent_id_key;
