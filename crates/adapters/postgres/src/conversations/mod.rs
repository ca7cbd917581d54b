//! `conversations::ConversationStore`.

use alivio_conversations::{
    Audience, Change, Closed, Conversation, ConversationStore, Created, Error, Facts, Kind, Metadata, Mute,
    NewConversation, NewDetails, Participant, Personal, PersonalChange, StoredConversation, StoredLabels,
    Versions,
};
use alivio_kernel::ids::{ConsultationId, ConversationId, UserId, Uuid};
use alivio_kernel::{BoxError, Event, Sealed};
use async_trait::async_trait;
use chrono::{DateTime, Utc};
use diesel::QueryableByName;
use diesel::sql_types::{Array, BigInt, Bool, Bytea, Jsonb, Nullable, Text, Timestamptz, Uuid as SqlUuid};
use diesel_async::RunQueryDsl;
use serde_json::Value;

use crate::Database;
use crate::sql::{Id, prepared};

mod invitation_links;

// Nothing is stored unless the conversation is: the other inserts select from the row it returns.
const CREATE: &str = "
    WITH created AS (
        INSERT INTO conversations (id, kind, title, description, created_by, created_at, updated_at,
            direct_low, direct_high, creation_key, creation_fingerprint, purpose, settings, related_appointment_id,
            related_patient_id, medical_record_access, priority, labels, tag_index, expires_at)
        VALUES ($1, $2, $3, $4, $5, $6, $6, $7, $8, $9, $10, $16, $17, $18, $19, $20, $21, $22, $23, $24)
        ON CONFLICT DO NOTHING
        RETURNING id
    ), joined AS (
        INSERT INTO participants (conversation_id, user_id, role, joined_at, joined_seq, delivered_up_to, read_up_to,
            muted_at)
        SELECT created.id, member.user_id, member.role, $6, 1, 0, 0,
            CASE WHEN NOT $25 AND member.user_id = $5 THEN $6 END
        FROM created, unnest($11::uuid[], $12::text[]) AS member (user_id, role)
    ), published AS (
        INSERT INTO outbox (id, kind, payload, at, due_at) SELECT $13, $14, $15, $6, $6 FROM created
    ), noted AS (
        INSERT INTO changes (conversation_id, kind, user_id, at) SELECT id, 'conversation.created', $5, $6 FROM created
    )
    SELECT id FROM created";

const FIND_EARLIER: &str = "
    SELECT id, creation_fingerprint IS NOT DISTINCT FROM $3 AS same, true AS by_key FROM conversations
    WHERE created_by = $1 AND creation_key = $2
    UNION ALL
    SELECT id, true, false FROM conversations
    WHERE kind = 'direct' AND direct_low = $4 AND direct_high = $5
    ORDER BY by_key DESC LIMIT 1";

/// The columns of a [`Row`], of `c` with those of `me` for whom it is read, and of everyone in it, `k`.
macro_rules! conversation_columns {
    () => {
        "c.id AS c_id, c.ref_number AS c_number, c.kind, c.title, c.description, c.created_by,
         c.created_at AS c_created_at, c.updated_at, c.is_active, c.expires_at AS c_expires_at, c.last_seq, c.last_revision,
         c.message_count, c.members_version, c.details_version, c.purpose, c.settings, c.related_appointment_id, c.related_patient_id,
         c.medical_record_access, c.priority AS c_priority, c.labels, c.closed_at, c.closed_by, c.closed_reason,
         c.archived_at, c.pinned_at, c.muted_at, c.muted_until, k.users, k.roles, k.joined_ats, k.joined_seqs"
    };
}
/// Everyone in the conversation `c`.
macro_rules! everyone {
    () => {
        "(
            SELECT array_agg(p.user_id) AS users, array_agg(p.role) AS roles, array_agg(p.joined_at) AS joined_ats,
                array_agg(p.joined_seq) AS joined_seqs, array_agg(p.delivered_up_to) AS delivered,
                array_agg(p.read_up_to) AS read
            FROM (
                SELECT * FROM participants WHERE conversation_id = c.id AND left_seq IS NULL
                ORDER BY joined_at, user_id
            ) p
        )"
    };
}
pub(crate) use {conversation_columns, everyone};

const FIND: &str = concat!(
    "SELECT ",
    conversation_columns!(),
    " FROM (
        SELECT c.*, me.archived_at, me.pinned_at, me.muted_at, me.muted_until FROM conversations c
        JOIN participants me ON me.conversation_id = c.id AND me.user_id = $1 AND me.left_seq IS NULL
        WHERE c.id = $2
     ) c CROSS JOIN LATERAL ",
    everyone!(),
    " k"
);

const LOOK: &str = concat!(
    "SELECT ", conversation_columns!(), " FROM (
        SELECT c.*, NULL::timestamptz AS archived_at, NULL::timestamptz AS pinned_at, NULL::timestamptz AS muted_at,
            NULL::timestamptz AS muted_until
        FROM conversations c WHERE c.id = $1
     ) c CROSS JOIN LATERAL ", everyone!(), " k"
);

// All of them take the id, both versions, who, when and the event first.
macro_rules! change {
    ($set:literal, $also:literal) => {
        concat!("
    WITH changed AS (
        UPDATE conversations c SET ", $set, ", updated_at = greatest(c.updated_at, $5)
        WHERE c.id = $1 AND c.members_version = $2 AND c.details_version = $3
        RETURNING c.id
    )", $also, ", published AS (
        INSERT INTO outbox (id, kind, payload, at, due_at) SELECT $6, $7, $8, $5, $5 FROM changed
    ), noted AS (
        INSERT INTO changes (conversation_id, kind, user_id, at) SELECT id, 'conversation.updated', $4, $5 FROM changed
    )
    SELECT EXISTS (SELECT 1 FROM changed) AS done")
    };
}

const CHANGE_DETAILS: &str = change!(
    "title = $9, description = $10, settings = $11, related_appointment_id = $12, related_patient_id = $13,
     medical_record_access = $14, priority = $15, labels = $16, tag_index = $17, expires_at = $18,
     details_version = c.details_version + 1",
    ", kept AS (
        UPDATE participants p SET muted_at = CASE WHEN NOT $19 THEN coalesce(p.muted_at, $5) END, muted_until = NULL
        FROM changed WHERE p.conversation_id = changed.id AND p.user_id = $4 AND $19 IS NOT NULL
    )"
);
const CLOSE: &str = change!(
    "is_active = false, closed_at = $5, closed_by = $4, closed_reason = $9, details_version = c.details_version + 1",
    ""
);
const REOPEN: &str = change!(
    "is_active = true, closed_at = NULL, closed_by = NULL, closed_reason = NULL,
     details_version = c.details_version + 1",
    ""
);
const GIVE_ROLE: &str = change!(
    "members_version = c.members_version + 1",
    ", given AS (
        UPDATE participants p SET role = $10
        FROM changed WHERE p.conversation_id = changed.id AND p.user_id = $9 AND p.left_seq IS NULL
    )"
);

const KEEP: &str = "
    WITH kept AS (
        UPDATE participants p SET
            archived_at = CASE $5 WHEN 'archive' THEN coalesce(p.archived_at, $3) WHEN 'unarchive' THEN NULL
                ELSE p.archived_at END,
            pinned_at = CASE $5 WHEN 'pin' THEN coalesce(p.pinned_at, $3) WHEN 'unpin' THEN NULL ELSE p.pinned_at END,
            muted_at = CASE $5 WHEN 'mute' THEN coalesce(p.muted_at, $3) WHEN 'unmute' THEN NULL ELSE p.muted_at END,
            muted_until = CASE $5 WHEN 'mute' THEN $4 WHEN 'unmute' THEN NULL ELSE p.muted_until END
        WHERE p.conversation_id = $1 AND p.user_id = $2 AND p.left_seq IS NULL
        RETURNING p.conversation_id
    ), published AS (
        INSERT INTO outbox (id, kind, payload, at, due_at) SELECT $6, $7, $8, $3, $3 FROM kept
    ), noted AS (
        INSERT INTO changes (conversation_id, kind, user_id, only_for, at)
        SELECT conversation_id, 'conversation.updated', $2, $2, $3 FROM kept
    )
    SELECT EXISTS (SELECT 1 FROM kept) AS done";

const ADD: &str = "
    WITH changed AS (
        UPDATE conversations c SET members_version = c.members_version + 1, updated_at = greatest(c.updated_at, $4)
        WHERE c.id = $1 AND c.members_version = $2 AND NOT EXISTS (
            SELECT 1 FROM participants p WHERE p.conversation_id = $1 AND p.user_id = $3 AND p.left_seq IS NULL)
        RETURNING c.id, c.last_seq
    ), joined AS (
        INSERT INTO participants (conversation_id, user_id, role, joined_at, joined_seq, delivered_up_to, read_up_to)
        SELECT id, $3, 'member', $4, last_seq + 1, last_seq, last_seq FROM changed
        ON CONFLICT (conversation_id, user_id) DO UPDATE SET role = excluded.role,
            joined_at = excluded.joined_at, joined_seq = excluded.joined_seq, left_at = NULL, left_seq = NULL,
            delivered_up_to = excluded.delivered_up_to, read_up_to = excluded.read_up_to, own_total = 0, own_read = 0,
            archived_at = NULL, pinned_at = NULL, muted_at = NULL, muted_until = NULL
    ), published AS (
        INSERT INTO outbox (id, kind, payload, at, due_at) SELECT $5, $6, $7, $4, $4 FROM changed
    ), noted AS (
        INSERT INTO changes (conversation_id, kind, user_id, at) SELECT id, 'participant.joined', $3, $4 FROM changed
    )
    SELECT EXISTS (SELECT 1 FROM changed) OR EXISTS (
        SELECT 1 FROM participants p WHERE p.conversation_id = $1 AND p.user_id = $3 AND p.left_seq IS NULL
    ) AS done";

const REMOVE: &str = "
    WITH changed AS (
        UPDATE conversations c SET members_version = c.members_version + 1, updated_at = greatest(c.updated_at, $4)
        WHERE c.id = $1 AND c.members_version = $2
        RETURNING c.id, c.last_seq
    ), gone AS (
        UPDATE participants p SET left_at = $4, left_seq = changed.last_seq + 1 FROM changed
        WHERE p.conversation_id = changed.id AND p.user_id = $3 AND p.left_seq IS NULL
        RETURNING p.user_id
    ), published AS (
        INSERT INTO outbox (id, kind, payload, at, due_at) SELECT $5, $6, $7, $4, $4 FROM gone
    ), noted AS (
        INSERT INTO changes (conversation_id, kind, user_id, at)
        SELECT $1, 'participant.removed', user_id, $4 FROM gone
    )
    SELECT EXISTS (SELECT 1 FROM changed) AS done";

const AUDIENCE: &str = "
    SELECT c.members_version, coalesce(
        (SELECT array_agg(p.user_id) FROM participants p WHERE p.conversation_id = c.id AND p.left_seq IS NULL),
        '{}') AS members
    FROM conversations c WHERE c.id = $1";

const FACTS: &str = "SELECT kind, purpose, settings FROM conversations WHERE id = $1";

const FORMER: &str =
    "SELECT user_id AS id FROM participants WHERE conversation_id = $1 AND left_seq IS NOT NULL";

#[derive(QueryableByName)]
pub(crate) struct Row {
    #[diesel(sql_type = SqlUuid)]
    c_id: Uuid,
    #[diesel(sql_type = BigInt)]
    c_number: i64,
    #[diesel(sql_type = Text)]
    kind: String,
    #[diesel(sql_type = Nullable<Bytea>)]
    title: Option<Vec<u8>>,
    #[diesel(sql_type = Nullable<Bytea>)]
    description: Option<Vec<u8>>,
    #[diesel(sql_type = SqlUuid)]
    created_by: Uuid,
    #[diesel(sql_type = Timestamptz)]
    c_created_at: DateTime<Utc>,
    #[diesel(sql_type = Timestamptz)]
    updated_at: DateTime<Utc>,
    #[diesel(sql_type = Bool)]
    is_active: bool,
    #[diesel(sql_type = Nullable<Timestamptz>)]
    c_expires_at: Option<DateTime<Utc>>,
    #[diesel(sql_type = BigInt)]
    last_seq: i64,
    #[diesel(sql_type = BigInt)]
    last_revision: i64,
    #[diesel(sql_type = BigInt)]
    message_count: i64,
    #[diesel(sql_type = BigInt)]
    members_version: i64,
    #[diesel(sql_type = BigInt)]
    details_version: i64,
    #[diesel(sql_type = Text)]
    purpose: String,
    #[diesel(sql_type = Jsonb)]
    settings: Value,
    #[diesel(sql_type = Nullable<SqlUuid>)]
    related_appointment_id: Option<Uuid>,
    #[diesel(sql_type = Nullable<SqlUuid>)]
    related_patient_id: Option<Uuid>,
    #[diesel(sql_type = Bool)]
    medical_record_access: bool,
    #[diesel(sql_type = Text)]
    c_priority: String,
    #[diesel(sql_type = Nullable<Bytea>)]
    labels: Option<Vec<u8>>,
    #[diesel(sql_type = Nullable<Timestamptz>)]
    closed_at: Option<DateTime<Utc>>,
    #[diesel(sql_type = Nullable<SqlUuid>)]
    closed_by: Option<Uuid>,
    #[diesel(sql_type = Nullable<Bytea>)]
    closed_reason: Option<Vec<u8>>,
    #[diesel(sql_type = Nullable<Timestamptz>)]
    archived_at: Option<DateTime<Utc>>,
    #[diesel(sql_type = Nullable<Timestamptz>)]
    pinned_at: Option<DateTime<Utc>>,
    #[diesel(sql_type = Nullable<Timestamptz>)]
    muted_at: Option<DateTime<Utc>>,
    #[diesel(sql_type = Nullable<Timestamptz>)]
    muted_until: Option<DateTime<Utc>>,
    #[diesel(sql_type = Array<SqlUuid>)]
    pub(crate) users: Vec<Uuid>,
    #[diesel(sql_type = Array<Text>)]
    roles: Vec<String>,
    #[diesel(sql_type = Array<Timestamptz>)]
    joined_ats: Vec<DateTime<Utc>>,
    #[diesel(sql_type = Array<BigInt>)]
    joined_seqs: Vec<i64>,
}

impl Row {
    pub(crate) fn restore(self) -> Result<StoredConversation, Error> {
        let members =
            self.users.into_iter().zip(self.roles).zip(self.joined_ats.into_iter().zip(self.joined_seqs));
        let participants = members
            .map(|((user, role), (joined_at, joined_seq))| {
                Ok(Participant { user_id: user.into(), role: role.parse()?, joined_at, joined_seq })
            })
            .collect::<Result<_, Error>>()?;
        let closed = self.closed_at.zip(self.closed_by);
        let mute = self.muted_at.map(|since| Mute { since, until: self.muted_until });
        Ok(StoredConversation {
            conversation: Conversation {
                id: self.c_id.into(),
                number: self.c_number,
                kind: self.kind.parse()?,
                purpose: self.purpose.parse()?,
                settings: serde_json::from_value(self.settings).map_err(unavailable)?,
                title: None,
                description: None,
                metadata: Metadata {
                    related_appointment_id: self.related_appointment_id.map(ConsultationId::from),
                    related_patient_id: self.related_patient_id.map(UserId::from),
                    medical_record_access: self.medical_record_access,
                    priority: self.c_priority.parse()?,
                    consultation_type: None,
                    tags: Vec::new(),
                },
                participants,
                created_by: self.created_by.into(),
                created_at: self.c_created_at,
                updated_at: self.updated_at,
                is_active: self.is_active,
                expires_at: self.c_expires_at,
                closed: closed.map(|(at, by)| Closed { at, by: by.into(), reason: None }),
                mine: Personal { archived_at: self.archived_at, pinned_at: self.pinned_at, mute },
                last_seq: self.last_seq,
                last_revision: self.last_revision,
                message_count: self.message_count,
                members_version: self.members_version,
                details_version: self.details_version,
            },
            title: self.title.map(Sealed::from_bytes),
            description: self.description.map(Sealed::from_bytes),
            labels: self.labels.map(Sealed::from_bytes),
            closed_reason: self.closed_reason.map(Sealed::from_bytes),
        })
    }
}

#[derive(QueryableByName)]
struct FactsRow {
    #[diesel(sql_type = Text)]
    kind: String,
    #[diesel(sql_type = Text)]
    purpose: String,
    #[diesel(sql_type = Jsonb)]
    settings: Value,
}

#[derive(QueryableByName)]
struct Earlier {
    #[diesel(sql_type = SqlUuid)]
    id: Uuid,
    #[diesel(sql_type = Bool)]
    same: bool,
    #[diesel(sql_type = Bool)]
    by_key: bool,
}

#[derive(QueryableByName)]
struct Done {
    #[diesel(sql_type = Bool)]
    done: bool,
}

#[derive(QueryableByName)]
struct AudienceRow {
    #[diesel(sql_type = BigInt)]
    members_version: i64,
    #[diesel(sql_type = Array<SqlUuid>)]
    members: Vec<Uuid>,
}

pub(crate) fn unavailable(error: impl Into<BoxError>) -> Error {
    Error::Unavailable(error.into())
}

fn tag_digests(labels: &StoredLabels) -> Vec<&[u8]> {
    labels.tags.iter().map(<[u8; 16]>::as_slice).collect()
}

/// The two people of a direct conversation, the smaller id first.
fn direct_pair(new: &NewConversation) -> Option<(Uuid, Uuid)> {
    match (new.kind, new.participants.as_slice()) {
        (Kind::Direct, [(a, _), (b, _)]) => Some((a.min(b).uuid(), a.max(b).uuid())),
        _ => None,
    }
}

impl Database {
    /// Runs `ADD` or `REMOVE`.
    async fn change_members(
        &self,
        sql: &'static str,
        id: ConversationId,
        members_version: i64,
        user: UserId,
        now: DateTime<Utc>,
        event: Event,
    ) -> Result<(), Error> {
        let query = diesel::sql_query(sql)
            .bind::<SqlUuid, _>(id.uuid())
            .bind::<BigInt, _>(members_version)
            .bind::<SqlUuid, _>(user.uuid())
            .bind::<Timestamptz, _>(now)
            .bind::<SqlUuid, _>(event.id.uuid())
            .bind::<Text, _>(event.kind)
            .bind::<Jsonb, _>(event.payload);
        let mut connection = self.connection().await.map_err(unavailable)?;
        let row: Done = prepared(query).get_result(&mut connection).await.map_err(unavailable)?;
        self.ring();
        if row.done { Ok(()) } else { Err(Error::Stale) }
    }
}

#[async_trait]
impl ConversationStore for Database {
    async fn create(&self, new: &NewConversation, event: Event) -> Result<Created, Error> {
        let (low, high) = direct_pair(new).unzip();
        let (key, fingerprint) =
            new.idempotency.as_ref().map(|(key, print)| (key.as_str(), print.to_vec())).unzip();
        let (users, roles): (Vec<_>, Vec<_>) =
            new.participants.iter().map(|(user, role)| (user.uuid(), role.as_str())).unzip();
        let insert = diesel::sql_query(CREATE)
            .bind::<SqlUuid, _>(new.id.uuid())
            .bind::<Text, _>(new.kind.as_str())
            .bind::<Nullable<Bytea>, _>(new.title.as_ref().map(Sealed::as_bytes))
            .bind::<Nullable<Bytea>, _>(new.description.as_ref().map(Sealed::as_bytes))
            .bind::<SqlUuid, _>(new.created_by.uuid())
            .bind::<Timestamptz, _>(new.created_at)
            .bind::<Nullable<SqlUuid>, _>(low)
            .bind::<Nullable<SqlUuid>, _>(high)
            .bind::<Nullable<Text>, _>(key)
            .bind::<Nullable<Bytea>, _>(fingerprint.clone())
            .bind::<Array<SqlUuid>, _>(users)
            .bind::<Array<Text>, _>(roles)
            .bind::<SqlUuid, _>(event.id.uuid())
            .bind::<Text, _>(event.kind)
            .bind::<Jsonb, _>(event.payload)
            .bind::<Text, _>(new.purpose.as_str())
            .bind::<Jsonb, _>(serde_json::to_value(new.settings).map_err(unavailable)?)
            .bind::<Nullable<SqlUuid>, _>(new.metadata.related_appointment_id.map(Uuid::from))
            .bind::<Nullable<SqlUuid>, _>(new.metadata.related_patient_id.map(Uuid::from))
            .bind::<Bool, _>(new.metadata.medical_record_access)
            .bind::<Text, _>(new.metadata.priority.as_str())
            .bind::<Nullable<Bytea>, _>(new.labels.sealed.as_ref().map(Sealed::as_bytes))
            .bind::<Array<Bytea>, _>(tag_digests(&new.labels))
            .bind::<Nullable<Timestamptz>, _>(new.expires_at)
            .bind::<Bool, _>(new.notifies_creator);
        let mut connection = self.connection().await.map_err(unavailable)?;
        let created: Vec<Id> = prepared(insert).load(&mut connection).await.map_err(unavailable)?;
        if created.iter().any(|row| row.id == new.id.uuid()) {
            self.ring();
            return Ok(Created::New);
        }
        // The conflict waited for whoever was first; a new statement sees what they stored.
        let find = diesel::sql_query(FIND_EARLIER)
            .bind::<SqlUuid, _>(new.created_by.uuid())
            .bind::<Nullable<Text>, _>(key)
            .bind::<Nullable<Bytea>, _>(fingerprint)
            .bind::<Nullable<SqlUuid>, _>(low)
            .bind::<Nullable<SqlUuid>, _>(high);
        let earlier: Earlier = prepared(find).get_result(&mut connection).await.map_err(unavailable)?;
        match earlier {
            Earlier { same: false, .. } => Err(Error::KeyReused),
            Earlier { id, by_key: true, .. } => Ok(Created::Repeat(id.into())),
            Earlier { id, .. } => Ok(Created::DirectExists(id.into())),
        }
    }

    async fn find(&self, viewer: UserId, id: ConversationId) -> Result<Option<StoredConversation>, Error> {
        let query = diesel::sql_query(FIND).bind::<SqlUuid, _>(viewer.uuid()).bind::<SqlUuid, _>(id.uuid());
        let mut connection = self.connection().await.map_err(unavailable)?;
        let rows: Vec<Row> = prepared(query).load(&mut connection).await.map_err(unavailable)?;
        rows.into_iter().next().map(Row::restore).transpose()
    }

    async fn look(&self, id: ConversationId) -> Result<Option<StoredConversation>, Error> {
        let query = diesel::sql_query(LOOK).bind::<SqlUuid, _>(id.uuid());
        let mut connection = self.connection().await.map_err(unavailable)?;
        let rows: Vec<Row> = prepared(query).load(&mut connection).await.map_err(unavailable)?;
        rows.into_iter().next().map(Row::restore).transpose()
    }

    async fn change(
        &self,
        id: ConversationId,
        versions: Versions,
        by: UserId,
        change: &Change,
        now: DateTime<Utc>,
        event: Event,
    ) -> Result<(), Error> {
        let sql = match change {
            Change::Details(..) => CHANGE_DETAILS,
            Change::Close(_) => CLOSE,
            Change::Reopen => REOPEN,
            Change::Role(..) => GIVE_ROLE,
        };
        let query = diesel::sql_query(sql)
            .bind::<SqlUuid, _>(id.uuid())
            .bind::<BigInt, _>(versions.members)
            .bind::<BigInt, _>(versions.details)
            .bind::<SqlUuid, _>(by.uuid())
            .bind::<Timestamptz, _>(now)
            .bind::<SqlUuid, _>(event.id.uuid())
            .bind::<Text, _>(event.kind)
            .bind::<Jsonb, _>(event.payload);
        let mut connection = self.connection().await.map_err(unavailable)?;
        let done: Result<Done, _> = match change {
            Change::Details(details, notifies) => {
                let NewDetails { title, description, settings, metadata, labels, expires_at } = &**details;
                let query = query
                    .bind::<Nullable<Bytea>, _>(title.as_ref().map(Sealed::as_bytes))
                    .bind::<Nullable<Bytea>, _>(description.as_ref().map(Sealed::as_bytes))
                    .bind::<Jsonb, _>(serde_json::to_value(settings).map_err(unavailable)?)
                    .bind::<Nullable<SqlUuid>, _>(metadata.related_appointment_id.map(Uuid::from))
                    .bind::<Nullable<SqlUuid>, _>(metadata.related_patient_id.map(Uuid::from))
                    .bind::<Bool, _>(metadata.medical_record_access)
                    .bind::<Text, _>(metadata.priority.as_str())
                    .bind::<Nullable<Bytea>, _>(labels.sealed.as_ref().map(Sealed::as_bytes))
                    .bind::<Array<Bytea>, _>(tag_digests(labels))
                    .bind::<Nullable<Timestamptz>, _>(*expires_at)
                    .bind::<Nullable<Bool>, _>(*notifies);
                prepared(query).get_result(&mut connection).await
            }
            Change::Close(reason) => {
                let query = query.bind::<Nullable<Bytea>, _>(reason.as_ref().map(Sealed::as_bytes));
                prepared(query).get_result(&mut connection).await
            }
            Change::Reopen => prepared(query).get_result(&mut connection).await,
            Change::Role(user, role) => {
                let query = query.bind::<SqlUuid, _>(user.uuid()).bind::<Text, _>(role.as_str());
                prepared(query).get_result(&mut connection).await
            }
        };
        self.ring();
        if done.map_err(unavailable)?.done { Ok(()) } else { Err(Error::Stale) }
    }

    async fn keep(
        &self,
        id: ConversationId,
        user: UserId,
        change: PersonalChange,
        now: DateTime<Utc>,
        event: Event,
    ) -> Result<bool, Error> {
        let (what, until) = match change {
            PersonalChange::Archive(true) => ("archive", None),
            PersonalChange::Archive(false) => ("unarchive", None),
            PersonalChange::Pin(true) => ("pin", None),
            PersonalChange::Pin(false) => ("unpin", None),
            PersonalChange::Mute(until) => ("mute", until),
            PersonalChange::Unmute => ("unmute", None),
        };
        let query = diesel::sql_query(KEEP)
            .bind::<SqlUuid, _>(id.uuid())
            .bind::<SqlUuid, _>(user.uuid())
            .bind::<Timestamptz, _>(now)
            .bind::<Nullable<Timestamptz>, _>(until)
            .bind::<Text, _>(what)
            .bind::<SqlUuid, _>(event.id.uuid())
            .bind::<Text, _>(event.kind)
            .bind::<Jsonb, _>(event.payload);
        let mut connection = self.connection().await.map_err(unavailable)?;
        let row: Done = prepared(query).get_result(&mut connection).await.map_err(unavailable)?;
        self.ring();
        Ok(row.done)
    }

    async fn add(
        &self,
        id: ConversationId,
        members_version: i64,
        user: UserId,
        now: DateTime<Utc>,
        event: Event,
    ) -> Result<(), Error> {
        self.change_members(ADD, id, members_version, user, now, event).await
    }

    async fn remove(
        &self,
        id: ConversationId,
        members_version: i64,
        user: UserId,
        now: DateTime<Utc>,
        event: Event,
    ) -> Result<(), Error> {
        self.change_members(REMOVE, id, members_version, user, now, event).await
    }

    async fn facts(&self, id: ConversationId) -> Result<Option<Facts>, Error> {
        let query = diesel::sql_query(FACTS).bind::<SqlUuid, _>(id.uuid());
        let mut connection = self.connection().await.map_err(unavailable)?;
        let rows: Vec<FactsRow> = prepared(query).load(&mut connection).await.map_err(unavailable)?;
        let facts = |row: FactsRow| {
            Ok(Facts {
                kind: row.kind.parse()?,
                purpose: row.purpose.parse()?,
                settings: serde_json::from_value(row.settings).map_err(unavailable)?,
            })
        };
        rows.into_iter().next().map(facts).transpose()
    }

    async fn audience(&self, id: ConversationId) -> Result<Option<Audience>, Error> {
        let query = diesel::sql_query(AUDIENCE).bind::<SqlUuid, _>(id.uuid());
        let mut connection = self.connection().await.map_err(unavailable)?;
        let rows: Vec<AudienceRow> = prepared(query).load(&mut connection).await.map_err(unavailable)?;
        let audience = |row: AudienceRow| Audience {
            members_version: row.members_version,
            members: row.members.into_iter().map(UserId::from).collect(),
        };
        Ok(rows.into_iter().next().map(audience))
    }

    async fn former(&self, id: ConversationId) -> Result<Vec<UserId>, Error> {
        let query = diesel::sql_query(FORMER).bind::<SqlUuid, _>(id.uuid());
        let mut connection = self.connection().await.map_err(unavailable)?;
        let rows: Vec<Id> = prepared(query).load(&mut connection).await.map_err(unavailable)?;
        Ok(rows.into_iter().map(|row| row.id.into()).collect())
    }
}
