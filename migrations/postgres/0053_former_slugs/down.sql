DROP TABLE cf_former_slugs;
