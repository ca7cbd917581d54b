-- Sessions that go idle, and a second factor.

ALTER TABLE sessions
    ADD COLUMN last_active_at timestamptz,
    ADD COLUMN is_new_device boolean NOT NULL DEFAULT false;
UPDATE sessions SET last_active_at = created_at;
ALTER TABLE sessions ALTER COLUMN last_active_at SET NOT NULL;
-- The live sessions of a user, and from where they signed in of late.
DROP INDEX sessions_by_user;
CREATE INDEX sessions_by_user ON sessions (user_id, created_at);
CREATE INDEX sessions_unrevoked_by_user ON sessions (user_id, created_at) WHERE revoked_at IS NULL;

-- One per user: being set up until confirmed_at. failures and locked_until: see SecondFactorStore::begin_attempt.
CREATE TABLE second_factors (
    user_id      uuid PRIMARY KEY REFERENCES users,
    secret       bytea NOT NULL,
    created_at   timestamptz NOT NULL,
    confirmed_at timestamptz,
    last_step    bigint NOT NULL DEFAULT 0,
    failures     integer NOT NULL DEFAULT 0,
    locked_until timestamptz
);

CREATE TABLE recovery_codes (
    user_id uuid NOT NULL REFERENCES second_factors ON DELETE CASCADE,
    hash    bytea NOT NULL,
    used_at timestamptz,
    PRIMARY KEY (user_id, hash)
);
