//! `files::GrantStore`.

use alivio_accounts::IDLE_LIFETIME;
use alivio_files::{Consent, Download, Error, GrantStore, LinkHash, LinkHolder, NewLink, Signature};
use alivio_kernel::ids::{FileId, Uuid};
use alivio_kernel::{AuditEntry, Effects};
use async_trait::async_trait;
use chrono::{DateTime, Utc};
use diesel::QueryableByName;
use diesel::sql_types::{BigInt, Bytea, Integer, Text, Timestamptz, Uuid as SqlUuid};
use diesel_async::{AsyncConnection, RunQueryDsl};

use super::{digest, unavailable};
use crate::sql::prepared;
use crate::{Database, effects};

// The row of the file is locked by counting, so that the last download is given once.
const COUNT: &str = "
    UPDATE files SET download_count = download_count + $2
    WHERE id = $1 AND (max_downloads IS NULL OR $2 = 0 OR download_count < max_downloads)";
const DOWNLOAD: &str = "
    WITH done AS (
        INSERT INTO file_downloads (id, file_id, user_id, at) VALUES ($1, $2, $3, $4)
    )
    SELECT count(DISTINCT d.file_id) + CASE WHEN bool_or(d.file_id = $2) THEN 0 ELSE 1 END AS count
    FROM (SELECT file_id FROM file_downloads WHERE user_id = $3 AND at > $5) d";
const CONSENT: &str = "
    UPDATE files SET consent = $2, updated_at = $3
    WHERE id = $1 AND consent <> 'not_needed' AND state <> 'deleted'";
const SIGN: &str = "
    INSERT INTO file_signatures (file_id, user_id, sha256, signed_at) VALUES ($1, $2, $3, $4)
    ON CONFLICT (file_id, user_id) DO NOTHING";
const SIGNATURES: &str = "
    SELECT user_id, sha256, signed_at FROM file_signatures WHERE file_id = $1 ORDER BY signed_at, user_id";
const PUT_LINK: &str = "
    WITH over AS (DELETE FROM file_links WHERE expires_at <= $6)
    INSERT INTO file_links (hash, file_id, user_id, session_id, expires_at) VALUES ($1, $2, $3, $4, $5)";
const LINK: &str = "
    SELECT l.user_id, u.role, l.session_id
    FROM file_links l
    JOIN sessions s ON s.id = l.session_id AND s.user_id = l.user_id AND s.revoked_at IS NULL AND s.expires_at > $3
        AND s.last_active_at > $4
    JOIN users u ON u.id = l.user_id AND u.is_active
    WHERE l.hash = $1 AND l.file_id = $2 AND l.expires_at > $3";

#[derive(QueryableByName)]
struct CountRow {
    #[diesel(sql_type = BigInt)]
    count: i64,
}

#[derive(QueryableByName)]
struct SignatureRow {
    #[diesel(sql_type = SqlUuid)]
    user_id: Uuid,
    #[diesel(sql_type = Bytea)]
    sha256: Vec<u8>,
    #[diesel(sql_type = Timestamptz)]
    signed_at: DateTime<Utc>,
}

#[derive(QueryableByName)]
struct HolderRow {
    #[diesel(sql_type = SqlUuid)]
    user_id: Uuid,
    #[diesel(sql_type = Text)]
    role: String,
    #[diesel(sql_type = SqlUuid)]
    session_id: Uuid,
}

#[async_trait]
impl GrantStore for Database {
    async fn download(&self, download: &Download, effects: Effects) -> Result<Option<i64>, Error> {
        let count = diesel::sql_query(COUNT)
            .bind::<SqlUuid, _>(download.file_id.uuid())
            .bind::<Integer, _>(i32::from(download.counts));
        let note = diesel::sql_query(DOWNLOAD)
            .bind::<SqlUuid, _>(download.id.uuid())
            .bind::<SqlUuid, _>(download.file_id.uuid())
            .bind::<SqlUuid, _>(download.user_id.uuid())
            .bind::<Timestamptz, _>(download.at)
            .bind::<Timestamptz, _>(download.bulk_since);
        let mut connection = self.connection().await.map_err(unavailable)?;
        let work: Result<_, diesel::result::Error> = connection
            .transaction(async |connection| {
                if prepared(count).execute(connection).await? == 0 {
                    return Ok(None);
                }
                effects::store(connection, &effects).await?;
                let rows: Vec<CountRow> = prepared(note).load(connection).await?;
                Ok(Some(rows.into_iter().next().map_or(1, |row| row.count)))
            })
            .await;
        work.map_err(unavailable)
    }

    async fn note(&self, entries: &[AuditEntry]) -> Result<(), Error> {
        alivio_kernel::AuditSink::record(self, entries).await.map_err(Error::Unavailable)
    }

    async fn consent(
        &self,
        id: FileId,
        consent: Consent,
        now: DateTime<Utc>,
        effects: Effects,
    ) -> Result<bool, Error> {
        let query = diesel::sql_query(CONSENT)
            .bind::<SqlUuid, _>(id.uuid())
            .bind::<Text, _>(consent.as_str())
            .bind::<Timestamptz, _>(now);
        self.change_file(query, effects).await
    }

    async fn sign(&self, id: FileId, signature: &Signature, effects: Effects) -> Result<bool, Error> {
        let query = diesel::sql_query(SIGN)
            .bind::<SqlUuid, _>(id.uuid())
            .bind::<SqlUuid, _>(signature.user_id.uuid())
            .bind::<Bytea, _>(signature.sha256.to_vec())
            .bind::<Timestamptz, _>(signature.signed_at);
        self.change_file(query, effects).await
    }

    async fn signatures(&self, id: FileId) -> Result<Vec<Signature>, Error> {
        let query = diesel::sql_query(SIGNATURES).bind::<SqlUuid, _>(id.uuid());
        let mut connection = self.connection().await.map_err(unavailable)?;
        let rows: Vec<SignatureRow> = prepared(query).load(&mut connection).await.map_err(unavailable)?;
        let signature = |row: SignatureRow| {
            let sha256 = digest(&row.sha256)?;
            Ok(Signature { user_id: row.user_id.into(), sha256, signed_at: row.signed_at })
        };
        rows.into_iter().map(signature).collect()
    }

    async fn put_link(&self, link: &NewLink, effects: Effects) -> Result<(), Error> {
        let query = diesel::sql_query(PUT_LINK)
            .bind::<Bytea, _>(link.hash.0.to_vec())
            .bind::<SqlUuid, _>(link.file_id.uuid())
            .bind::<SqlUuid, _>(link.user_id.uuid())
            .bind::<SqlUuid, _>(link.session_id.uuid())
            .bind::<Timestamptz, _>(link.expires_at)
            .bind::<Timestamptz, _>(link.created_at);
        self.change_file(query, effects).await.map(drop)
    }

    async fn link(
        &self,
        hash: LinkHash,
        file: FileId,
        now: DateTime<Utc>,
    ) -> Result<Option<LinkHolder>, Error> {
        let query = diesel::sql_query(LINK)
            .bind::<Bytea, _>(hash.0.to_vec())
            .bind::<SqlUuid, _>(file.uuid())
            .bind::<Timestamptz, _>(now)
            .bind::<Timestamptz, _>(now - IDLE_LIFETIME);
        let mut connection = self.connection().await.map_err(unavailable)?;
        let rows: Vec<HolderRow> = prepared(query).load(&mut connection).await.map_err(unavailable)?;
        let Some(row) = rows.into_iter().next() else { return Ok(None) };
        Ok(Some(LinkHolder {
            user_id: row.user_id.into(),
            role: row.role.parse().map_err(unavailable)?,
            session_id: row.session_id.into(),
        }))
    }
}
