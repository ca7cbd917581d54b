-- What a message has as its revision stays: it goes on counting up.
DROP INDEX messages_by_revision;
DROP FUNCTION next_revision(uuid);
ALTER TABLE changes DROP revision;
ALTER TABLE conversations DROP last_revision;

CREATE OR REPLACE FUNCTION hold_message(p_message uuid, p_actor uuid, p_now timestamptz)
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
