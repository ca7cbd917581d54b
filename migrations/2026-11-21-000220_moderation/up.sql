-- What those who moderate have to judge: what people have reported, and what the rules have found when it was sent.
CREATE TABLE message_reports (
    id              uuid PRIMARY KEY,
    kind            text NOT NULL CHECK (kind IN ('report', 'flag')),
    conversation_id uuid NOT NULL REFERENCES conversations,
    message_id      uuid NOT NULL REFERENCES messages,
    sender_id       uuid NOT NULL REFERENCES users,
    reporter_id     uuid REFERENCES users,
    reason          text CHECK (reason IN ('inappropriate', 'harassment', 'spam', 'privacy', 'safety', 'other')),
    -- [[kind, rule], …], never the text.
    findings        jsonb NOT NULL DEFAULT '[]',
    -- Sealed with the key of the conversation.
    comment         bytea,
    note            bytea,
    note_version    integer NOT NULL DEFAULT 1,
    status          text NOT NULL DEFAULT 'open' CHECK (status IN ('open', 'in_review', 'resolved', 'dismissed')),
    resolution      text CHECK (resolution IN ('none', 'message_removed', 'warned')),
    decided_by      uuid REFERENCES users,
    version         integer NOT NULL DEFAULT 1,
    created_at      timestamptz NOT NULL,
    updated_at      timestamptz NOT NULL,
    CHECK ((kind = 'report') = (reporter_id IS NOT NULL) AND (kind = 'report') = (reason IS NOT NULL)),
    CHECK ((status = 'resolved') = (resolution IS NOT NULL)),
    UNIQUE (message_id, reporter_id)
);
-- Ids grow with time.
CREATE INDEX message_reports_by_status ON message_reports (status, id);
CREATE INDEX message_reports_by_kind ON message_reports (kind, status, id);
