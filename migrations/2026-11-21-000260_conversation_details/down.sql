DROP TABLE invitation_links;
ALTER TABLE participants DROP archived_at, DROP pinned_at, DROP muted_at, DROP muted_until;
ALTER TABLE conversations
    DROP related_appointment_id, DROP related_patient_id, DROP medical_record_access, DROP priority, DROP labels,
    DROP tag_index, DROP closed_at, DROP closed_by, DROP closed_reason, DROP details_version,
    DROP CONSTRAINT conversations_care_stays;
