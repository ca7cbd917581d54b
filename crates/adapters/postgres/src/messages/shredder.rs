//! `messages::Shredder`.

use alivio_kernel::sealing::Scope;
use alivio_messages::{Error, Shredded, Shredder, Shredding};
use async_trait::async_trait;
use diesel::QueryableByName;
use diesel::sql_types::{Bool, Timestamptz, Uuid as SqlUuid};
use diesel_async::{AsyncConnection, RunQueryDsl};

use super::unavailable;
use crate::sql::prepared;
use crate::{Database, data_keys, effects};

#[derive(QueryableByName)]
struct ToShred {
    #[diesel(sql_type = Bool)]
    is_care: bool,
    #[diesel(sql_type = Bool)]
    is_destroyed: bool,
}

// Locked: whoever appends waits, and then finds it closed.
const TO_SHRED: &str = "
    SELECT c.purpose = 'care' OR c.kind IN ('consultation', 'emergency') AS is_care, EXISTS (
        SELECT FROM data_keys k
        WHERE k.scope_kind = 'conversation' AND k.scope_id = c.id AND k.state = 'destroyed'
    ) AS is_destroyed
    FROM conversations c WHERE c.id = $1 FOR NO KEY UPDATE";

const CLOSE: &str = "
    WITH closed AS (UPDATE conversations SET is_active = false, updated_at = greatest(updated_at, $2) WHERE id = $1),
    noted AS (INSERT INTO changes (conversation_id, kind, at) VALUES ($1, 'conversation.updated', $2))
    DELETE FROM message_tokens WHERE conversation_id = $1";

#[async_trait]
impl Shredder for Database {
    async fn shred(&self, shredding: &Shredding) -> Result<Shredded, Error> {
        let Shredding { conversation_id, tombstone, care_too, now, effects } = shredding;
        let mut connection = self.connection().await.map_err(unavailable)?;
        let shredded: Result<Shredded, diesel::result::Error> = connection
            .transaction(async |connection| {
                let query = diesel::sql_query(TO_SHRED).bind::<SqlUuid, _>(conversation_id.uuid());
                let found: Vec<ToShred> = prepared(query).load(connection).await?;
                match found.into_iter().next() {
                    None => return Ok(Shredded::Unknown),
                    Some(ToShred { is_destroyed: true, .. }) => return Ok(Shredded::Already),
                    Some(ToShred { is_care: true, .. }) if !care_too => return Ok(Shredded::IsCare),
                    Some(_) => {}
                }
                let scope = Scope::Conversation(*conversation_id);
                data_keys::destroy(connection, scope, *tombstone, *now).await?;
                let close = diesel::sql_query(CLOSE)
                    .bind::<SqlUuid, _>(conversation_id.uuid())
                    .bind::<Timestamptz, _>(*now);
                prepared(close).execute(connection).await?;
                effects::store(connection, effects).await?;
                Ok(Shredded::Done)
            })
            .await;
        let shredded = shredded.map_err(unavailable)?;
        self.ring();
        Ok(shredded)
    }
}
