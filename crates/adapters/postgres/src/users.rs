//! `accounts::UserStore`.

use alivio_accounts::{CredentialEpoch, Credentials, Error, StoredUser, UserStore};
use alivio_kernel::ids::{UserId, Uuid};
use alivio_kernel::{BoxError, Sealed, Sensitive};
use async_trait::async_trait;
use chrono::{DateTime, Utc};
use diesel::prelude::*;
use diesel::result::{DatabaseErrorKind, Error as DieselError};
use diesel_async::RunQueryDsl;

use crate::Database;
use crate::schema::{care_relationships, users};

/// A user without secrets.
#[derive(Queryable, Selectable, Insertable)]
#[diesel(table_name = users)]
pub(crate) struct Row {
    id: Uuid,
    identity: Vec<u8>,
    role: String,
    professional_title: Option<String>,
    language: String,
    is_active: bool,
    last_seen_at: Option<DateTime<Utc>>,
    created_at: DateTime<Utc>,
}

impl Row {
    pub(crate) fn restore(self) -> Result<StoredUser, Error> {
        Ok(StoredUser {
            id: self.id.into(),
            identity: Sealed::from_bytes(self.identity),
            role: self.role.parse().map_err(unavailable)?,
            professional_title: self.professional_title,
            language: self.language.parse().map_err(unavailable)?,
            is_active: self.is_active,
            last_seen_at: self.last_seen_at,
            created_at: self.created_at,
        })
    }
}

impl From<&StoredUser> for Row {
    fn from(user: &StoredUser) -> Self {
        Self {
            id: user.id.uuid(),
            identity: user.identity.as_bytes().to_vec(),
            role: user.role.as_str().to_owned(),
            professional_title: user.professional_title.clone(),
            language: user.language.tag().to_owned(),
            is_active: user.is_active,
            last_seen_at: user.last_seen_at,
            created_at: user.created_at,
        }
    }
}

/// A user with what they prove themselves by.
#[derive(Queryable, Selectable)]
#[diesel(table_name = users)]
pub(crate) struct Secrets {
    #[diesel(embed)]
    user: Row,
    password_hash: Option<String>,
    must_change_password: bool,
    credential_epoch: i32,
}

impl Secrets {
    pub(crate) fn restore(self) -> Result<Credentials, Error> {
        Ok(Credentials {
            user: self.user.restore()?,
            password_hash: self.password_hash.map(Sensitive::new),
            must_change_password: self.must_change_password,
            epoch: CredentialEpoch(self.credential_epoch),
        })
    }
}

pub(crate) fn unavailable(error: impl Into<BoxError>) -> Error {
    Error::Unavailable(error.into())
}

/// The same where a unique index means that the address has an account.
pub(crate) fn taken(error: DieselError) -> Error {
    match error {
        DieselError::DatabaseError(DatabaseErrorKind::UniqueViolation, _) => Error::EmailTaken,
        error => unavailable(error),
    }
}

#[async_trait]
impl UserStore for Database {
    async fn insert(
        &self,
        user: &StoredUser,
        email_index: [u8; 16],
        password_hash: &Sensitive<String>,
    ) -> Result<(), Error> {
        let row = Row::from(user);
        let secrets =
            (users::email_index.eq(email_index.to_vec()), users::password_hash.eq(password_hash.expose()));
        let mut connection = self.connection().await.map_err(unavailable)?;
        diesel::insert_into(users::table)
            .values((row, secrets))
            .execute(&mut connection)
            .await
            .map_err(taken)?;
        Ok(())
    }

    async fn credentials(&self, email_index: [u8; 16]) -> Result<Option<Credentials>, Error> {
        let mut connection = self.connection().await.map_err(unavailable)?;
        let found: Option<Secrets> = users::table
            .filter(users::email_index.eq(email_index.to_vec()))
            .select(Secrets::as_select())
            .first(&mut connection)
            .await
            .optional()
            .map_err(unavailable)?;
        found.map(Secrets::restore).transpose()
    }

    async fn by_ids(&self, ids: &[UserId]) -> Result<Vec<StoredUser>, Error> {
        let ids: Vec<Uuid> = ids.iter().map(|id| id.uuid()).collect();
        let mut connection = self.connection().await.map_err(unavailable)?;
        let rows: Vec<Row> = users::table
            .filter(users::id.eq_any(ids))
            .select(Row::as_select())
            .load(&mut connection)
            .await
            .map_err(unavailable)?;
        rows.into_iter().map(Row::restore).collect()
    }

    async fn record_seen(&self, user: UserId, at: DateTime<Utc>) -> Result<(), Error> {
        let mut connection = self.connection().await.map_err(unavailable)?;
        let earlier = users::last_seen_at.is_null().or(users::last_seen_at.lt(at));
        diesel::update(users::table.filter(users::id.eq(user.uuid())).filter(earlier))
            .set(users::last_seen_at.eq(at))
            .execute(&mut connection)
            .await
            .map_err(unavailable)?;
        Ok(())
    }

    async fn relate(&self, patient: UserId, professional: UserId, at: DateTime<Utc>) -> Result<(), Error> {
        use care_relationships as care;
        let mut connection = self.connection().await.map_err(unavailable)?;
        diesel::insert_into(care::table)
            .values((
                care::patient_id.eq(patient.uuid()),
                care::professional_id.eq(professional.uuid()),
                care::started_at.eq(at),
            ))
            .on_conflict_do_nothing()
            .execute(&mut connection)
            .await
            .map_err(unavailable)?;
        Ok(())
    }

    async fn related(&self, user: UserId, others: &[UserId]) -> Result<Vec<UserId>, Error> {
        use care_relationships as care;
        let others: Vec<Uuid> = others.iter().map(|id| id.uuid()).collect();
        let attended = care::patient_id.eq(user.uuid()).and(care::professional_id.eq_any(others.clone()));
        let attends = care::professional_id.eq(user.uuid()).and(care::patient_id.eq_any(others));
        let mut connection = self.connection().await.map_err(unavailable)?;
        let rows: Vec<(Uuid, Uuid)> = care::table
            .filter(attended.or(attends))
            .select((care::patient_id, care::professional_id))
            .load(&mut connection)
            .await
            .map_err(unavailable)?;
        let other = |(patient, professional)| if patient == user.uuid() { professional } else { patient };
        Ok(rows.into_iter().map(|row| UserId::from(other(row))).collect())
    }
}
