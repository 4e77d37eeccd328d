-- A token's text carries the token's id, which finds it; its hash only proves it. No index in random order is left to be written by a
-- rotation. That a token has one successor is held by its revision, which the trade compares.
ALTER TABLE cf_refresh_tokens DROP CONSTRAINT cf_refresh_tokens_token_hash_key;
ALTER TABLE cf_refresh_tokens DROP CONSTRAINT cf_refresh_tokens_parent_id_key;
