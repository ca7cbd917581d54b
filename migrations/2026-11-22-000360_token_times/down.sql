ALTER INDEX message_tokens_by_token SET (gin_pending_list_limit = 2048);
DROP INDEX message_tokens_by_place;
CREATE INDEX message_tokens_by_conversation ON message_tokens (conversation_id);
ALTER TABLE message_tokens DROP COLUMN created_at;
