-- The published entries of professionals, their credentials, pictures of people, and what else people say of themselves.

ALTER TABLE users
    ADD COLUMN phone bytea,
    -- Counts the changes of names, profile and credentials, so that of two at once one is told.
    ADD COLUMN profile_version bigint NOT NULL DEFAULT 0;

-- Those who can have an entry, for roles that few have.
CREATE INDEX users_professionals ON users (role) WHERE role IN ('doctor', 'student', 'medical_admin');

-- In plain text by purpose: a directory is searched and sorted. Only professionals have an entry; the title is the
-- user's own column. Columns that end in `_key` are folded (no case, no accents) and compared byte by byte.
CREATE TABLE professional_profiles (
    user_id           uuid PRIMARY KEY REFERENCES users,
    full_name         text NOT NULL,
    display_name      text NOT NULL,
    specialty         text,
    institution       text,
    bio               text,
    listed            boolean NOT NULL,
    license_number    bytea,
    credential_status text NOT NULL CHECK (credential_status IN ('unverified', 'submitted', 'verified', 'rejected')),
    updated_at        timestamptz NOT NULL,
    name_key          text COLLATE "C" NOT NULL,
    title_key         text COLLATE "C",
    specialty_key     text COLLATE "C",
    institution_key   text COLLATE "C",
    words             tsvector NOT NULL
);
CREATE INDEX professional_profiles_by_name ON professional_profiles (name_key, user_id);
CREATE INDEX professional_profiles_by_institution ON professional_profiles (institution_key, name_key, user_id);
CREATE INDEX professional_profiles_by_specialty ON professional_profiles (specialty_key, name_key, user_id);
CREATE INDEX professional_profiles_by_title ON professional_profiles (title_key, name_key, user_id);
CREATE INDEX professional_profiles_by_status ON professional_profiles (credential_status, name_key, user_id);
-- Without the list of pending entries, which every search would have to read through.
CREATE INDEX professional_profiles_by_words ON professional_profiles USING gin (words) WITH (fastupdate = off);

-- Every step of the verification of someone's credentials. No foreign keys but the user's: it only ever grows.
CREATE TABLE credential_steps (
    id             uuid PRIMARY KEY,
    user_id        uuid NOT NULL REFERENCES users,
    step           text NOT NULL CHECK (step IN ('submitted', 'verified', 'rejected', 'withdrawn')),
    by_user        uuid NOT NULL,
    at             timestamptz NOT NULL,
    reason_code    text,
    note           bytea,
    CHECK ((step = 'rejected') = (reason_code IS NOT NULL))
);
CREATE INDEX credential_steps_by_user ON credential_steps (user_id, at, id);

-- Pictures, sealed. `version` grows with every change, and names the picture in addresses.
CREATE TABLE avatars (
    user_id      uuid PRIMARY KEY REFERENCES users,
    image        bytea NOT NULL,
    content_type text NOT NULL,
    version      bigint NOT NULL,
    updated_at   timestamptz NOT NULL
);
