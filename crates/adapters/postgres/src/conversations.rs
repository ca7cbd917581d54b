//! `conversations::ConversationStore`.

use alivio_conversations::{
    Audience, Conversation, ConversationStore, Created, Error, Facts, Kind, ListQuery, NewConversation,
    Participant, StoredConversation,
};
use alivio_kernel::ids::{ConversationId, UserId, Uuid};
use alivio_kernel::{BoxError, Event, Sealed};
use async_trait::async_trait;
use chrono::{DateTime, Utc};
use diesel::QueryableByName;
use diesel::sql_types::{Array, BigInt, Bool, Bytea, Jsonb, Nullable, Text, Timestamptz, Uuid as SqlUuid};
use diesel_async::RunQueryDsl;
use serde_json::Value;

use crate::Database;
use crate::sql::prepared;

// Nothing is stored unless the conversation is: the other inserts select from the row it returns.
const CREATE: &str = "
    WITH created AS (
        INSERT INTO conversations (id, kind, title, description, created_by, created_at, updated_at,
            direct_low, direct_high, creation_key, creation_fingerprint, purpose, settings)
        VALUES ($1, $2, $3, $4, $5, $6, $6, $7, $8, $9, $10, $16, $17)
        ON CONFLICT DO NOTHING
        RETURNING id
    ), joined AS (
        INSERT INTO participants (conversation_id, user_id, role, joined_at, joined_seq, delivered_up_to, read_up_to)
        SELECT created.id, member.user_id, member.role, $6, 1, 0, 0
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

macro_rules! select_conversation {
    ($picked:literal, $order:literal) => {
        concat!(
            "SELECT c.id, c.ref_number, c.kind, c.title, c.description, c.created_by, c.created_at, c.updated_at,
                c.is_active, c.last_seq, c.message_count, c.members_version, c.purpose, c.settings,
                m.users, m.roles, m.joined_ats, m.joined_seqs
            FROM (", $picked, ") c
            CROSS JOIN LATERAL (
                SELECT array_agg(p.user_id ORDER BY p.joined_at, p.user_id) AS users,
                    array_agg(p.role ORDER BY p.joined_at, p.user_id) AS roles,
                    array_agg(p.joined_at ORDER BY p.joined_at, p.user_id) AS joined_ats,
                    array_agg(p.joined_seq ORDER BY p.joined_at, p.user_id) AS joined_seqs
                FROM participants p WHERE p.conversation_id = c.id AND p.left_seq IS NULL
            ) m ", $order)
    };
}

const FIND: &str = select_conversation!(
    "SELECT c.* FROM conversations c
     JOIN participants me ON me.conversation_id = c.id AND me.user_id = $1 AND me.left_seq IS NULL
     WHERE c.id = $2",
    ""
);

const LIST: &str = select_conversation!(
    "SELECT c.* FROM participants me
     JOIN conversations c ON c.id = me.conversation_id
     WHERE me.user_id = $1 AND me.left_seq IS NULL
       AND ($2::text IS NULL OR c.kind = $2)
       AND ($3::timestamptz IS NULL OR (c.updated_at, c.id) < ($3, $4::uuid))
     ORDER BY c.updated_at DESC, c.id DESC OFFSET $5 LIMIT $6",
    "ORDER BY c.updated_at DESC, c.id DESC"
);

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
            delivered_up_to = excluded.delivered_up_to, read_up_to = excluded.read_up_to, own_total = 0, own_read = 0
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

const FORMER: &str = "SELECT user_id FROM participants WHERE conversation_id = $1 AND left_seq IS NOT NULL";

#[derive(QueryableByName)]
struct FormerRow {
    #[diesel(sql_type = SqlUuid)]
    user_id: Uuid,
}

#[derive(QueryableByName)]
struct Row {
    #[diesel(sql_type = SqlUuid)]
    id: Uuid,
    #[diesel(sql_type = BigInt)]
    ref_number: i64,
    #[diesel(sql_type = Text)]
    kind: String,
    #[diesel(sql_type = Nullable<Bytea>)]
    title: Option<Vec<u8>>,
    #[diesel(sql_type = Nullable<Bytea>)]
    description: Option<Vec<u8>>,
    #[diesel(sql_type = SqlUuid)]
    created_by: Uuid,
    #[diesel(sql_type = Timestamptz)]
    created_at: DateTime<Utc>,
    #[diesel(sql_type = Timestamptz)]
    updated_at: DateTime<Utc>,
    #[diesel(sql_type = Bool)]
    is_active: bool,
    #[diesel(sql_type = BigInt)]
    last_seq: i64,
    #[diesel(sql_type = BigInt)]
    message_count: i64,
    #[diesel(sql_type = BigInt)]
    members_version: i64,
    #[diesel(sql_type = Text)]
    purpose: String,
    #[diesel(sql_type = Jsonb)]
    settings: Value,
    #[diesel(sql_type = Array<SqlUuid>)]
    users: Vec<Uuid>,
    #[diesel(sql_type = Array<Text>)]
    roles: Vec<String>,
    #[diesel(sql_type = Array<Timestamptz>)]
    joined_ats: Vec<DateTime<Utc>>,
    #[diesel(sql_type = Array<BigInt>)]
    joined_seqs: Vec<i64>,
}

impl Row {
    fn restore(self) -> Result<StoredConversation, Error> {
        let members =
            self.users.into_iter().zip(self.roles).zip(self.joined_ats.into_iter().zip(self.joined_seqs));
        let participants = members
            .map(|((user, role), (joined_at, joined_seq))| {
                Ok(Participant { user_id: user.into(), role: role.parse()?, joined_at, joined_seq })
            })
            .collect::<Result<_, Error>>()?;
        Ok(StoredConversation {
            conversation: Conversation {
                id: self.id.into(),
                number: self.ref_number,
                kind: self.kind.parse()?,
                purpose: self.purpose.parse()?,
                settings: serde_json::from_value(self.settings).map_err(unavailable)?,
                title: None,
                description: None,
                participants,
                created_by: self.created_by.into(),
                created_at: self.created_at,
                updated_at: self.updated_at,
                is_active: self.is_active,
                last_seq: self.last_seq,
                message_count: self.message_count,
                members_version: self.members_version,
            },
            title: self.title.map(Sealed::from_bytes),
            description: self.description.map(Sealed::from_bytes),
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
struct Id {
    #[diesel(sql_type = SqlUuid)]
    id: Uuid,
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

fn unavailable(error: impl Into<BoxError>) -> Error {
    Error::Unavailable(error.into())
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
            .bind::<Jsonb, _>(serde_json::to_value(new.settings).map_err(unavailable)?);
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

    async fn list(&self, viewer: UserId, list: &ListQuery) -> Result<Vec<StoredConversation>, Error> {
        let query = diesel::sql_query(LIST)
            .bind::<SqlUuid, _>(viewer.uuid())
            .bind::<Nullable<Text>, _>(list.kind.map(Kind::as_str))
            .bind::<Nullable<Timestamptz>, _>(list.after.map(|after| after.updated_at))
            .bind::<Nullable<SqlUuid>, _>(list.after.map(|after| after.id.uuid()))
            .bind::<BigInt, _>(list.offset)
            .bind::<BigInt, _>(list.size.get() + 1);
        let mut connection = self.connection().await.map_err(unavailable)?;
        let rows: Vec<Row> = prepared(query).load(&mut connection).await.map_err(unavailable)?;
        rows.into_iter().map(Row::restore).collect()
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
        let rows: Vec<FormerRow> = prepared(query).load(&mut connection).await.map_err(unavailable)?;
        Ok(rows.into_iter().map(|row| row.user_id.into()).collect())
    }
}
