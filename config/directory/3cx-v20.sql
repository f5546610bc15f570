-- The e-mail address of each user of a 3CX V20 phone system, from its own PostgreSQL database. One row for each extension;
-- email is empty or NULL where the user has none.
--
-- A user's address stands with the mailbox. Disabled extensions are listed too: what they talked before is still theirs.
SELECT
    dn.value AS extension,
    voicemail.email AS email
FROM users
JOIN dn ON dn.iddn = users.fkidextension
LEFT JOIN voicemail ON voicemail.fkiduser = users.iduser
