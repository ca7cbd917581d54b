//! `outbox::Broadcasts`.

use std::borrow::Cow;

use alivio_kernel::ids::Uuid;
use alivio_kernel::{BoxError, Event, Place};
use alivio_outbox::Broadcasts;
use async_trait::async_trait;
use chrono::{DateTime, Utc};
use diesel::QueryableByName;
use diesel::sql_types::{BigInt, Jsonb, Nullable, Text, Timestamptz, Uuid as SqlUuid};
use diesel_async::RunQueryDsl;

use crate::Database;
use crate::sql::{horizon, prepared, unhurried};

// Lost in a crash, the event comes again: the relay has not noted it as handled then.
const PUT: &str = unhurried!(
    " INSERT INTO broadcasts (event_id, kind, payload, at) SELECT $1, $2, $3, $4 FROM unhurried
    ON CONFLICT (event_id) DO NOTHING"
);

// The row of the horizon is there even if there is no event.
const AFTER: &str = concat!(
    "WITH edge AS MATERIALIZED (SELECT ",
    horizon!(),
    " AS horizon)
    SELECT edge.horizon::text AS horizon, b.xid::text AS xid, b.id, b.event_id, b.kind, b.payload, b.at
    FROM edge
    LEFT JOIN LATERAL (
        SELECT b.* FROM broadcasts b WHERE (b.xid, b.id) > ($1::text::xid8, $2) ORDER BY b.xid, b.id LIMIT $3
    ) b ON true
    ORDER BY b.xid, b.id"
);

const FORGET: &str = "DELETE FROM broadcasts WHERE noted_at < now() - interval '1 hour'";

#[derive(QueryableByName)]
struct Row {
    #[diesel(sql_type = Text)]
    horizon: String,
    #[diesel(sql_type = Nullable<Text>)]
    xid: Option<String>,
    #[diesel(sql_type = Nullable<BigInt>)]
    id: Option<i64>,
    #[diesel(sql_type = Nullable<SqlUuid>)]
    event_id: Option<Uuid>,
    #[diesel(sql_type = Nullable<Text>)]
    kind: Option<String>,
    #[diesel(sql_type = Nullable<Jsonb>)]
    payload: Option<serde_json::Value>,
    #[diesel(sql_type = Nullable<Timestamptz>)]
    at: Option<DateTime<Utc>>,
}

impl Row {
    fn restore(self) -> Option<Result<(Place, Event), BoxError>> {
        let (xid, number) = (self.xid?, self.id?);
        let event = Event {
            id: self.event_id?.into(),
            kind: Cow::Owned(self.kind?),
            payload: self.payload?,
            at: self.at?,
            due: None,
        };
        let place = xid.parse().map(|transaction| Place { transaction, number });
        Some(place.map(|place| (place, event)).map_err(BoxError::from))
    }
}

#[async_trait]
impl Broadcasts for Database {
    async fn put(&self, event: &Event) -> Result<(), BoxError> {
        let query = diesel::sql_query(PUT)
            .bind::<SqlUuid, _>(event.id.uuid())
            .bind::<Text, _>(event.kind.as_ref())
            .bind::<Jsonb, _>(&event.payload)
            .bind::<Timestamptz, _>(event.at);
        let mut connection = self.connection().await?;
        prepared(query).execute(&mut connection).await?;
        Ok(())
    }

    async fn after(&self, after: Place, limit: i64) -> Result<(u64, Vec<(Place, Event)>), BoxError> {
        let query = diesel::sql_query(AFTER)
            .bind::<Text, _>(after.transaction.to_string())
            .bind::<BigInt, _>(after.number)
            .bind::<BigInt, _>(limit);
        let mut connection = self.connection().await?;
        let rows: Vec<Row> = prepared(query).load(&mut connection).await?;
        let horizon = rows.as_slice().first().map_or(Ok(0), |row| row.horizon.parse())?;
        Ok((horizon, rows.into_iter().filter_map(Row::restore).collect::<Result<_, _>>()?))
    }

    async fn forget(&self) -> Result<(), BoxError> {
        let mut connection = self.connection().await?;
        prepared(diesel::sql_query(FORGET)).execute(&mut connection).await?;
        Ok(())
    }
}
