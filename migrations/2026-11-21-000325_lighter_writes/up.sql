-- Who has an event says so in a column without an index, and rows that change with every message find room on their
-- own page: neither writes to any index then.
ALTER TABLE outbox ADD COLUMN leased_until timestamptz;
ALTER TABLE outbox SET (fillfactor = 50);
ALTER TABLE conversations SET (fillfactor = 70);
ALTER TABLE participants SET (fillfactor = 70);

-- New tokens gather before they are sorted in. What has gathered is searched as well, from its beginning to its end, so it
-- is kept short: 2 MiB are some 3,000 messages.
ALTER INDEX message_tokens_by_token SET (fastupdate = on, gin_pending_list_limit = 2048);
