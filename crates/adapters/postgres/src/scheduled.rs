//! `messages::ScheduledStore` and `messages::DraftStore`: what is sent later, and what is not sent yet.

use std::slice;

use alivio_kernel::ids::{ConversationId, MessageId, ScheduledMessageId, UserId, Uuid};
use alivio_kernel::{BoxError, PageSize, Sealed};
use alivio_messages::{
    ClientMessageId, DraftStore, Earlier, Error, NewScheduled, Outcome, Scheduled, ScheduledChange,
    ScheduledState, ScheduledStore, StoredDraft, StoredScheduled,
};
use async_trait::async_trait;
use chrono::{DateTime, Utc};
use diesel::QueryableByName;
use diesel::sql_types::{BigInt, Bool, Bytea, Integer, Jsonb, Nullable, Text, Timestamptz, Uuid as SqlUuid};
use diesel_async::RunQueryDsl;

use crate::sql::{Id, prepared};
use crate::{Database, effects};

macro_rules! published {
    ($events:literal, $from:literal) => {
        concat!(
            "INSERT INTO outbox (id, kind, payload, at, due_at) SELECT e.id, e.kind, e.payload, e.at, e.due_at
             FROM ", $from, ", jsonb_to_recordset(", $events, ") AS e (id uuid, kind text, payload jsonb,
             at timestamptz, due_at timestamptz)"
        )
    };
}

// A conflict waits for whoever makes the same; then the row of the other is found by the next statement.
const CREATE: &str = concat!(
    "WITH member AS (
        SELECT 1 FROM participants p WHERE p.conversation_id = $2 AND p.user_id = $3 AND p.left_seq IS NULL
    ), created AS (
        INSERT INTO scheduled_messages (id, conversation_id, sender_id, client_message_id, fingerprint, draft, due_at,
            created_at, updated_at)
        SELECT $1, $2, $3, $4, $5, $6, $7, $8, $8 FROM member
        ON CONFLICT (conversation_id, sender_id, client_message_id) DO NOTHING
        RETURNING id
    ), published AS (",
    published!("$9", "created"),
    ")
    SELECT EXISTS (SELECT 1 FROM member) AS is_member, EXISTS (SELECT 1 FROM created) AS is_new"
);

const EARLIER: &str = "
    SELECT id, fingerprint = $4 AS same FROM scheduled_messages
    WHERE conversation_id = $1 AND sender_id = $2 AND client_message_id = $3";

macro_rules! columns {
    () => {
        "s.id, s.conversation_id, s.sender_id, s.due_at, s.state, s.message_id, s.reason, s.created_at, s.updated_at,
         s.version, s.draft"
    };
}

const FIND: &str =
    concat!("SELECT ", columns!(), " FROM scheduled_messages s WHERE s.id = $1 AND s.sender_id = $2");

const LIST: &str = concat!(
    "SELECT ",
    columns!(),
    " FROM scheduled_messages s
    WHERE s.sender_id = $1 AND ($2::text IS NULL OR s.state = $2)
      AND ($3::timestamptz IS NULL OR (s.due_at, s.id) < ($3, $4))
    ORDER BY s.due_at DESC, s.id DESC LIMIT $5"
);

const CHANGE: &str = concat!(
    "WITH changed AS (
        UPDATE scheduled_messages s SET draft = $4, version = s.version + 1, due_at = $5, updated_at = $6
        WHERE s.id = $1 AND s.sender_id = $2 AND s.version = $3 AND s.state = 'pending'
        RETURNING s.id
    ), published AS (",
    published!("$7", "changed"),
    ")
    SELECT id FROM changed"
);

const CANCEL: &str = "
    UPDATE scheduled_messages SET state = 'cancelled', updated_at = $3
    WHERE id = $1 AND sender_id = $2 AND state = 'pending'";

const CLAIM: &str = concat!(
    "UPDATE scheduled_messages s SET state = 'sending', updated_at = $2
    WHERE s.id = $1 AND s.state IN ('pending', 'sending') AND s.due_at <= $2
    RETURNING ",
    columns!()
);

const SETTLE: &str = "
    UPDATE scheduled_messages SET state = $2, message_id = $3, reason = $4, updated_at = $5
    WHERE id = $1 AND state = 'sending'";

// Membership cannot end between the look and the write: whoever removes someone waits for the share lock.
const PUT_DRAFT: &str = "
    INSERT INTO message_drafts (user_id, conversation_id, content, reply_to, updated_at)
    SELECT p.user_id, p.conversation_id, $3, $4, $5 FROM participants p
    WHERE p.conversation_id = $2 AND p.user_id = $1 AND p.left_seq IS NULL
    FOR SHARE
    ON CONFLICT (user_id, conversation_id)
    DO UPDATE SET content = excluded.content, reply_to = excluded.reply_to, updated_at = excluded.updated_at";

const GET_DRAFT: &str = "
    SELECT d.conversation_id, d.content, d.reply_to, d.updated_at FROM message_drafts d
    JOIN participants p ON p.conversation_id = d.conversation_id AND p.user_id = d.user_id AND p.left_seq IS NULL
    WHERE d.user_id = $1 AND d.conversation_id = $2";

const LIST_DRAFTS: &str = "
    SELECT d.conversation_id, d.content, d.reply_to, d.updated_at FROM message_drafts d
    JOIN participants p ON p.conversation_id = d.conversation_id AND p.user_id = d.user_id AND p.left_seq IS NULL
    WHERE d.user_id = $1 AND ($2::timestamptz IS NULL OR (d.updated_at, d.conversation_id) < ($2, $3))
    ORDER BY d.updated_at DESC, d.conversation_id DESC LIMIT $4";

const REMOVE_DRAFT: &str = "DELETE FROM message_drafts WHERE user_id = $1 AND conversation_id = $2";

#[derive(QueryableByName)]
struct CreatedRow {
    #[diesel(sql_type = Bool)]
    is_member: bool,
    #[diesel(sql_type = Bool)]
    is_new: bool,
}

#[derive(QueryableByName)]
struct EarlierRow {
    #[diesel(sql_type = SqlUuid)]
    id: Uuid,
    #[diesel(sql_type = Bool)]
    same: bool,
}

#[derive(QueryableByName)]
struct ScheduledRow {
    #[diesel(sql_type = SqlUuid)]
    id: Uuid,
    #[diesel(sql_type = SqlUuid)]
    conversation_id: Uuid,
    #[diesel(sql_type = SqlUuid)]
    sender_id: Uuid,
    #[diesel(sql_type = Timestamptz)]
    due_at: DateTime<Utc>,
    #[diesel(sql_type = Text)]
    state: String,
    #[diesel(sql_type = Nullable<SqlUuid>)]
    message_id: Option<Uuid>,
    #[diesel(sql_type = Nullable<Text>)]
    reason: Option<String>,
    #[diesel(sql_type = Timestamptz)]
    created_at: DateTime<Utc>,
    #[diesel(sql_type = Timestamptz)]
    updated_at: DateTime<Utc>,
    #[diesel(sql_type = Integer)]
    version: i32,
    #[diesel(sql_type = Bytea)]
    draft: Vec<u8>,
}

impl ScheduledRow {
    fn restore(self) -> Result<StoredScheduled, Error> {
        Ok(StoredScheduled {
            id: self.id.into(),
            conversation_id: self.conversation_id.into(),
            sender_id: self.sender_id.into(),
            due_at: self.due_at,
            state: self.state.parse()?,
            message_id: self.message_id.map(MessageId::from),
            reason: self.reason,
            created_at: self.created_at,
            updated_at: self.updated_at,
            version: u32::try_from(self.version).map_err(unavailable)?,
            draft: Sealed::from_bytes(self.draft),
        })
    }
}

#[derive(QueryableByName)]
struct DraftRow {
    #[diesel(sql_type = SqlUuid)]
    conversation_id: Uuid,
    #[diesel(sql_type = Bytea)]
    content: Vec<u8>,
    #[diesel(sql_type = Nullable<SqlUuid>)]
    reply_to: Option<Uuid>,
    #[diesel(sql_type = Timestamptz)]
    updated_at: DateTime<Utc>,
}

impl From<DraftRow> for StoredDraft {
    fn from(row: DraftRow) -> Self {
        Self {
            conversation_id: row.conversation_id.into(),
            content: Sealed::from_bytes(row.content),
            reply_to: row.reply_to.map(MessageId::from),
            updated_at: row.updated_at,
        }
    }
}

fn unavailable(error: impl Into<BoxError>) -> Error {
    Error::Unavailable(error.into())
}

fn version(version: u32) -> Result<i32, Error> {
    i32::try_from(version).map_err(unavailable)
}

#[async_trait]
impl ScheduledStore for Database {
    async fn create(&self, new: &NewScheduled) -> Result<Scheduled, Error> {
        let query = diesel::sql_query(CREATE)
            .bind::<SqlUuid, _>(new.id.uuid())
            .bind::<SqlUuid, _>(new.conversation_id.uuid())
            .bind::<SqlUuid, _>(new.sender_id.uuid())
            .bind::<Text, _>(new.client_message_id.as_str())
            .bind::<Bytea, _>(new.fingerprint.as_slice())
            .bind::<Bytea, _>(new.draft.as_bytes())
            .bind::<Timestamptz, _>(new.due_at)
            .bind::<Timestamptz, _>(new.created_at)
            .bind::<Jsonb, _>(effects::events_json(slice::from_ref(&new.timer)));
        let mut connection = self.connection().await.map_err(unavailable)?;
        let made: CreatedRow = prepared(query).get_result(&mut connection).await.map_err(unavailable)?;
        if !made.is_member {
            return Ok(Scheduled::NotAMember);
        }
        if made.is_new {
            return Ok(Scheduled::New);
        }
        drop(connection);
        let earlier =
            self.earlier(new.sender_id, new.conversation_id, &new.client_message_id, new.fingerprint);
        let earlier =
            earlier.await?.ok_or_else(|| unavailable("a message of that name is there, and is not"))?;
        Ok(Scheduled::Earlier(earlier))
    }

    async fn earlier(
        &self,
        sender: UserId,
        conversation: ConversationId,
        name: &ClientMessageId,
        fingerprint: [u8; 16],
    ) -> Result<Option<Earlier>, Error> {
        let query = diesel::sql_query(EARLIER)
            .bind::<SqlUuid, _>(conversation.uuid())
            .bind::<SqlUuid, _>(sender.uuid())
            .bind::<Text, _>(name.as_str())
            .bind::<Bytea, _>(fingerprint.as_slice());
        let mut connection = self.connection().await.map_err(unavailable)?;
        let rows: Vec<EarlierRow> = prepared(query).load(&mut connection).await.map_err(unavailable)?;
        let earlier = |row: EarlierRow| if row.same { Earlier::Same(row.id.into()) } else { Earlier::Other };
        Ok(rows.into_iter().next().map(earlier))
    }

    async fn find(&self, sender: UserId, id: ScheduledMessageId) -> Result<Option<StoredScheduled>, Error> {
        let query = diesel::sql_query(FIND).bind::<SqlUuid, _>(id.uuid()).bind::<SqlUuid, _>(sender.uuid());
        let mut connection = self.connection().await.map_err(unavailable)?;
        let rows: Vec<ScheduledRow> = prepared(query).load(&mut connection).await.map_err(unavailable)?;
        rows.into_iter().next().map(ScheduledRow::restore).transpose()
    }

    async fn list(
        &self,
        sender: UserId,
        state: Option<ScheduledState>,
        after: Option<(DateTime<Utc>, ScheduledMessageId)>,
        size: PageSize,
    ) -> Result<Vec<StoredScheduled>, Error> {
        let query = diesel::sql_query(LIST)
            .bind::<SqlUuid, _>(sender.uuid())
            .bind::<Nullable<Text>, _>(state.map(ScheduledState::as_str))
            .bind::<Nullable<Timestamptz>, _>(after.map(|(at, _)| at))
            .bind::<Nullable<SqlUuid>, _>(after.map(|(_, id)| id.uuid()))
            .bind::<BigInt, _>(size.get() + 1);
        let mut connection = self.connection().await.map_err(unavailable)?;
        let rows: Vec<ScheduledRow> = prepared(query).load(&mut connection).await.map_err(unavailable)?;
        rows.into_iter().map(ScheduledRow::restore).collect()
    }

    async fn change(&self, change: &ScheduledChange) -> Result<bool, Error> {
        let query = diesel::sql_query(CHANGE)
            .bind::<SqlUuid, _>(change.id.uuid())
            .bind::<SqlUuid, _>(change.sender_id.uuid())
            .bind::<Integer, _>(version(change.version)?)
            .bind::<Bytea, _>(change.draft.as_bytes())
            .bind::<Timestamptz, _>(change.due_at)
            .bind::<Timestamptz, _>(change.now)
            .bind::<Jsonb, _>(effects::events_json(slice::from_ref(&change.timer)));
        let mut connection = self.connection().await.map_err(unavailable)?;
        let rows: Vec<Id> = prepared(query).load(&mut connection).await.map_err(unavailable)?;
        Ok(!rows.is_empty())
    }

    async fn cancel(
        &self,
        sender: UserId,
        id: ScheduledMessageId,
        now: DateTime<Utc>,
    ) -> Result<bool, Error> {
        let query = diesel::sql_query(CANCEL)
            .bind::<SqlUuid, _>(id.uuid())
            .bind::<SqlUuid, _>(sender.uuid())
            .bind::<Timestamptz, _>(now);
        let mut connection = self.connection().await.map_err(unavailable)?;
        Ok(prepared(query).execute(&mut connection).await.map_err(unavailable)? == 1)
    }

    async fn claim(
        &self,
        id: ScheduledMessageId,
        now: DateTime<Utc>,
    ) -> Result<Option<StoredScheduled>, Error> {
        let query = diesel::sql_query(CLAIM).bind::<SqlUuid, _>(id.uuid()).bind::<Timestamptz, _>(now);
        let mut connection = self.connection().await.map_err(unavailable)?;
        let rows: Vec<ScheduledRow> = prepared(query).load(&mut connection).await.map_err(unavailable)?;
        rows.into_iter().next().map(ScheduledRow::restore).transpose()
    }

    async fn settle(
        &self,
        id: ScheduledMessageId,
        outcome: &Outcome,
        now: DateTime<Utc>,
    ) -> Result<bool, Error> {
        let (state, message, reason) = match outcome {
            Outcome::Sent(message) => (ScheduledState::Sent, Some(message.uuid()), None),
            Outcome::Refused(reason) => (ScheduledState::Refused, None, Some(*reason)),
        };
        let query = diesel::sql_query(SETTLE)
            .bind::<SqlUuid, _>(id.uuid())
            .bind::<Text, _>(state.as_str())
            .bind::<Nullable<SqlUuid>, _>(message)
            .bind::<Nullable<Text>, _>(reason)
            .bind::<Timestamptz, _>(now);
        let mut connection = self.connection().await.map_err(unavailable)?;
        Ok(prepared(query).execute(&mut connection).await.map_err(unavailable)? == 1)
    }
}

#[async_trait]
impl DraftStore for Database {
    async fn put(&self, user: UserId, draft: &StoredDraft) -> Result<bool, Error> {
        let query = diesel::sql_query(PUT_DRAFT)
            .bind::<SqlUuid, _>(user.uuid())
            .bind::<SqlUuid, _>(draft.conversation_id.uuid())
            .bind::<Bytea, _>(draft.content.as_bytes())
            .bind::<Nullable<SqlUuid>, _>(draft.reply_to.map(MessageId::uuid))
            .bind::<Timestamptz, _>(draft.updated_at);
        let mut connection = self.connection().await.map_err(unavailable)?;
        Ok(prepared(query).execute(&mut connection).await.map_err(unavailable)? == 1)
    }

    async fn get(&self, user: UserId, conversation: ConversationId) -> Result<Option<StoredDraft>, Error> {
        let query = diesel::sql_query(GET_DRAFT)
            .bind::<SqlUuid, _>(user.uuid())
            .bind::<SqlUuid, _>(conversation.uuid());
        let mut connection = self.connection().await.map_err(unavailable)?;
        let rows: Vec<DraftRow> = prepared(query).load(&mut connection).await.map_err(unavailable)?;
        Ok(rows.into_iter().next().map(StoredDraft::from))
    }

    async fn remove(&self, user: UserId, conversation: ConversationId) -> Result<bool, Error> {
        let query = diesel::sql_query(REMOVE_DRAFT)
            .bind::<SqlUuid, _>(user.uuid())
            .bind::<SqlUuid, _>(conversation.uuid());
        let mut connection = self.connection().await.map_err(unavailable)?;
        Ok(prepared(query).execute(&mut connection).await.map_err(unavailable)? == 1)
    }

    async fn list(
        &self,
        user: UserId,
        after: Option<(DateTime<Utc>, ConversationId)>,
        size: PageSize,
    ) -> Result<Vec<StoredDraft>, Error> {
        let query = diesel::sql_query(LIST_DRAFTS)
            .bind::<SqlUuid, _>(user.uuid())
            .bind::<Nullable<Timestamptz>, _>(after.map(|(at, _)| at))
            .bind::<Nullable<SqlUuid>, _>(after.map(|(_, id)| id.uuid()))
            .bind::<BigInt, _>(size.get() + 1);
        let mut connection = self.connection().await.map_err(unavailable)?;
        let rows: Vec<DraftRow> = prepared(query).load(&mut connection).await.map_err(unavailable)?;
        Ok(rows.into_iter().map(StoredDraft::from).collect())
    }
}
