-- Whom the feed of changes has to tell that they are no longer in a conversation.
CREATE INDEX participants_gone ON participants (user_id, left_at) WHERE left_seq IS NOT NULL;
