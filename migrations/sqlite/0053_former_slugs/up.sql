-- Slugs that an organization had before, until another organization takes them. `revision` is the one that changed it.
CREATE TABLE cf_former_slugs (
    slug text NOT NULL CONSTRAINT cf_former_slugs_pkey PRIMARY KEY,
    organization_id blob NOT NULL
        CONSTRAINT cf_former_slugs_organization_id_fkey REFERENCES cf_organizations (id) ON DELETE CASCADE,
    revision integer NOT NULL
) STRICT;

-- The oldest of an organization, and its erasure.
CREATE INDEX cf_former_slugs_organization_idx ON cf_former_slugs (organization_id, revision);
