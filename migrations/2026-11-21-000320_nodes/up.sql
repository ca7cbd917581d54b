-- Every node follows all changes, to tell those who are connected to it what happened elsewhere.
CREATE INDEX changes_by_place ON changes (xid, id);

-- What every node is to hear of, besides those changes: read by place, as those are, and soon forgotten.
CREATE TABLE broadcasts (
    xid      xid8 NOT NULL DEFAULT pg_current_xact_id(),
    id       bigint GENERATED ALWAYS AS IDENTITY,
    event_id uuid NOT NULL UNIQUE,
    kind     text NOT NULL,
    payload  jsonb NOT NULL,
    at       timestamptz NOT NULL,
    noted_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (xid, id)
);
CREATE INDEX broadcasts_by_age ON broadcasts USING brin (noted_at);
