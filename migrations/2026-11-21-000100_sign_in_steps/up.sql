-- What a sign-in leads to, from where it came, and the trail of who did what.

ALTER TABLE users
    ADD COLUMN language text NOT NULL DEFAULT 'es' CHECK (language IN ('es', 'en')),
    ADD COLUMN must_change_password boolean NOT NULL DEFAULT false,
    ALTER COLUMN password_hash DROP NOT NULL;

ALTER TABLE sessions
    ADD COLUMN stage text NOT NULL DEFAULT 'full'
        CHECK (stage IN ('full', 'change_password', 'second_factor', 'enrol_second_factor')),
    ADD COLUMN address inet,
    ADD COLUMN device text;

-- No foreign keys: the trail outlives what it speaks of.
CREATE TABLE audit_log (
    id          uuid PRIMARY KEY,
    at          timestamptz NOT NULL,
    actor_id    uuid,
    actor_role  text,
    session_id  uuid,
    address     inet,
    action      text NOT NULL,
    subject_id  uuid,
    object_kind text,
    object_id   uuid,
    outcome     text NOT NULL CHECK (outcome IN ('done', 'denied', 'failed')),
    reason      text,
    CHECK ((object_kind IS NULL) = (object_id IS NULL))
);
CREATE INDEX audit_log_by_time ON audit_log (at, id);
CREATE INDEX audit_log_by_actor ON audit_log (actor_id, at, id);
CREATE INDEX audit_log_by_subject ON audit_log (subject_id, at, id);

-- Append-only, for superusers too: the private PostgreSQL of a small clinic has no other role.
CREATE FUNCTION audit_log_is_append_only() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'permission denied: audit_log is append-only' USING ERRCODE = 'insufficient_privilege';
END $$;
CREATE TRIGGER audit_log_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON audit_log
    FOR EACH STATEMENT EXECUTE FUNCTION audit_log_is_append_only();
REVOKE UPDATE, DELETE, TRUNCATE ON audit_log FROM PUBLIC, CURRENT_USER;
