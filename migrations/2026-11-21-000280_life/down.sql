DROP FUNCTION hold_message(uuid, uuid, timestamptz);
DROP TABLE reactions, message_versions;
ALTER TABLE messages DROP revision, DROP corrected_by, DROP correction_reason, DROP purge_at;
