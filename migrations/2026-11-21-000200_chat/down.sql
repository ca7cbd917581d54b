DROP FUNCTION append_messages(uuid[], uuid[], uuid[], text[], text[], bytea[], text[], bytea[], timestamptz[], uuid[],
    text[], jsonb[], uuid[], uuid[], uuid[], timestamptz[], timestamptz[], text[], boolean[], real[]);
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

DROP TABLE changes;
ALTER TABLE messages
    DROP reply_to, DROP forwarded_from, DROP corrects, DROP scheduled_for, DROP expires_at, DROP source, DROP confidence,
    DROP is_automated, DROP version, DROP edited_at, DROP deleted_at, DROP deleted_by;
DELETE FROM messages WHERE content IS NULL;
ALTER TABLE messages ALTER content SET NOT NULL;
ALTER TABLE participants DROP own_total, DROP own_read;
ALTER TABLE conversations DROP purpose, DROP settings, DROP expires_at;
