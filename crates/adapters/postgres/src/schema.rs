//! The tables that stores query through diesel's typed builder.

diesel::table! {
    users (id) {
        id -> Uuid,
        email_index -> Bytea,
        identity -> Bytea,
        role -> Text,
        professional_title -> Nullable<Text>,
        password_hash -> Nullable<Text>,
        is_active -> Bool,
        last_seen_at -> Nullable<Timestamptz>,
        created_at -> Timestamptz,
        language -> Text,
        must_change_password -> Bool,
        credential_epoch -> Integer,
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
        stage -> Text,
        last_active_at -> Timestamptz,
    }
}

diesel::table! {
    second_factors (user_id) {
        user_id -> Uuid,
        secret -> Bytea,
        created_at -> Timestamptz,
        confirmed_at -> Nullable<Timestamptz>,
        last_step -> Int8,
        failures -> Int4,
        locked_until -> Nullable<Timestamptz>,
    }
}

diesel::table! {
    recovery_codes (user_id, hash) {
        user_id -> Uuid,
        hash -> Bytea,
        used_at -> Nullable<Timestamptz>,
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
        state -> Text,
        seals -> Int8,
    }
}

diesel::table! {
    outbox (id) {
        id -> Uuid,
        kind -> Text,
        payload -> Jsonb,
        at -> Timestamptz,
        due_at -> Nullable<Timestamptz>,
        leased_until -> Nullable<Timestamptz>,
        attempts -> Int4,
    }
}

diesel::table! {
    pending_registrations (id) {
        id -> Uuid,
        hash -> Bytea,
        user_id -> Uuid,
        email_index -> Bytea,
        identity -> Bytea,
        password_hash -> Text,
        role -> Text,
        language -> Text,
        created_at -> Timestamptz,
        expires_at -> Timestamptz,
        tries -> Int4,
    }
}

diesel::table! {
    invitations (id) {
        id -> Uuid,
        hash -> Bytea,
        user_id -> Uuid,
        email_index -> Bytea,
        email -> Bytea,
        role -> Text,
        language -> Text,
        issued_by -> Uuid,
        created_at -> Timestamptz,
        expires_at -> Timestamptz,
        used_at -> Nullable<Timestamptz>,
        revoked_at -> Nullable<Timestamptz>,
    }
}

diesel::table! {
    temporary_passwords (user_id) {
        user_id -> Uuid,
        id -> Uuid,
        hash -> Bytea,
        expires_at -> Timestamptz,
        used_at -> Nullable<Timestamptz>,
    }
}

diesel::table! {
    password_resets (user_id) {
        user_id -> Uuid,
        id -> Uuid,
        hash -> Bytea,
        requested_at -> Timestamptz,
        expires_at -> Timestamptz,
        used_at -> Nullable<Timestamptz>,
    }
}

diesel::joinable!(sessions -> users (user_id));
diesel::allow_tables_to_appear_in_same_query!(sessions, users);

diesel::joinable!(temporary_passwords -> users (user_id));
diesel::joinable!(password_resets -> users (user_id));
diesel::allow_tables_to_appear_in_same_query!(temporary_passwords, users);
diesel::allow_tables_to_appear_in_same_query!(password_resets, users);
