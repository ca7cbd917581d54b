-- What becomes of messages: wordings, corrections, what is taken back and destroyed, reactions.

-- revision counts everything that changed about a message, so that of two announcements the later one is known.
-- purge_at: when the words of what was taken back are to be destroyed; never, if they belong to a record (C-25).
ALTER TABLE messages
    ADD revision          bigint NOT NULL DEFAULT 0,
    ADD corrected_by      uuid,
    ADD correction_reason bytea,
    ADD purge_at          timestamptz,
    ADD CHECK (correction_reason IS NULL OR corrected_by IS NOT NULL),
    ADD CHECK (purge_at IS NULL OR deleted_at IS NOT NULL);
-- A message is put right by one other, which puts right no second one: corrections make a chain, not a tree.
CREATE UNIQUE INDEX messages_one_correction ON messages (corrected_by) WHERE corrected_by IS NOT NULL;
CREATE INDEX messages_expiring ON messages (expires_at) WHERE expires_at IS NOT NULL AND deleted_at IS NULL;
CREATE INDEX messages_to_purge ON messages (purge_at) WHERE purge_at IS NOT NULL;

-- The former wordings of a message, sealed as they were: only added to, until all of them are destroyed. Each but the
-- first has the one before it, and there is no second one of the same number: the chain has no gaps and no branches.
CREATE TABLE message_versions (
    message_id uuid NOT NULL REFERENCES messages,
    version    integer NOT NULL CHECK (version > 0),
    previous   integer GENERATED ALWAYS AS (nullif(version - 1, 0)) STORED,
    content    bytea NOT NULL,
    written_at timestamptz NOT NULL,
    PRIMARY KEY (message_id, version),
    FOREIGN KEY (message_id, previous) REFERENCES message_versions (message_id, version)
);

-- An emoji is one of a public list, not words: it is kept as it is.
CREATE TABLE reactions (
    message_id uuid NOT NULL REFERENCES messages,
    emoji      text NOT NULL CHECK (octet_length(emoji) BETWEEN 1 AND 64),
    user_id    uuid NOT NULL REFERENCES users,
    reacted_at timestamptz NOT NULL,
    PRIMARY KEY (message_id, emoji, user_id)
);

-- Locks a message for a change, and tells how things are for the one who wants to change it. No row: they are not in
-- the conversation, or may not read the message.
--
-- The conversation comes first, as in `append_messages`; whoever blocks or closes it waits, or was there before. What
-- is told is read after the locks are held.
CREATE FUNCTION hold_message(p_message uuid, p_actor uuid, p_now timestamptz)
RETURNS TABLE (conversation_id uuid, seq bigint, is_gone boolean, corrected boolean, version integer, is_care boolean,
    outcome text)
LANGUAGE plpgsql VOLATILE AS $$
#variable_conflict use_column
BEGIN
    PERFORM 1 FROM conversations c WHERE c.id = (SELECT m.conversation_id FROM messages m WHERE m.id = p_message)
    FOR SHARE;
    PERFORM 1 FROM messages m WHERE m.id = p_message FOR NO KEY UPDATE;

    RETURN QUERY
    SELECT m.conversation_id, m.seq, m.deleted_at IS NOT NULL OR coalesce(m.expires_at <= p_now, false),
        m.corrected_by IS NOT NULL, m.version,
        c.purpose = 'care' OR c.kind IN ('consultation', 'emergency'),
        CASE
            WHEN NOT c.is_active OR coalesce(c.expires_at <= p_now, false) THEN 'closed'
            WHEN c.kind = 'direct' AND (
                SELECT true FROM blocks b
                WHERE least(b.blocker_id, b.blocked_id) = c.direct_low
                  AND greatest(b.blocker_id, b.blocked_id) = c.direct_high LIMIT 1
            ) THEN 'blocked'
            ELSE 'open'
        END
    FROM messages m
    JOIN conversations c ON c.id = m.conversation_id
    JOIN participants p ON p.conversation_id = m.conversation_id AND p.user_id = p_actor
        AND p.left_seq IS NULL AND p.joined_seq <= m.seq
    WHERE m.id = p_message;
END $$;
