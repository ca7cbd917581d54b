-- How accounts come to be, how passwords are replaced, and how often they may be tried.
-- Columns named `hash` hold SHA-256 of secrets of 80 random bits or more; the secrets rest nowhere.

-- What was proved under an earlier epoch opens no session.
ALTER TABLE users ADD COLUMN credential_epoch integer NOT NULL DEFAULT 0;

CREATE TABLE pending_registrations (
    id            uuid PRIMARY KEY,
    hash          bytea NOT NULL UNIQUE,
    user_id       uuid NOT NULL,
    email_index   bytea NOT NULL,
    identity      bytea NOT NULL,
    password_hash text NOT NULL,
    role          text NOT NULL CHECK (role IN ('patient', 'student')),
    language      text NOT NULL CHECK (language IN ('es', 'en')),
    created_at    timestamptz NOT NULL,
    expires_at    timestamptz NOT NULL,
    -- How often its password was tried.
    tries         integer NOT NULL DEFAULT 0
);
CREATE INDEX pending_registrations_by_expiry ON pending_registrations (expires_at);

CREATE TABLE invitations (
    id          uuid PRIMARY KEY,
    hash        bytea NOT NULL UNIQUE,
    user_id     uuid NOT NULL,
    email_index bytea NOT NULL,
    email       bytea NOT NULL,
    role        text NOT NULL CHECK (role IN ('doctor', 'student', 'medical_admin', 'it_admin')),
    language    text NOT NULL CHECK (language IN ('es', 'en')),
    issued_by   uuid NOT NULL REFERENCES users,
    created_at  timestamptz NOT NULL,
    expires_at  timestamptz NOT NULL,
    used_at     timestamptz,
    revoked_at  timestamptz
);
CREATE INDEX invitations_open ON invitations (id) WHERE used_at IS NULL AND revoked_at IS NULL;

CREATE TABLE professional_registrations (
    user_id        uuid PRIMARY KEY REFERENCES users,
    invitation_id  uuid NOT NULL REFERENCES invitations,
    license_number bytea,
    specialty      text,
    registered_at  timestamptz NOT NULL
);

CREATE TABLE temporary_passwords (
    user_id    uuid PRIMARY KEY REFERENCES users,
    id         uuid NOT NULL UNIQUE,
    hash       bytea NOT NULL,
    expires_at timestamptz NOT NULL,
    used_at    timestamptz
);

-- One per user: the newest request.
CREATE TABLE password_resets (
    user_id      uuid PRIMARY KEY REFERENCES users,
    id           uuid NOT NULL,
    hash         bytea NOT NULL UNIQUE,
    requested_at timestamptz NOT NULL,
    expires_at   timestamptz NOT NULL,
    used_at      timestamptz
);

-- `tries`: the last ten, oldest first.
CREATE TABLE login_guards (
    key          bytea PRIMARY KEY,
    tries        timestamptz[] NOT NULL,
    failures     integer NOT NULL,
    locked_until timestamptz,
    touched_at   timestamptz NOT NULL
);
CREATE INDEX login_guards_by_touch ON login_guards (touched_at);
