ALTER TABLE cf_refresh_tokens ADD CONSTRAINT cf_refresh_tokens_parent_id_key UNIQUE (parent_id);
ALTER TABLE cf_refresh_tokens ADD CONSTRAINT cf_refresh_tokens_token_hash_key UNIQUE (token_hash);
