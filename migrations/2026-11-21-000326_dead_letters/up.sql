-- Events that were set aside are counted while the server runs, in a table that others wait in.
CREATE INDEX outbox_set_aside ON outbox (id) WHERE due_at IS NULL;
