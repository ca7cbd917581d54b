-- When patients may write, who answers emergencies, and the emergencies.

-- What the clinic as a whole has decided, as crates/domain/conversations knows it: `chat_hours`, `on_call`.
CREATE TABLE clinic_policies (
    name       text PRIMARY KEY,
    value      jsonb NOT NULL,
    updated_at timestamptz NOT NULL
);

-- Of those professionals who have hours of their own.
CREATE TABLE chat_hours (
    user_id    uuid PRIMARY KEY REFERENCES users,
    hours      jsonb NOT NULL,
    updated_at timestamptz NOT NULL
);

-- level: the one that was paged last, or will be as nobody has acknowledged. A patient has one open emergency at most.
CREATE TABLE emergencies (
    id              uuid PRIMARY KEY,
    patient_id      uuid NOT NULL REFERENCES users,
    conversation_id uuid NOT NULL UNIQUE REFERENCES conversations,
    opened_by       uuid NOT NULL REFERENCES users,
    opened_at       timestamptz NOT NULL,
    level           integer NOT NULL CHECK (level > 0),
    acknowledged_by uuid REFERENCES users,
    acknowledged_at timestamptz,
    resolved_by     uuid REFERENCES users,
    resolved_at     timestamptz,
    CHECK ((acknowledged_by IS NULL) = (acknowledged_at IS NULL)),
    CHECK ((resolved_by IS NULL) = (resolved_at IS NULL))
);
CREATE UNIQUE INDEX emergencies_one_open ON emergencies (patient_id) WHERE resolved_at IS NULL;
CREATE INDEX emergencies_open ON emergencies (id) WHERE resolved_at IS NULL;

CREATE TABLE emergency_pages (
    emergency_id uuid NOT NULL REFERENCES emergencies,
    user_id      uuid NOT NULL REFERENCES users,
    level        integer NOT NULL,
    paged_at     timestamptz NOT NULL,
    PRIMARY KEY (emergency_id, user_id, level)
);
CREATE INDEX emergency_pages_by_user ON emergency_pages (user_id, emergency_id);
