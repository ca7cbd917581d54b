//! `files::GrantStore`.

use alivio_accounts::IDLE_LIFETIME;
use alivio_files::{
    Alarm, Consent, Download, Error, Grant, GrantStore, Granted, LinkHash, LinkHolder, NewLink, Signature,
};
use alivio_kernel::ids::{FileId, UserId, Uuid};
use alivio_kernel::{AuditEntry, Effects};
use async_trait::async_trait;
use chrono::{DateTime, Utc};
use diesel::QueryableByName;
use diesel::sql_types::{BigInt, Bool, Bytea, Integer, Jsonb, Nullable, Text, Timestamptz, Uuid as SqlUuid};
use diesel_async::{AsyncConnection, RunQueryDsl};

use super::{digest, small, unavailable};
use crate::sql::{Count, prepared};
use crate::{Database, effects};

// The row of the file is locked by counting, so that the last download is given once; and nobody gets what was taken from
// them since they asked.
const COUNT: &str = "
    UPDATE files f SET download_count = download_count + $2
    WHERE f.id = $1 AND f.state = 'active' AND (f.max_downloads IS NULL OR $2 = 0 OR f.download_count < f.max_downloads)
      AND (f.uploader_id = $3 OR f.access_expires_at > $4
           AND (f.consent IN ('not_needed', 'granted') OR f.patient_id = $3))
      AND EXISTS (SELECT 1 FROM file_viewers(f.id, $4) v WHERE v.user_id = $3)";
// Whoever downloads takes turns with themselves, so that each counts what came before.
const TURN: &str = "SELECT pg_advisory_xact_lock(hashtextextended('file_downloads ' || $1::text, 0))";
const DOWNLOAD: &str = "
    WITH done AS (
        INSERT INTO file_downloads (id, file_id, user_id, at) VALUES ($1, $2, $3, $4)
    )
    SELECT count(DISTINCT d.file_id) + CASE WHEN bool_or(d.file_id = $2) THEN 0 ELSE 1 END AS count
    FROM (SELECT file_id FROM file_downloads WHERE user_id = $3 AND at > $5) d";
const RAISE: &str = "
    INSERT INTO file_alarms (user_id, raised_at) VALUES ($1, $2)
    ON CONFLICT (user_id) DO UPDATE SET raised_at = $2 WHERE file_alarms.raised_at <= $3";
// Later than it was, even if the clock stands still.
const REGRANT: &str = "
    UPDATE files SET terms = $2, max_downloads = $3, access_expires_at = $4,
        updated_at = greatest($6, updated_at + interval '1 microsecond')
    WHERE id = $1 AND updated_at = $5 AND state <> 'deleted'
      AND ($3 IS NULL OR download_count <= $3)";
const GRANTS: &str = "
    SELECT a.user_id, bool_or(a.message_id IS NULL) AS is_member, coalesce(d.count, 0) AS downloads, d.last_at,
        w.withdrawn_at
    FROM file_audience($1, $2) a
    LEFT JOIN file_withdrawals w ON w.file_id = $1 AND w.user_id = a.user_id
    LEFT JOIN (
        SELECT user_id, count(*) AS count, max(at) AS last_at FROM file_downloads WHERE file_id = $1 GROUP BY user_id
    ) d ON d.user_id = a.user_id
    GROUP BY a.user_id, d.count, d.last_at, w.withdrawn_at
    ORDER BY a.user_id";
const WITHDRAW: &str = "
    WITH over AS (DELETE FROM file_links WHERE file_id = $1 AND user_id = $2)
    INSERT INTO file_withdrawals (file_id, user_id, withdrawn_at)
    SELECT $1, $2, $3 WHERE EXISTS (SELECT 1 FROM file_audience($1, $3) a WHERE a.user_id = $2)
    ON CONFLICT (file_id, user_id) DO NOTHING";
const GIVE_BACK: &str = "DELETE FROM file_withdrawals WHERE file_id = $1 AND user_id = $2";
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
struct GrantRow {
    #[diesel(sql_type = SqlUuid)]
    user_id: Uuid,
    #[diesel(sql_type = Bool)]
    is_member: bool,
    #[diesel(sql_type = BigInt)]
    downloads: i64,
    #[diesel(sql_type = Nullable<Timestamptz>)]
    last_at: Option<DateTime<Utc>>,
    #[diesel(sql_type = Nullable<Timestamptz>)]
    withdrawn_at: Option<DateTime<Utc>>,
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
    async fn download(&self, download: &Download, effects: Effects, alarm: Alarm) -> Result<bool, Error> {
        let count = diesel::sql_query(COUNT)
            .bind::<SqlUuid, _>(download.file_id.uuid())
            .bind::<Integer, _>(i32::from(download.counts))
            .bind::<SqlUuid, _>(download.user_id.uuid())
            .bind::<Timestamptz, _>(download.at);
        let turn = diesel::sql_query(TURN).bind::<SqlUuid, _>(download.user_id.uuid());
        let note = diesel::sql_query(DOWNLOAD)
            .bind::<SqlUuid, _>(download.id.uuid())
            .bind::<SqlUuid, _>(download.file_id.uuid())
            .bind::<SqlUuid, _>(download.user_id.uuid())
            .bind::<Timestamptz, _>(download.at)
            .bind::<Timestamptz, _>(alarm.since);
        let raise = diesel::sql_query(RAISE)
            .bind::<SqlUuid, _>(download.user_id.uuid())
            .bind::<Timestamptz, _>(download.at)
            .bind::<Timestamptz, _>(alarm.since);
        let mut connection = self.connection().await.map_err(unavailable)?;
        let work: Result<_, diesel::result::Error> = connection
            .transaction(async |connection| {
                if prepared(count).execute(connection).await? == 0 {
                    return Ok(false);
                }
                effects::store(connection, &effects).await?;
                prepared(turn).execute(connection).await?;
                let rows: Vec<Count> = prepared(note).load(connection).await?;
                if rows.iter().any(|row| row.count >= alarm.most)
                    && prepared(raise).execute(connection).await? == 1
                {
                    effects::store(connection, &alarm.effects).await?;
                }
                Ok(true)
            })
            .await;
        let given = work.map_err(unavailable)?;
        self.ring();
        Ok(given)
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

    async fn regrant(
        &self,
        id: FileId,
        granted: &Granted,
        seen: DateTime<Utc>,
        now: DateTime<Utc>,
        effects: Effects,
    ) -> Result<(), Error> {
        let query = diesel::sql_query(REGRANT)
            .bind::<SqlUuid, _>(id.uuid())
            .bind::<Jsonb, _>(serde_json::to_value(granted.terms).map_err(unavailable)?)
            .bind::<Nullable<Integer>, _>(granted.max_downloads.map(small).transpose()?)
            .bind::<Timestamptz, _>(granted.access_expires_at)
            .bind::<Timestamptz, _>(seen)
            .bind::<Timestamptz, _>(now);
        if self.change_file(query, effects).await? { Ok(()) } else { Err(Error::Stale) }
    }

    async fn grants(&self, id: FileId, now: DateTime<Utc>) -> Result<Vec<Grant>, Error> {
        let query = diesel::sql_query(GRANTS).bind::<SqlUuid, _>(id.uuid()).bind::<Timestamptz, _>(now);
        let mut connection = self.connection().await.map_err(unavailable)?;
        let rows: Vec<GrantRow> = prepared(query).load(&mut connection).await.map_err(unavailable)?;
        let grant = |row: GrantRow| {
            Ok(Grant {
                user_id: row.user_id.into(),
                is_member: row.is_member,
                downloads: u32::try_from(row.downloads).map_err(unavailable)?,
                last_download_at: row.last_at,
                withdrawn_at: row.withdrawn_at,
            })
        };
        rows.into_iter().map(grant).collect()
    }

    async fn withdraw(
        &self,
        id: FileId,
        from: UserId,
        now: DateTime<Utc>,
        effects: Effects,
    ) -> Result<bool, Error> {
        let query = diesel::sql_query(WITHDRAW)
            .bind::<SqlUuid, _>(id.uuid())
            .bind::<SqlUuid, _>(from.uuid())
            .bind::<Timestamptz, _>(now);
        self.change_file(query, effects).await
    }

    async fn give_back(&self, id: FileId, to: UserId, effects: Effects) -> Result<bool, Error> {
        let query = diesel::sql_query(GIVE_BACK).bind::<SqlUuid, _>(id.uuid()).bind::<SqlUuid, _>(to.uuid());
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
