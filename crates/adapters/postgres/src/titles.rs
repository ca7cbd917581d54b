//! `conversations::TitleStore`.

use alivio_conversations::{Error, TitleRow, TitleStore};
use alivio_kernel::ids::{ConversationId, UserId, Uuid};
use alivio_kernel::{BoxError, Sealed};
use async_trait::async_trait;
use chrono::{DateTime, Utc};
use diesel::QueryableByName;
use diesel::sql_types::{Array, BigInt, Bytea, Nullable, Text, Timestamptz, Uuid as SqlUuid};
use diesel_async::RunQueryDsl;

use crate::Database;
use crate::sql::prepared;

const TITLES: &str = "
    SELECT c.id, c.ref_number, c.kind, c.created_at, c.title
    FROM participants p JOIN conversations c ON c.id = p.conversation_id
    WHERE p.user_id = $1 AND p.left_seq IS NULL AND ($2::uuid[] = '{}' OR c.id = ANY ($2))
    ORDER BY c.updated_at DESC, c.id DESC LIMIT $3";

#[derive(QueryableByName)]
struct Row {
    #[diesel(sql_type = SqlUuid)]
    id: Uuid,
    #[diesel(sql_type = BigInt)]
    ref_number: i64,
    #[diesel(sql_type = Text)]
    kind: String,
    #[diesel(sql_type = Timestamptz)]
    created_at: DateTime<Utc>,
    #[diesel(sql_type = Nullable<Bytea>)]
    title: Option<Vec<u8>>,
}

fn unavailable(error: impl Into<BoxError>) -> Error {
    Error::Unavailable(error.into())
}

#[async_trait]
impl TitleStore for Database {
    async fn titles(
        &self,
        viewer: UserId,
        among: &[ConversationId],
        limit: i64,
    ) -> Result<Vec<TitleRow>, Error> {
        let query = diesel::sql_query(TITLES)
            .bind::<SqlUuid, _>(viewer.uuid())
            .bind::<Array<SqlUuid>, _>(among.iter().map(|id| id.uuid()).collect::<Vec<_>>())
            .bind::<BigInt, _>(limit);
        let mut connection = self.connection().await.map_err(unavailable)?;
        let rows: Vec<Row> = prepared(query).load(&mut connection).await.map_err(unavailable)?;
        rows.into_iter()
            .map(|row| {
                Ok(TitleRow {
                    id: row.id.into(),
                    number: row.ref_number,
                    kind: row.kind.parse()?,
                    created_at: row.created_at,
                    title: row.title.map(Sealed::from_bytes),
                })
            })
            .collect()
    }
}
