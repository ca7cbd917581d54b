-- Who knows whom, who wants nothing of whom, and what people show of themselves.

-- Both people of a pair have a row: their own name for the other, and whether they are a favourite.
CREATE TABLE contacts (
    user_id     uuid NOT NULL REFERENCES users,
    contact_id  uuid NOT NULL REFERENCES users,
    nickname    bytea,
    is_favorite boolean NOT NULL DEFAULT false,
    created_at  timestamptz NOT NULL,
    PRIMARY KEY (user_id, contact_id),
    CHECK (user_id <> contact_id)
);
CREATE INDEX contacts_in_order ON contacts (user_id, is_favorite, created_at, contact_id);
CREATE INDEX contacts_by_contact ON contacts (contact_id);

-- Open requests only. Whoever asks sees their request as they made it, by an id or an address, whether or not it
-- reaches anybody: `to_user` is null for people who do not exist, may not be asked, or have declined or blocked.
CREATE TABLE contact_requests (
    id          uuid PRIMARY KEY,
    from_user   uuid NOT NULL REFERENCES users,
    to_user     uuid REFERENCES users,
    named_user  uuid,
    email_index bytea,
    named_email bytea,
    nickname    bytea,
    created_at  timestamptz NOT NULL,
    CHECK (from_user <> to_user),
    CHECK ((named_user IS NULL) <> (email_index IS NULL)),
    CHECK ((named_email IS NULL) = (email_index IS NULL))
);
CREATE UNIQUE INDEX contact_requests_one_per_pair
    ON contact_requests (least(from_user, to_user), greatest(from_user, to_user)) WHERE to_user IS NOT NULL;
CREATE UNIQUE INDEX contact_requests_one_per_user ON contact_requests (from_user, named_user)
    WHERE named_user IS NOT NULL;
CREATE UNIQUE INDEX contact_requests_one_per_email ON contact_requests (from_user, email_index)
    WHERE email_index IS NOT NULL;
CREATE INDEX contact_requests_outgoing ON contact_requests (from_user, created_at, id);
CREATE INDEX contact_requests_incoming ON contact_requests (to_user, created_at, id) WHERE to_user IS NOT NULL;

-- Who has asked whom, even if nothing is left of the request: when the other was last told, and last declined. Kept
-- for as long as a refusal holds.
CREATE TABLE contact_approaches (
    from_user  uuid NOT NULL REFERENCES users,
    to_user    uuid NOT NULL REFERENCES users,
    told_at    timestamptz NOT NULL,
    refused_at timestamptz,
    PRIMARY KEY (from_user, to_user)
);
CREATE INDEX contact_approaches_by_age ON contact_approaches (greatest(told_at, refused_at));

CREATE TABLE blocks (
    blocker_id uuid NOT NULL REFERENCES users,
    blocked_id uuid NOT NULL REFERENCES users,
    created_at timestamptz NOT NULL,
    -- Between a patient and a professional who attends them: the clinic should look at it.
    is_care    boolean NOT NULL,
    PRIMARY KEY (blocker_id, blocked_id),
    CHECK (blocker_id <> blocked_id)
);
CREATE INDEX blocks_by_blocked ON blocks (blocked_id, blocker_id);
CREATE INDEX blocks_by_pair ON blocks (least(blocker_id, blocked_id), greatest(blocker_id, blocked_id));
CREATE INDEX blocks_in_order ON blocks (blocker_id, created_at, blocked_id);
CREATE INDEX blocks_of_care ON blocks (created_at, blocker_id, blocked_id) WHERE is_care;

-- Only of those who have chosen something else than the defaults.
CREATE TABLE presence_preferences (
    user_id         uuid PRIMARY KEY REFERENCES users,
    chosen          text NOT NULL DEFAULT 'online' CHECK (chosen IN ('online', 'away', 'busy')),
    show_presence   text NOT NULL DEFAULT 'everyone_i_know'
        CHECK (show_presence IN ('everyone_i_know', 'contacts', 'nobody')),
    show_last_seen  text NOT NULL DEFAULT 'everyone_i_know'
        CHECK (show_last_seen IN ('everyone_i_know', 'contacts', 'nobody'))
);

-- As before, except that a block stops what the two of a direct conversation say. A block takes the row lock of
-- that conversation too: a message either commits before the block, or sees it.
CREATE OR REPLACE FUNCTION append_messages(
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
                -- A scalar, so that it is looked up by its index, once, and for direct conversations only.
                WHEN c.kind = 'direct' AND (
                    SELECT true FROM blocks b
                    WHERE least(b.blocker_id, b.blocked_id) = c.direct_low
                      AND greatest(b.blocker_id, b.blocked_id) = c.direct_high LIMIT 1
                ) THEN 'blocked'
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
