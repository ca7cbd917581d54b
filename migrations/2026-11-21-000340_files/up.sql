-- What people hand each other. The bytes are elsewhere, sealed, under the id of the file.

CREATE SEQUENCE file_numbers START 3001;

CREATE TABLE files (
    id                     uuid PRIMARY KEY,
    ref_number             bigint NOT NULL DEFAULT nextval('file_numbers'),
    conversation_id        uuid NOT NULL REFERENCES conversations,
    uploader_id            uuid NOT NULL REFERENCES users,
    -- How long the log of the conversation was when it came: who joins later does not see it.
    place                  bigint NOT NULL,
    patient_id             uuid REFERENCES users,
    related_appointment_id uuid,
    kind                   text NOT NULL,
    document_type          text NOT NULL,
    format                 text NOT NULL,
    size                   bigint NOT NULL CHECK (size > 0),
    sha256                 bytea CHECK (octet_length(sha256) = 32),
    state                  text NOT NULL CHECK (state IN ('pending', 'active', 'quarantined', 'failed', 'deleted')),
    scan                   text NOT NULL CHECK (scan IN ('pending', 'clean', 'infected', 'unscannable', 'failed')),
    scanner                text,
    -- What was found, in the scanner's words.
    finding                text,
    -- When it is to be examined; whoever has taken it on puts that off.
    due_at                 timestamptz,
    -- What is asked of those who look at it, and what was made of it, as crates/domain/files knows them.
    terms                  jsonb NOT NULL,
    made                   jsonb NOT NULL DEFAULT '{}',
    consent                text NOT NULL CHECK (consent IN ('not_needed', 'asked', 'granted', 'denied')),
    max_downloads          integer CHECK (max_downloads > 0),
    download_count         integer NOT NULL DEFAULT 0,
    access_expires_at      timestamptz NOT NULL,
    kept_until             timestamptz NOT NULL,
    -- Sealed.
    name                   bytea NOT NULL,
    description            bytea,
    created_at             timestamptz NOT NULL,
    updated_at             timestamptz NOT NULL,
    deleted_at             timestamptz,
    deleted_by             uuid,
    destroyed_at           timestamptz,
    CHECK (download_count <= max_downloads),
    CHECK ((state = 'pending') = (due_at IS NOT NULL)),
    CHECK (state <> 'active' OR (scan = 'clean' AND sha256 IS NOT NULL)),
    CHECK ((state = 'deleted') = (deleted_at IS NOT NULL)),
    CHECK (destroyed_at IS NULL OR deleted_at IS NOT NULL)
);
CREATE INDEX files_by_conversation ON files (conversation_id, id);
CREATE INDEX files_by_patient ON files (patient_id, id) WHERE patient_id IS NOT NULL;
CREATE INDEX files_by_uploader ON files (uploader_id, created_at);
CREATE INDEX files_due ON files (due_at) WHERE due_at IS NOT NULL;
CREATE INDEX files_removed ON files (kept_until) WHERE deleted_at IS NOT NULL AND destroyed_at IS NULL;

-- Uploads in pieces, until they are files.
CREATE TABLE file_uploads (
    id              uuid PRIMARY KEY,
    conversation_id uuid NOT NULL REFERENCES conversations,
    uploader_id     uuid NOT NULL REFERENCES users,
    -- Sealed: what was said of it.
    draft           bytea NOT NULL,
    length          bigint NOT NULL CHECK (length > 0),
    received        bigint NOT NULL DEFAULT 0,
    next_segment    integer NOT NULL DEFAULT 0,
    created_at      timestamptz NOT NULL,
    expires_at      timestamptz NOT NULL,
    CHECK (received <= length)
);
CREATE INDEX file_uploads_by_uploader ON file_uploads (uploader_id, created_at);
CREATE INDEX file_uploads_by_end ON file_uploads (expires_at);

-- Where the bytes of files and uploads are: their blobs, in the order of their numbers. Numbers are never used again.
CREATE TABLE file_segments (
    file_id uuid NOT NULL,
    number  integer NOT NULL CHECK (number >= 0),
    size    bigint NOT NULL CHECK (size > 0),
    PRIMARY KEY (file_id, number)
);

-- Which messages hold which files: written with the message.
CREATE TABLE file_shares (
    file_id         uuid NOT NULL,
    message_id      uuid NOT NULL,
    conversation_id uuid NOT NULL,
    seq             bigint NOT NULL,
    PRIMARY KEY (file_id, message_id)
);

-- Everyone who may see a file: those who were in its conversation when it came, and those who can read a message that
-- holds it. Once someone has left, neither.
CREATE FUNCTION file_viewers(p_file uuid, p_now timestamptz) RETURNS TABLE (user_id uuid, message_id uuid)
LANGUAGE sql STABLE AS $$
    SELECT p.user_id, NULL::uuid
    FROM files f
    JOIN participants p ON p.conversation_id = f.conversation_id AND p.left_seq IS NULL
    WHERE f.id = p_file
      -- Nothing may have been said since they joined: then the clock tells who was first.
      AND (f.place >= p.joined_seq OR (f.place = p.joined_seq - 1 AND f.created_at >= p.joined_at))
    UNION ALL
    SELECT p.user_id, s.message_id
    FROM file_shares s
    JOIN messages m ON m.id = s.message_id AND m.deleted_at IS NULL AND (m.expires_at IS NULL OR m.expires_at > p_now)
    JOIN participants p ON p.conversation_id = s.conversation_id AND p.left_seq IS NULL AND s.seq >= p.joined_seq
    WHERE s.file_id = p_file
$$;

-- Downloads, to see who takes many.
CREATE TABLE file_downloads (
    id      uuid PRIMARY KEY,
    file_id uuid NOT NULL REFERENCES files,
    user_id uuid NOT NULL REFERENCES users,
    at      timestamptz NOT NULL
);
CREATE INDEX file_downloads_by_user ON file_downloads (user_id, at);

CREATE TABLE file_signatures (
    file_id   uuid NOT NULL REFERENCES files,
    user_id   uuid NOT NULL REFERENCES users,
    sha256    bytea NOT NULL CHECK (octet_length(sha256) = 32),
    signed_at timestamptz NOT NULL,
    PRIMARY KEY (file_id, user_id)
);

-- Links of a few minutes. Of the secret, only a digest is here.
CREATE TABLE file_links (
    hash       bytea PRIMARY KEY,
    file_id    uuid NOT NULL REFERENCES files,
    user_id    uuid NOT NULL REFERENCES users,
    session_id uuid NOT NULL,
    expires_at timestamptz NOT NULL
);
CREATE INDEX file_links_by_end ON file_links (expires_at);
