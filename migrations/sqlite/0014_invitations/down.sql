DROP TABLE cf_invitations;
