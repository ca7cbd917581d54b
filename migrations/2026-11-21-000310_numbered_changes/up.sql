-- The changes of a conversation's messages are numbered as its messages are, so that a device can say how far it has come.

-- last_revision: the number of its newest change. messages.revision is from now on that of the message's last change
-- among all of its conversation; 0 until it changes. Numbers are given out by `next_revision` alone.
ALTER TABLE conversations ADD last_revision bigint NOT NULL DEFAULT 0;
ALTER TABLE changes ADD revision bigint;

-- Clients have seen the old numbers, so the new ones begin above them.
WITH numbered AS (
    SELECT m.id, max(m.revision) OVER (PARTITION BY m.conversation_id) + row_number() OVER (
        PARTITION BY m.conversation_id ORDER BY coalesce(m.deleted_at, m.edited_at, m.created_at), m.seq) AS revision
    FROM messages m WHERE m.revision > 0
)
UPDATE messages m SET revision = n.revision FROM numbered n WHERE n.id = m.id;
UPDATE conversations c SET last_revision = n.revision
FROM (SELECT conversation_id, max(revision) AS revision FROM messages WHERE revision > 0 GROUP BY 1) n
WHERE n.conversation_id = c.id;
CREATE INDEX messages_by_revision ON messages (conversation_id, revision) WHERE revision > 0;

-- The number of a change. The row of the conversation stays locked until the commit, so the order of the numbers is the
-- order of the commits: whoever sees one sees all below it. MUST be called with that row locked already, before any message
-- is: as `append_messages` and `hold_message` do.
CREATE FUNCTION next_revision(p_conversation uuid) RETURNS bigint
LANGUAGE sql VOLATILE AS $$
    UPDATE conversations SET last_revision = last_revision + 1 WHERE id = p_conversation RETURNING last_revision
$$;

-- As before, but the conversation is locked so that a change of the message can be numbered.
CREATE OR REPLACE FUNCTION hold_message(p_message uuid, p_actor uuid, p_now timestamptz)
RETURNS TABLE (conversation_id uuid, seq bigint, is_gone boolean, corrected boolean, version integer, is_care boolean,
    outcome text)
LANGUAGE plpgsql VOLATILE AS $$
#variable_conflict use_column
BEGIN
    PERFORM 1 FROM conversations c WHERE c.id = (SELECT m.conversation_id FROM messages m WHERE m.id = p_message)
    FOR NO KEY UPDATE;
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
