DROP TABLE audit_log;
DROP FUNCTION audit_log_is_append_only;
ALTER TABLE sessions DROP COLUMN stage, DROP COLUMN address, DROP COLUMN device;
-- Accounts that never had a password get one that nothing matches.
UPDATE users SET password_hash = '' WHERE password_hash IS NULL;
ALTER TABLE users DROP COLUMN language, DROP COLUMN must_change_password, ALTER COLUMN password_hash SET NOT NULL;
