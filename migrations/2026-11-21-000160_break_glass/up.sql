-- Reading a conversation in an emergency, and the administration of users.

CREATE TABLE break_glass_grants (
    id              uuid PRIMARY KEY,
    admin_id        uuid NOT NULL REFERENCES users,
    conversation_id uuid NOT NULL REFERENCES conversations,
    reason          bytea NOT NULL,
    opened_at       timestamptz NOT NULL,
    expires_at      timestamptz NOT NULL,
    ended_at        timestamptz,
    ended_by        uuid REFERENCES users,
    CHECK (expires_at > opened_at AND expires_at <= opened_at + interval '60 minutes'),
    CHECK ((ended_at IS NULL) = (ended_by IS NULL))
);
CREATE INDEX break_glass_grants_by_admin ON break_glass_grants (admin_id, conversation_id, expires_at);
CREATE INDEX break_glass_grants_by_time ON break_glass_grants (opened_at, id);

CREATE INDEX users_by_role ON users (role, id);
CREATE INDEX audit_log_by_object ON audit_log (object_id, at, id);
CREATE INDEX audit_log_by_action ON audit_log (action text_pattern_ops, at, id);
