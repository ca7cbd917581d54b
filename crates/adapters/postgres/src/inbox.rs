//! `conversations::Inbox`, of messages as `messages` stores them.

use alivio_conversations::{
    Error, Inbox, InboxFilter, InboxPage, Kind, Ordering, Progress, Purpose, StoredLine, StoredTitle, Unread,
};
use alivio_kernel::ids::{ConsultationId, ConversationId, UserId, Uuid};
use alivio_kernel::{Role, Sealed};
use alivio_messages::StoredMessage;
use async_trait::async_trait;
use diesel::QueryableByName;
use diesel::sql_types::{Array, BigInt, Bool, Bytea, Nullable, Text, Timestamptz, Uuid as SqlUuid};
use diesel_async::RunQueryDsl;

use crate::Database;
use crate::conversations::{Row, conversation_columns, everyone, unavailable};
use crate::messages::{MessageRow, message_columns, unread};
use crate::sql::prepared;

/// The conversations that the viewer is in, `mine`, of which `$which` may be wanted.
macro_rules! mine {
    ($which:literal) => {
        concat!(
            "WITH mine AS MATERIALIZED (
                SELECT conversation_id, joined_seq, archived_at, pinned_at, muted_at, muted_until, read_up_to,
                    own_total, own_read
                FROM participants
                WHERE user_id = $1 AND left_seq IS NULL AND ($6::boolean OR archived_at IS NULL)",
            $which,
            ")"
        )
    };
}
/// `$mine me` with each conversation, `c`. The `OFFSET` keeps the planner to one look by id for each of them: with so many
/// conditions that may not apply it thinks that next to nothing is left, and reads those of the whole clinic instead.
macro_rules! with_conversations {
    ($mine:literal) => {
        concat!(
            $mine,
            " me CROSS JOIN LATERAL (SELECT * FROM conversations x WHERE x.id = me.conversation_id OFFSET 0) c"
        )
    };
}
/// What an [`InboxFilter`] says, of [`with_conversations`].
macro_rules! filtered {
    () => {
        concat!(
            "($2::text IS NULL OR c.kind = $2)
             AND ($3::text IS NULL OR c.purpose = $3)
             AND ($4::uuid IS NULL OR EXISTS (
                 SELECT 1 FROM participants o
                 WHERE o.conversation_id = c.id AND o.user_id = $4 AND o.left_seq IS NULL))
             AND ($5::timestamptz IS NULL OR c.updated_at >= $5)
             AND ($7::text IS NULL OR EXISTS (
                 SELECT 1 FROM participants o JOIN users u ON u.id = o.user_id
                 WHERE o.conversation_id = c.id AND o.user_id <> $1 AND o.left_seq IS NULL AND u.role = $7))
             AND ($8::uuid IS NULL OR c.related_appointment_id = $8)
             AND c.tag_index @> $9::bytea[]
             AND ($10::bigint IS NULL OR c.ref_number = $10)
             AND ($11::boolean IS NULL OR (",
            unread!("me"),
            " > 0) = $11)"
        )
    };
}

// The page is picked first; only then are its members and newest messages looked up.
macro_rules! page {
    ($which:literal, $filter:expr, $after:literal, $order:literal, $shown:literal) => {
        concat!(
            mine!($which),
            ", picked AS MATERIALIZED (
                SELECT me.*, ",
            unread!("me"), " AS unread
                FROM ", with_conversations!("mine"), "
                WHERE ", $filter, " AND ($13::boolean IS NULL OR $14::timestamptz IS NULL OR ", $after, ")
                ORDER BY ", $order, " OFFSET $16 LIMIT $17
            )
            SELECT ", conversation_columns!(), ", c.unread, k.delivered, k.read, m.*
            FROM (
                SELECT c.*, me.joined_seq AS my_seq, me.archived_at, me.pinned_at, me.muted_at, me.muted_until, me.unread
                FROM ", with_conversations!("picked"), "
            ) c
            CROSS JOIN LATERAL ", everyone!(), " k
            LEFT JOIN LATERAL (
                SELECT ", message_columns!(), " FROM messages m
                WHERE m.conversation_id = c.id AND m.seq >= c.my_seq ORDER BY m.seq DESC LIMIT 1
            ) m ON true
            ORDER BY ", $shown
        )
    };
}
macro_rules! pages {
    ($which:literal, $filter:expr) => {
        [
            page!(
                $which,
                $filter,
                "(me.pinned_at IS NOT NULL, c.updated_at, c.id) < ($13, $14, $15::uuid)",
                "(me.pinned_at IS NOT NULL) DESC, c.updated_at DESC, c.id DESC",
                "(c.pinned_at IS NOT NULL) DESC, c.updated_at DESC, c.id DESC"
            ),
            page!(
                $which,
                $filter,
                "(c.updated_at, c.id) > ($14, $15::uuid)",
                "c.updated_at, c.id",
                "c.updated_at, c.id"
            ),
            page!(
                $which,
                $filter,
                "(c.created_at, c.id) < ($14, $15::uuid)",
                "c.created_at DESC, c.id DESC",
                "c.created_at DESC, c.id DESC"
            ),
            page!(
                $which,
                $filter,
                "(c.created_at, c.id) > ($14, $15::uuid)",
                "c.created_at, c.id",
                "c.created_at, c.id"
            ),
        ]
    };
}
const PAGES: [&str; 4] = pages!("", "true");
const PAGES_FILTERED: [&str; 4] = pages!("", filtered!());
const PAGES_AMONG: [&str; 4] = pages!(" AND conversation_id = ANY ($12::uuid[])", filtered!());

const TITLES: &str = concat!(
    mine!(""),
    " SELECT c.id, c.title, coalesce(o.others, '{}') AS others
    FROM (
        SELECT c.id, c.title, c.updated_at
        FROM ",
    with_conversations!("mine"),
    " WHERE ",
    filtered!(),
    "
        ORDER BY c.updated_at DESC, c.id DESC LIMIT $12
    ) c
    CROSS JOIN LATERAL (
        SELECT array_agg(o.user_id ORDER BY o.joined_at, o.user_id) AS others FROM (
            SELECT p.user_id, p.joined_at FROM participants p
            WHERE c.title IS NULL AND p.conversation_id = c.id AND p.left_seq IS NULL AND p.user_id <> $1
            ORDER BY p.joined_at, p.user_id LIMIT 2
        ) o
    ) o"
);

const UNREAD: &str = concat!(
    "SELECT c.id, ",
    unread!("me"),
    " AS unread
    FROM participants me JOIN conversations c ON c.id = me.conversation_id
    WHERE me.user_id = $1 AND me.left_seq IS NULL AND ",
    unread!("me"),
    " > 0
    ORDER BY c.updated_at DESC, c.id DESC"
);

#[derive(QueryableByName)]
struct LineRow {
    #[diesel(embed)]
    conversation: Row,
    #[diesel(sql_type = BigInt)]
    unread: i64,
    #[diesel(sql_type = Array<BigInt>)]
    delivered: Vec<i64>,
    #[diesel(sql_type = Array<BigInt>)]
    read: Vec<i64>,
    #[diesel(embed)]
    last: MessageRow,
}

impl LineRow {
    fn restore(self) -> Result<StoredLine<StoredMessage>, Error> {
        let marks = self.delivered.into_iter().zip(self.read);
        let progress = self.conversation.users.iter().zip(marks);
        let progress = progress
            .map(|(user, (delivered_up_to, read_up_to))| Progress {
                user_id: (*user).into(),
                delivered_up_to,
                read_up_to,
            })
            .collect();
        let last = self.last.restore().transpose().map_err(unavailable)?;
        Ok(StoredLine { unread: self.unread, progress, last, stored: self.conversation.restore()? })
    }
}

#[derive(QueryableByName)]
struct TitleRow {
    #[diesel(sql_type = SqlUuid)]
    id: Uuid,
    #[diesel(sql_type = Nullable<Bytea>)]
    title: Option<Vec<u8>>,
    #[diesel(sql_type = Array<SqlUuid>)]
    others: Vec<Uuid>,
}

#[derive(QueryableByName)]
struct UnreadRow {
    #[diesel(sql_type = SqlUuid)]
    id: Uuid,
    #[diesel(sql_type = BigInt)]
    unread: i64,
}

/// Binds the parameters of [`filtered`] to a query.
macro_rules! bind_filter {
    ($sql:expr, $viewer:expr, $filter:expr) => {{
        let filter: &InboxFilter = $filter;
        diesel::sql_query($sql)
            .bind::<SqlUuid, _>($viewer.uuid())
            .bind::<Nullable<Text>, _>(filter.kind.map(Kind::as_str))
            .bind::<Nullable<Text>, _>(filter.purpose.map(Purpose::as_str))
            .bind::<Nullable<SqlUuid>, _>(filter.with_user.map(UserId::uuid))
            .bind::<Nullable<Timestamptz>, _>(filter.updated_since)
            .bind::<Bool, _>(filter.include_archived)
            .bind::<Nullable<Text>, _>(filter.participant_type.map(Role::as_str))
            .bind::<Nullable<SqlUuid>, _>(filter.related_appointment.map(ConsultationId::uuid))
            .bind::<Array<Bytea>, _>(filter.tags.iter().map(<[u8; 16]>::as_slice).collect::<Vec<_>>())
            .bind::<Nullable<BigInt>, _>(filter.number)
            .bind::<Nullable<Bool>, _>(filter.has_unread)
    }};
}

#[async_trait]
impl Inbox<StoredMessage> for Database {
    async fn page(&self, viewer: UserId, page: &InboxPage) -> Result<Vec<StoredLine<StoredMessage>>, Error> {
        let place = match page.ordering {
            Ordering::PinnedThenUpdated => 0,
            Ordering::Updated => 1,
            Ordering::CreatedDescending => 2,
            Ordering::Created => 3,
        };
        let among = page.filter.among.as_ref();
        let InboxFilter { include_archived, .. } = page.filter;
        let everything = InboxFilter { include_archived, ..InboxFilter::default() };
        let pages = match among {
            Some(_) => PAGES_AMONG,
            None if page.filter == everything => PAGES,
            None => PAGES_FILTERED,
        };
        let among = among.map(|ids| ids.iter().copied().map(ConversationId::uuid).collect::<Vec<_>>());
        let query = bind_filter!(pages[place], viewer, &page.filter)
            .bind::<Nullable<Array<SqlUuid>>, _>(among)
            .bind::<Nullable<Bool>, _>(page.after.map(|after| after.is_pinned))
            .bind::<Nullable<Timestamptz>, _>(page.after.map(|after| after.at))
            .bind::<Nullable<SqlUuid>, _>(page.after.map(|after| after.id.uuid()))
            .bind::<BigInt, _>(page.offset)
            .bind::<BigInt, _>(page.size.get() + 1);
        let mut connection = self.connection().await.map_err(unavailable)?;
        let rows: Vec<LineRow> = prepared(query).load(&mut connection).await.map_err(unavailable)?;
        rows.into_iter().map(LineRow::restore).collect()
    }

    async fn titles(
        &self,
        viewer: UserId,
        filter: &InboxFilter,
        limit: i64,
    ) -> Result<Vec<StoredTitle>, Error> {
        let query = bind_filter!(TITLES, viewer, filter).bind::<BigInt, _>(limit);
        let mut connection = self.connection().await.map_err(unavailable)?;
        let rows: Vec<TitleRow> = prepared(query).load(&mut connection).await.map_err(unavailable)?;
        let title = |row: TitleRow| StoredTitle {
            id: row.id.into(),
            title: row.title.map(Sealed::from_bytes),
            others: row.others.into_iter().map(UserId::from).collect(),
        };
        Ok(rows.into_iter().map(title).collect())
    }

    async fn unread(&self, viewer: UserId) -> Result<Vec<Unread>, Error> {
        let query = diesel::sql_query(UNREAD).bind::<SqlUuid, _>(viewer.uuid());
        let mut connection = self.connection().await.map_err(unavailable)?;
        let rows: Vec<UnreadRow> = prepared(query).load(&mut connection).await.map_err(unavailable)?;
        let unread = |row: UnreadRow| Unread { conversation_id: row.id.into(), messages: row.unread };
        Ok(rows.into_iter().map(unread).collect())
    }
}
