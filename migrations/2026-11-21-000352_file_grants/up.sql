-- From whom whoever uploaded a file has taken it back, and who was told of taking many.

CREATE TABLE file_withdrawals (
    file_id      uuid NOT NULL REFERENCES files,
    user_id      uuid NOT NULL REFERENCES users,
    withdrawn_at timestamptz NOT NULL,
    PRIMARY KEY (file_id, user_id)
);

-- When administrators were last told that someone has taken many files.
CREATE TABLE file_alarms (
    user_id   uuid PRIMARY KEY REFERENCES users,
    raised_at timestamptz NOT NULL
);

CREATE INDEX file_downloads_by_file ON file_downloads (file_id, user_id);

-- Everyone whom a file came to: those who were in its conversation when it came, and those who can read a message that
-- holds it. Once someone has left, neither.
CREATE FUNCTION file_audience(p_file uuid, p_now timestamptz) RETURNS TABLE (user_id uuid, message_id uuid)
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

-- Everyone who may see a file: whom it came to and whom it was not taken from.
CREATE OR REPLACE FUNCTION file_viewers(p_file uuid, p_now timestamptz) RETURNS TABLE (user_id uuid, message_id uuid)
LANGUAGE sql STABLE AS $$
    SELECT a.user_id, a.message_id
    FROM file_audience(p_file, p_now) a
    WHERE NOT EXISTS (SELECT 1 FROM file_withdrawals w WHERE w.file_id = p_file AND w.user_id = a.user_id)
$$;
