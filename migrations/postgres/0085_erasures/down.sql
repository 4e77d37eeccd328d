DROP INDEX cf_invitations_invited_by_idx;
CREATE INDEX cf_invitations_invited_by_idx ON cf_invitations (invited_by);
DROP TABLE cf_answer_persons;
DROP TABLE cf_erasures;
DROP INDEX cf_events_address_idx;
ALTER TABLE cf_events DROP COLUMN address;
