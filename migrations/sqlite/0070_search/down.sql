DROP TABLE cf_search_postings;
DROP TABLE cf_search_members;
DROP TABLE cf_search_segments;
DROP TABLE cf_search_pending;
