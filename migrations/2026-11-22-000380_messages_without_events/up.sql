DROP FUNCTION append_messages(uuid[], uuid[], uuid[], text[], text[], bytea[], text[], bytea[], timestamptz[], uuid[],
    text[], jsonb[], uuid[], uuid[], uuid[], timestamptz[], timestamptz[], text[], boolean[], real[], bytea[],
    timestamptz[]);

-- As before, without events: those few messages that have one bring it themselves.
CREATE FUNCTION append_messages(
    p_ids uuid[], p_conversations uuid[], p_senders uuid[], p_types text[], p_priorities text[],
    p_contents bytea[], p_client_ids text[], p_fingerprints bytea[], p_created timestamptz[],
    p_replies uuid[], p_forwards uuid[], p_corrections uuid[], p_scheduled timestamptz[], p_expiries timestamptz[],
    p_sources text[], p_automated boolean[], p_confidences real[], p_payloads bytea[], p_client_sent timestamptz[]
) RETURNS TABLE (ord bigint, outcome text, message_id uuid, seq bigint, ref_number bigint, members_version bigint,
    expires_at timestamptz)
LANGUAGE plpgsql VOLATILE AS $$
#variable_conflict use_column
BEGIN
    PERFORM 1 FROM conversations c WHERE c.id = ANY (p_conversations) ORDER BY c.id FOR NO KEY UPDATE;

    RETURN QUERY
    WITH offered AS (
        SELECT * FROM unnest(
            p_ids, p_conversations, p_senders, p_types, p_priorities, p_contents, p_client_ids,
            p_fingerprints, p_created, p_replies, p_forwards, p_corrections, p_scheduled, p_expiries, p_sources, p_automated, p_confidences,
            p_payloads, p_client_sent
        ) WITH ORDINALITY AS o (
            id, conversation_id, sender_id, message_type, priority, content, client_message_id,
            fingerprint, created_at, reply_to, forwarded_from, corrects, scheduled_for, asked_expiry, source, is_automated, confidence,
            payload, client_sent_at, ord)
    ), judged AS (
        SELECT o.*, c.last_seq, c.members_version, m.id AS earlier_id,
            least(o.asked_expiry, o.created_at
                + make_interval(days => (c.settings ->> 'auto_delete_days')::integer)) AS expires_at,
            CASE
                WHEN p.user_id IS NULL THEN 'not_a_member'
                WHEN m.fingerprint = o.fingerprint THEN 'repeat'
                WHEN m.id IS NOT NULL THEN 'reused'
                WHEN NOT c.is_active OR c.expires_at <= o.created_at THEN 'closed'
                -- A scalar, so that it is looked up by its index, once, and for direct conversations only.
                WHEN c.kind = 'direct' AND (
                    SELECT true FROM blocks b
                    WHERE least(b.blocker_id, b.blocked_id) = c.direct_low
                      AND greatest(b.blocker_id, b.blocked_id) = c.direct_high LIMIT 1
                ) THEN 'blocked'
                WHEN o.reply_to IS NOT NULL AND NOT EXISTS (
                    SELECT 1 FROM messages r
                    WHERE r.id = o.reply_to AND r.conversation_id = o.conversation_id AND r.seq >= p.joined_seq
                      AND r.deleted_at IS NULL AND (r.expires_at IS NULL OR r.expires_at > o.created_at)
                ) THEN 'no_reply_target'
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
            client_message_id, fingerprint, created_at, reply_to, forwarded_from, corrects, scheduled_for, expires_at,
            source, is_automated, confidence, payload, client_sent_at)
        SELECT n.id, n.ref_number, n.conversation_id, n.seq, n.sender_id, n.message_type, n.priority, n.content,
            n.client_message_id, n.fingerprint, n.created_at, n.reply_to, n.forwarded_from, n.corrects,
            n.scheduled_for, n.expires_at, n.source, n.is_automated, n.confidence,
            n.payload, n.client_sent_at
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
    ), counted AS (
        UPDATE participants p SET own_total = p.own_total + n.added
        FROM (
            SELECT conversation_id, sender_id, count(*) AS added
            FROM numbered WHERE outcome = 'stored' GROUP BY conversation_id, sender_id
        ) n
        WHERE p.conversation_id = n.conversation_id AND p.user_id = n.sender_id
    ), noted AS (
        INSERT INTO changes (conversation_id, kind, message_id, seq, user_id, at)
        SELECT n.conversation_id, 'message.created', n.id, n.seq, n.sender_id, n.created_at
        FROM numbered n WHERE n.outcome = 'stored' ORDER BY n.ord
    )
    SELECT n.ord, n.outcome, coalesce(n.earlier_id, n.id), n.seq, n.ref_number, n.members_version, n.expires_at
    FROM numbered n;
END $$;

-- Nobody waits for the others.
DELETE FROM outbox WHERE kind = 'messages.message_sent' AND NOT payload ? 'quiet';
UPDATE outbox SET kind = 'messages.message_outside_hours', payload = payload - 'seq' WHERE kind = 'messages.message_sent';
