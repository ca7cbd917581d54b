CREATE OR REPLACE FUNCTION file_viewers(p_file uuid, p_now timestamptz) RETURNS TABLE (user_id uuid, message_id uuid)
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
DROP FUNCTION file_audience(uuid, timestamptz);
DROP INDEX file_downloads_by_file;
DROP TABLE file_alarms;
DROP TABLE file_withdrawals;
