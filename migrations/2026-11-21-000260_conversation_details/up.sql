-- What a conversation is about, its end, what each person keeps of it, and links that let people in.

ALTER TABLE conversations
    ADD related_appointment_id uuid,
    ADD related_patient_id     uuid REFERENCES users,
    ADD medical_record_access  boolean NOT NULL DEFAULT false,
    ADD priority               text NOT NULL DEFAULT 'normal' CHECK (priority IN ('low', 'normal', 'high', 'urgent')),
    -- Sealed: the type of consultation, and the tags.
    ADD labels                 bytea,
    -- Keyed digests of the tags, to look for them by equality.
    ADD tag_index              bytea[] NOT NULL DEFAULT '{}',
    ADD closed_at              timestamptz,
    ADD closed_by              uuid REFERENCES users,
    ADD closed_reason          bytea,
    -- Counts changes of what it is and allows, as members_version counts those of who is in it.
    ADD details_version        bigint NOT NULL DEFAULT 1;
ALTER TABLE conversations
    ADD CONSTRAINT conversations_closed CHECK (
        (closed_at IS NULL) = (closed_by IS NULL) AND (closed_at IS NULL OR NOT is_active)
        AND (closed_reason IS NULL OR closed_at IS NOT NULL)),
    ADD CONSTRAINT conversations_care_stays CHECK (
        expires_at IS NULL OR (purpose <> 'care' AND kind NOT IN ('consultation', 'emergency')));

-- What a person keeps for themselves. muted_until: NULL while muted_at is set means for ever.
ALTER TABLE participants
    ADD archived_at timestamptz,
    ADD pinned_at   timestamptz,
    ADD muted_at    timestamptz,
    ADD muted_until timestamptz,
    ADD CHECK (muted_until IS NULL OR muted_at IS NOT NULL);

CREATE TABLE invitation_links (
    id              uuid PRIMARY KEY,
    conversation_id uuid NOT NULL REFERENCES conversations,
    -- Of the secret, which is stored nowhere.
    token_hash      bytea NOT NULL UNIQUE,
    created_by      uuid NOT NULL REFERENCES users,
    created_at      timestamptz NOT NULL,
    expires_at      timestamptz NOT NULL,
    max_uses        integer CHECK (max_uses > 0),
    uses            integer NOT NULL DEFAULT 0,
    revoked_at      timestamptz,
    CHECK (uses <= max_uses)
);
CREATE INDEX invitation_links_by_conversation ON invitation_links (conversation_id, id);
