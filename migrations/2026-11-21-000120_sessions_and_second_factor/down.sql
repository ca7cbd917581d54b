DROP TABLE recovery_codes;
DROP TABLE second_factors;
DROP INDEX sessions_unrevoked_by_user;
DROP INDEX sessions_by_user;
CREATE INDEX sessions_by_user ON sessions (user_id);
ALTER TABLE sessions DROP COLUMN last_active_at, DROP COLUMN is_new_device;
