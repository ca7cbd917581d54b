DROP INDEX outbox_set_aside;
