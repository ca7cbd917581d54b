ALTER INDEX message_tokens_by_token RESET (gin_pending_list_limit);
ALTER INDEX message_tokens_by_token SET (fastupdate = off);
SELECT gin_clean_pending_list('message_tokens_by_token');
ALTER TABLE participants RESET (fillfactor);
ALTER TABLE conversations RESET (fillfactor);
ALTER TABLE outbox RESET (fillfactor);
ALTER TABLE outbox DROP COLUMN leased_until;
