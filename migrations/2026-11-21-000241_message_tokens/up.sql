-- What messages can be found by: keyed digests, under a key of their conversation (crates/kernel/src/terms). A table of
-- its own, so that it can be made anew, or be left out of what others may read.
CREATE TABLE message_tokens (
    message_id      uuid PRIMARY KEY,
    conversation_id uuid NOT NULL,
    seq             bigint NOT NULL,
    -- Which wording, and which version of the index.
    version         integer NOT NULL,
    index_version   smallint NOT NULL,
    tokens          bigint[] NOT NULL
);
-- Without a list of what is pending: a search would have to read it whole.
CREATE INDEX message_tokens_by_token ON message_tokens USING gin (tokens) WITH (fastupdate = off);
CREATE INDEX message_tokens_by_conversation ON message_tokens (conversation_id);
