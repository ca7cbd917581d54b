-- How far the index of words follows the changes of messages, and whose turn it is. What was stored before, every start of
-- the server looks for.
CREATE TABLE search_progress (
    is_only    boolean PRIMARY KEY DEFAULT true CHECK (is_only),
    xid        xid8 NOT NULL,
    id         bigint NOT NULL,
    turn_of    uuid,
    turn_until timestamptz,
    CHECK ((turn_of IS NULL) = (turn_until IS NULL))
);
INSERT INTO search_progress (xid, id) VALUES (pg_snapshot_xmin(pg_current_snapshot()), -1);
