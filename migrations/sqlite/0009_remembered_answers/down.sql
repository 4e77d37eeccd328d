DROP TABLE cf_remembered_answers;
