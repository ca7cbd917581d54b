//! `accounts::InvitationStore`.

use alivio_accounts::{
    Error, InvitationStore, Redemption, SecretHash, StatedCredentials, StoredInvitation, may_invite,
};
use alivio_kernel::ids::{InvitationId, UserId, Uuid};
use alivio_kernel::{Effects, Role, Sealed};
use async_trait::async_trait;
use chrono::{DateTime, Utc};
use diesel::dsl::{AsSelect, Select, sql};
use diesel::pg::Pg;
use diesel::prelude::*;
use diesel::sql_types::{Array, Bool, Bytea, Nullable, Text, Timestamptz, Uuid as SqlUuid};
use diesel_async::{AsyncConnection, RunQueryDsl};

use crate::registrations::bytes;
use crate::schema::invitations;
use crate::sql::prepared;
use crate::users::{taken, unavailable};
use crate::{Database, effects};

// Whoever comes second waits for the row, and then finds it used.
const REDEEM: &str = "
    WITH invitation AS (
        UPDATE invitations SET used_at = $2
        WHERE id = $1 AND used_at IS NULL AND revoked_at IS NULL AND expires_at > $2
            AND EXISTS (SELECT FROM users u WHERE u.id = issued_by AND u.is_active
                AND u.role || '>' || invitations.role = ANY ($14))
        RETURNING id
    ), account AS (
        INSERT INTO users (id, email_index, identity, role, professional_title, language, created_at,
            must_change_password)
        SELECT $3, $4, $5, $6, $7, $8, $2, true FROM invitation
        RETURNING id
    ), professional AS (
        INSERT INTO professional_registrations (user_id, invitation_id, license_number, specialty, registered_at)
        SELECT a.id, $1, $9, $10, $2 FROM account a
    )
    INSERT INTO temporary_passwords (user_id, id, hash, expires_at) SELECT a.id, $11, $12, $13 FROM account a";

const STATED: &str = "SELECT license_number, specialty FROM professional_registrations WHERE user_id = $1";

#[derive(QueryableByName)]
struct Stated {
    #[diesel(sql_type = Nullable<Bytea>)]
    license_number: Option<Vec<u8>>,
    #[diesel(sql_type = Nullable<Text>)]
    specialty: Option<String>,
}

#[derive(Queryable, Selectable, Insertable)]
#[diesel(table_name = invitations)]
struct Row {
    id: Uuid,
    hash: Vec<u8>,
    user_id: Uuid,
    email_index: Vec<u8>,
    email: Vec<u8>,
    role: String,
    language: String,
    issued_by: Uuid,
    created_at: DateTime<Utc>,
    expires_at: DateTime<Utc>,
}

impl Row {
    fn restore(self) -> Result<StoredInvitation, Error> {
        Ok(StoredInvitation {
            id: self.id.into(),
            token: SecretHash(bytes(&self.hash)?),
            user_id: self.user_id.into(),
            email_index: bytes(&self.email_index)?,
            email: Sealed::from_bytes(self.email),
            role: self.role.parse().map_err(unavailable)?,
            language: self.language.parse().map_err(unavailable)?,
            issued_by: self.issued_by.into(),
            created_at: self.created_at,
            expires_at: self.expires_at,
        })
    }
}

/// Who may invite whom, as `medical_admin>doctor`.
fn may_be_issued() -> Vec<String> {
    let all = Role::ALL.into_iter().flat_map(|inviter| Role::ALL.map(|role| (inviter, role)));
    all.filter(|(inviter, role)| may_invite(*inviter, *role)).map(|(a, b)| format!("{a}>{b}")).collect()
}

/// Those that can still be taken.
fn open(now: DateTime<Utc>) -> invitations::BoxedQuery<'static, Pg, AsSelectRow> {
    invitations::table
        .select(Row::as_select())
        .filter(invitations::used_at.is_null())
        .filter(invitations::revoked_at.is_null())
        .filter(invitations::expires_at.gt(now))
        .filter(
            sql::<Bool>(
                "EXISTS (SELECT FROM users u WHERE u.id = invitations.issued_by AND u.is_active
                    AND u.role || '>' || invitations.role = ANY (",
            )
            .bind::<Array<Text>, _>(may_be_issued())
            .sql("))"),
        )
        .into_boxed()
}
type AsSelectRow = <Select<invitations::table, AsSelect<Row, Pg>> as diesel::query_builder::AsQuery>::SqlType;

#[async_trait]
impl InvitationStore for Database {
    async fn issue(&self, invitation: &StoredInvitation, effects: &Effects) -> Result<(), Error> {
        let row = Row {
            id: invitation.id.uuid(),
            hash: invitation.token.0.to_vec(),
            user_id: invitation.user_id.uuid(),
            email_index: invitation.email_index.to_vec(),
            email: invitation.email.as_bytes().to_vec(),
            role: invitation.role.as_str().to_owned(),
            language: invitation.language.tag().to_owned(),
            issued_by: invitation.issued_by.uuid(),
            created_at: invitation.created_at,
            expires_at: invitation.expires_at,
        };
        let mut connection = self.connection().await.map_err(unavailable)?;
        let work = connection.transaction(async |connection| {
            diesel::insert_into(invitations::table).values(row).execute(connection).await?;
            effects::store(connection, effects).await
        });
        work.await.map_err(unavailable)?;
        self.ring();
        Ok(())
    }

    async fn open(&self, id: InvitationId, now: DateTime<Utc>) -> Result<Option<StoredInvitation>, Error> {
        let mut connection = self.connection().await.map_err(unavailable)?;
        let query = open(now).filter(invitations::id.eq(id.uuid()));
        let row: Option<Row> = query.first(&mut connection).await.optional().map_err(unavailable)?;
        row.map(Row::restore).transpose()
    }

    async fn by_token(
        &self,
        token: SecretHash,
        now: DateTime<Utc>,
    ) -> Result<Option<StoredInvitation>, Error> {
        let mut connection = self.connection().await.map_err(unavailable)?;
        let query = open(now).filter(invitations::hash.eq(token.0.to_vec()));
        let row: Option<Row> = query.first(&mut connection).await.optional().map_err(unavailable)?;
        row.map(Row::restore).transpose()
    }

    async fn list(
        &self,
        after: Option<InvitationId>,
        limit: i64,
        now: DateTime<Utc>,
    ) -> Result<Vec<StoredInvitation>, Error> {
        let mut connection = self.connection().await.map_err(unavailable)?;
        let mut query = open(now).order(invitations::id.desc()).limit(limit);
        if let Some(after) = after {
            query = query.filter(invitations::id.lt(after.uuid()));
        }
        let rows: Vec<Row> = query.load(&mut connection).await.map_err(unavailable)?;
        rows.into_iter().map(Row::restore).collect()
    }

    async fn revoke(&self, id: InvitationId, now: DateTime<Utc>, effects: &Effects) -> Result<bool, Error> {
        let mut connection = self.connection().await.map_err(unavailable)?;
        let is_open = invitations::id
            .eq(id.uuid())
            .and(invitations::used_at.is_null())
            .and(invitations::revoked_at.is_null())
            .and(invitations::expires_at.gt(now));
        let update = diesel::update(invitations::table.filter(is_open)).set(invitations::revoked_at.eq(now));
        let work = connection.transaction(async |connection| {
            let revoked = update.execute(connection).await? == 1;
            if revoked {
                effects::store(connection, effects).await?;
            }
            QueryResult::Ok(revoked)
        });
        let revoked = work.await.map_err(unavailable)?;
        self.ring();
        Ok(revoked)
    }

    async fn redeem(
        &self,
        redemption: &Redemption,
        now: DateTime<Utc>,
        effects: &Effects,
    ) -> Result<bool, Error> {
        let user = &redemption.user;
        let query = diesel::sql_query(REDEEM)
            .bind::<SqlUuid, _>(redemption.invitation.uuid())
            .bind::<Timestamptz, _>(now)
            .bind::<SqlUuid, _>(user.id.uuid())
            .bind::<Bytea, _>(redemption.email_index.to_vec())
            .bind::<Bytea, _>(user.identity.as_bytes())
            .bind::<Text, _>(user.role.as_str())
            .bind::<Nullable<Text>, _>(user.professional_title.as_deref())
            .bind::<Text, _>(user.language.tag())
            .bind::<Nullable<Bytea>, _>(redemption.license_number.as_ref().map(Sealed::as_bytes))
            .bind::<Nullable<Text>, _>(redemption.specialty.as_deref())
            .bind::<SqlUuid, _>(redemption.temporary.id.uuid())
            .bind::<Bytea, _>(redemption.temporary.hash.0.to_vec())
            .bind::<Timestamptz, _>(redemption.temporary.expires_at)
            .bind::<Array<Text>, _>(may_be_issued());
        let mut connection = self.connection().await.map_err(unavailable)?;
        let work = connection.transaction(async |connection| {
            let redeemed = prepared(query).execute(connection).await? == 1;
            if redeemed {
                effects::store(connection, effects).await?;
            }
            Ok(redeemed)
        });
        let redeemed = work.await.map_err(taken)?;
        self.ring();
        Ok(redeemed)
    }

    async fn stated(&self, user: UserId) -> Result<Option<StatedCredentials>, Error> {
        let mut connection = self.connection().await.map_err(unavailable)?;
        let query = diesel::sql_query(STATED).bind::<SqlUuid, _>(user.uuid());
        let found: Option<Stated> =
            prepared(query).get_result(&mut connection).await.optional().map_err(unavailable)?;
        Ok(found.map(|row| StatedCredentials {
            license_number: row.license_number.map(Sealed::from_bytes),
            specialty: row.specialty,
        }))
    }
}
