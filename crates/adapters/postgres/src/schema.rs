//! The tables that stores query through diesel's typed builder.

diesel::table! {
    users (id) {
        id -> Uuid,
        email_index -> Bytea,
        identity -> Bytea,
        role -> Text,
        professional_title -> Nullable<Text>,
        password_hash -> Text,
        is_active -> Bool,
        last_seen_at -> Nullable<Timestamptz>,
        created_at -> Timestamptz,
    }
}

diesel::table! {
    care_relationships (patient_id, professional_id) {
        patient_id -> Uuid,
        professional_id -> Uuid,
        started_at -> Timestamptz,
    }
}

diesel::table! {
    sessions (id) {
        id -> Uuid,
        user_id -> Uuid,
        created_at -> Timestamptz,
        expires_at -> Timestamptz,
        revoked_at -> Nullable<Timestamptz>,
        revoked_reason -> Nullable<Text>,
    }
}

diesel::table! {
    websocket_tickets (hash) {
        hash -> Bytea,
        session_id -> Uuid,
        expires_at -> Timestamptz,
    }
}

diesel::table! {
    data_keys (id) {
        id -> Uuid,
        scope_kind -> Text,
        scope_id -> Uuid,
        version -> Int4,
        kek_version -> Int4,
        wrapped -> Bytea,
        created_at -> Timestamptz,
    }
}

diesel::table! {
    outbox (id) {
        id -> Uuid,
        kind -> Text,
        payload -> Jsonb,
        at -> Timestamptz,
        due_at -> Nullable<Timestamptz>,
        attempts -> Int4,
    }
}

diesel::joinable!(sessions -> users (user_id));
diesel::allow_tables_to_appear_in_same_query!(sessions, users);
