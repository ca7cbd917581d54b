-- What may be done with a data key: it seals and opens, it only opens, or it is gone for ever.
ALTER TABLE data_keys
    ADD COLUMN state text NOT NULL DEFAULT 'active' CHECK (state IN ('active', 'decrypt_only', 'destroyed')),
    ADD COLUMN seals bigint NOT NULL DEFAULT 0 CHECK (seals >= 0),
    ADD CHECK ((state = 'destroyed') = (wrapped = ''::bytea));

CREATE INDEX data_keys_by_kek ON data_keys (id, kek_version) WHERE state <> 'destroyed';
CREATE INDEX data_keys_active ON data_keys (created_at, id) WHERE state = 'active';

-- Whoever stores a key of a scope and whoever destroys its keys wait for each other.
CREATE FUNCTION lock_data_keys(p_kind text, p_scope uuid) RETURNS void
LANGUAGE sql VOLATILE AS $$
    SELECT pg_advisory_xact_lock(hashtextextended('data_keys ' || p_kind || ' ' || p_scope, 0))
$$;
