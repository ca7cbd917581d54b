-- People, sessions, conversations, the message log, data keys and the outbox.
-- Columns named `bytea` hold sealed text (AES-256-GCM, see crates/adapters/crypto) or keyed digests.

CREATE TABLE users (
    id                 uuid PRIMARY KEY,
    email_index        bytea NOT NULL UNIQUE,
    identity           bytea NOT NULL,
    role               text NOT NULL CHECK (role IN ('patient', 'doctor', 'student', 'medical_admin', 'it_admin')),
    professional_title text,
    password_hash      text NOT NULL,
    is_active          boolean NOT NULL DEFAULT true,
    last_seen_at       timestamptz,
    created_at         timestamptz NOT NULL
);

CREATE TABLE care_relationships (
    patient_id      uuid NOT NULL REFERENCES users,
    professional_id uuid NOT NULL REFERENCES users,
    started_at      timestamptz NOT NULL,
    PRIMARY KEY (patient_id, professional_id),
    CHECK (patient_id <> professional_id)
);
CREATE INDEX care_relationships_by_professional ON care_relationships (professional_id, patient_id);

CREATE TABLE sessions (
    id             uuid PRIMARY KEY,
    user_id        uuid NOT NULL REFERENCES users,
    created_at     timestamptz NOT NULL,
    expires_at     timestamptz NOT NULL,
    revoked_at     timestamptz,
    revoked_reason text
);
CREATE INDEX sessions_by_user ON sessions (user_id);

CREATE TABLE refresh_tokens (
    hash       bytea PRIMARY KEY,
    session_id uuid NOT NULL REFERENCES sessions ON DELETE CASCADE,
    created_at timestamptz NOT NULL,
    expires_at timestamptz NOT NULL,
    used_at    timestamptz
);
CREATE INDEX refresh_tokens_by_session ON refresh_tokens (session_id);

CREATE TABLE websocket_tickets (
    hash       bytea PRIMARY KEY,
    session_id uuid NOT NULL REFERENCES sessions ON DELETE CASCADE,
    expires_at timestamptz NOT NULL
);
CREATE INDEX websocket_tickets_by_expiry ON websocket_tickets (expires_at);

CREATE TABLE data_keys (
    id          uuid PRIMARY KEY,
    scope_kind  text NOT NULL,
    scope_id    uuid NOT NULL,
    version     integer NOT NULL CHECK (version > 0),
    kek_version integer NOT NULL,
    wrapped     bytea NOT NULL,
    created_at  timestamptz NOT NULL,
    UNIQUE (scope_kind, scope_id, version)
);

CREATE SEQUENCE conversation_numbers START 1001;

CREATE TABLE conversations (
    id                   uuid PRIMARY KEY,
    ref_number           bigint NOT NULL DEFAULT nextval('conversation_numbers'),
    kind                 text NOT NULL CHECK (kind IN ('direct', 'group', 'consultation', 'emergency')),
    title                bytea,
    description          bytea,
    created_by           uuid NOT NULL REFERENCES users,
    created_at           timestamptz NOT NULL,
    updated_at           timestamptz NOT NULL,
    is_active            boolean NOT NULL DEFAULT true,
    last_seq             bigint NOT NULL DEFAULT 0,
    message_count        bigint NOT NULL DEFAULT 0,
    members_version      bigint NOT NULL DEFAULT 1,
    -- The two people of a direct conversation, the smaller id first.
    direct_low           uuid,
    direct_high          uuid,
    creation_key         text,
    creation_fingerprint bytea,
    CHECK ((kind = 'direct') = (direct_low IS NOT NULL AND direct_high IS NOT NULL)),
    CHECK (direct_low < direct_high),
    CHECK ((creation_key IS NULL) = (creation_fingerprint IS NULL))
);
CREATE UNIQUE INDEX conversations_one_direct ON conversations (direct_low, direct_high) WHERE kind = 'direct';
CREATE UNIQUE INDEX conversations_one_per_key ON conversations (created_by, creation_key) WHERE creation_key IS NOT NULL;

-- Membership is the interval [joined_seq, left_seq) of the log.
CREATE TABLE participants (
    conversation_id uuid NOT NULL REFERENCES conversations,
    user_id         uuid NOT NULL REFERENCES users,
    role            text NOT NULL CHECK (role IN ('member', 'moderator')),
    joined_at       timestamptz NOT NULL,
    joined_seq      bigint NOT NULL,
    left_at         timestamptz,
    left_seq        bigint,
    delivered_up_to bigint NOT NULL,
    read_up_to      bigint NOT NULL,
    PRIMARY KEY (conversation_id, user_id),
    CHECK (left_seq >= joined_seq),
    CHECK ((left_seq IS NULL) = (left_at IS NULL)),
    CHECK (read_up_to <= delivered_up_to)
) WITH (fillfactor = 80);
CREATE INDEX participants_by_user ON participants (user_id, conversation_id) WHERE left_seq IS NULL;

CREATE SEQUENCE message_numbers START 5001 CACHE 32;

-- No foreign keys here: `append_messages` alone writes it, holds the conversation's row locked and has found the
-- sender among its participants. Checking that again would cost two look-ups per message.
CREATE TABLE messages (
    id                uuid PRIMARY KEY,
    ref_number        bigint NOT NULL,
    conversation_id   uuid NOT NULL,
    seq               bigint NOT NULL CHECK (seq > 0),
    sender_id         uuid NOT NULL,
    message_type      text NOT NULL,
    priority          text NOT NULL CHECK (priority IN ('low', 'normal', 'high', 'urgent')),
    content           bytea NOT NULL,
    client_message_id text NOT NULL,
    fingerprint       bytea NOT NULL,
    created_at        timestamptz NOT NULL,
    UNIQUE (conversation_id, seq),
    UNIQUE (conversation_id, sender_id, client_message_id)
);

-- Every move of a mark, so that when someone read a message can be told without a row per message.
CREATE TABLE mark_moves (
    conversation_id uuid NOT NULL,
    user_id         uuid NOT NULL,
    mark            text NOT NULL CHECK (mark IN ('delivered', 'read')),
    up_to           bigint NOT NULL,
    moved_at        timestamptz NOT NULL,
    PRIMARY KEY (conversation_id, user_id, mark, up_to),
    FOREIGN KEY (conversation_id, user_id) REFERENCES participants
);

-- due_at: when to hand it out (next); NULL for an event that failed too often.
CREATE TABLE outbox (
    id       uuid PRIMARY KEY,
    kind     text NOT NULL,
    payload  jsonb NOT NULL,
    at       timestamptz NOT NULL,
    due_at   timestamptz,
    attempts integer NOT NULL DEFAULT 0
);
CREATE INDEX outbox_due ON outbox (due_at, id) WHERE due_at IS NOT NULL;

-- Appends a group of messages to their conversations in one round trip.
--
-- The first statement locks the conversations in the order of their ids, so groups cannot deadlock. The
-- second one begins with a new snapshot (READ COMMITTED, volatile function): what it reads of members
-- and earlier messages cannot change before the commit. The row lock makes the order of seq the order of
-- commits, and a rollback leaves no gap. One group MUST NOT hold the same client message twice.
CREATE FUNCTION append_messages(
    p_ids uuid[], p_conversations uuid[], p_senders uuid[], p_types text[], p_priorities text[],
    p_contents bytea[], p_client_ids text[], p_fingerprints bytea[], p_created timestamptz[],
    p_event_ids uuid[], p_event_kinds text[], p_events jsonb[]
) RETURNS TABLE (ord bigint, outcome text, message_id uuid, seq bigint, ref_number bigint, members_version bigint)
LANGUAGE plpgsql VOLATILE AS $$
#variable_conflict use_column
BEGIN
    PERFORM 1 FROM conversations c WHERE c.id = ANY (p_conversations) ORDER BY c.id FOR NO KEY UPDATE;

    RETURN QUERY
    WITH offered AS (
        SELECT * FROM unnest(
            p_ids, p_conversations, p_senders, p_types, p_priorities, p_contents, p_client_ids,
            p_fingerprints, p_created, p_event_ids, p_event_kinds, p_events
        ) WITH ORDINALITY AS o (
            id, conversation_id, sender_id, message_type, priority, content, client_message_id,
            fingerprint, created_at, event_id, event_kind, event, ord)
    ), judged AS (
        SELECT o.*, c.last_seq, c.members_version, m.id AS earlier_id,
            CASE
                WHEN p.user_id IS NULL THEN 'not_a_member'
                WHEN m.fingerprint = o.fingerprint THEN 'repeat'
                WHEN m.id IS NOT NULL THEN 'reused'
                WHEN NOT c.is_active THEN 'closed'
                ELSE 'stored'
            END AS outcome
        FROM offered o
        LEFT JOIN conversations c ON c.id = o.conversation_id
        LEFT JOIN participants p ON p.conversation_id = o.conversation_id
            AND p.user_id = o.sender_id AND p.left_seq IS NULL
        LEFT JOIN messages m ON m.conversation_id = o.conversation_id
            AND m.sender_id = o.sender_id AND m.client_message_id = o.client_message_id
    ), numbered AS MATERIALIZED (
        SELECT j.*,
            CASE WHEN j.outcome = 'stored' THEN j.last_seq
                + count(*) FILTER (WHERE j.outcome = 'stored') OVER (PARTITION BY j.conversation_id ORDER BY j.ord)
            END AS seq,
            CASE WHEN j.outcome = 'stored' THEN nextval('message_numbers') END AS ref_number
        FROM judged j
    ), inserted AS (
        INSERT INTO messages (id, ref_number, conversation_id, seq, sender_id, message_type, priority, content,
            client_message_id, fingerprint, created_at)
        SELECT n.id, n.ref_number, n.conversation_id, n.seq, n.sender_id, n.message_type, n.priority, n.content,
            n.client_message_id, n.fingerprint, n.created_at
        FROM numbered n WHERE n.outcome = 'stored'
    ), advanced AS (
        UPDATE conversations c
        SET last_seq = n.last_seq, message_count = c.message_count + n.added,
            updated_at = greatest(c.updated_at, n.at)
        FROM (
            SELECT conversation_id, max(seq) AS last_seq, count(*) AS added, max(created_at) AS at
            FROM numbered WHERE outcome = 'stored' GROUP BY conversation_id
        ) n
        WHERE c.id = n.conversation_id
    ), published AS (
        INSERT INTO outbox (id, kind, payload, at, due_at)
        SELECT n.event_id, n.event_kind, jsonb_set(n.event, '{seq}', to_jsonb(n.seq)), n.created_at, n.created_at
        FROM numbered n WHERE n.outcome = 'stored'
    )
    SELECT n.ord, n.outcome, coalesce(n.earlier_id, n.id), n.seq, n.ref_number, n.members_version
    FROM numbered n;
END $$;
