DROP INDEX message_tokens_by_place;
CREATE INDEX message_tokens_by_conversation ON message_tokens (conversation_id);
ALTER TABLE message_tokens DROP COLUMN created_at;
