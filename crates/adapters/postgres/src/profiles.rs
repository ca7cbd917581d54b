//! `accounts::ProfileStore`.

use alivio_accounts::{
    CredentialStatus, Entry, Error, ImageForm, ProfileChange, ProfileStore, PublishedEntry, RejectionReason,
    StepKind, StoredProfile, StoredStep, StoredUser,
};
use alivio_kernel::ids::{UserId, Uuid};
use alivio_kernel::{Effects, Sealed};
use async_trait::async_trait;
use chrono::{DateTime, Utc};
use diesel::prelude::*;
use diesel::result::Error as DieselError;
use diesel::sql_types::{Array, BigInt, Bool, Bytea, Nullable, Text, Timestamptz, Uuid as SqlUuid};
use diesel_async::{AsyncConnection, AsyncPgConnection, RunQueryDsl};

use crate::sql::prepared;
use crate::users::unavailable;
use crate::{Database, effects};

/// What a [`Row`] is read from; `u`, `p` and `a` stand for users, their entries and their pictures.
macro_rules! columns {
    () => {
        "u.id, u.identity, u.role, u.professional_title, u.language, u.is_active, u.last_seen_at, u.created_at,
         u.phone, u.profile_version, a.version AS avatar_version, p.full_name, p.display_name, p.specialty,
         p.institution, p.bio, p.listed, p.credential_status, p.updated_at, p.license_number"
    };
}
pub(crate) use columns;

const LOAD: &str = concat!(
    "SELECT ",
    columns!(),
    " FROM users u LEFT JOIN professional_profiles p ON p.user_id = u.id LEFT JOIN avatars a ON a.user_id = u.id
      WHERE u.id = $1"
);

const UNPUBLISHED: &str = concat!(
    "SELECT ",
    columns!(),
    " FROM users u LEFT JOIN professional_profiles p ON p.user_id = u.id LEFT JOIN avatars a ON a.user_id = u.id
      WHERE p.user_id IS NULL AND u.role IN ('doctor', 'student', 'medical_admin')
        AND ($1::uuid IS NULL OR u.id > $1)
      ORDER BY u.id LIMIT $2"
);

const SAVE_USER: &str = "
    UPDATE users
    SET identity = $4, language = $5, phone = $6, professional_title = $7, profile_version = profile_version + 1
    WHERE id = $1 AND profile_version = $2 AND identity = $3";

const SAVE_ENTRY: &str = "
    INSERT INTO professional_profiles (user_id, full_name, display_name, specialty, institution, bio, listed,
        license_number, credential_status, updated_at, name_key, title_key, specialty_key, institution_key, words)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, array_to_tsvector($15))
    ON CONFLICT (user_id) DO UPDATE SET
        full_name = excluded.full_name, display_name = excluded.display_name, specialty = excluded.specialty,
        institution = excluded.institution, bio = excluded.bio, listed = excluded.listed,
        license_number = excluded.license_number, credential_status = excluded.credential_status,
        updated_at = excluded.updated_at, name_key = excluded.name_key, title_key = excluded.title_key,
        specialty_key = excluded.specialty_key, institution_key = excluded.institution_key, words = excluded.words";

const ADD_STEP: &str = "
    INSERT INTO credential_steps (id, user_id, step, by_user, at, reason_code, note)
    VALUES ($1, $2, $3, $4, $5, $6, $7)";

const PUT_AVATAR: &str = "
    INSERT INTO avatars AS a (user_id, image, content_type, version, updated_at) VALUES ($1, $2, $3, $4, $5)
    ON CONFLICT (user_id) DO UPDATE SET
        image = excluded.image, content_type = excluded.content_type, updated_at = excluded.updated_at,
        version = greatest(a.version + 1, excluded.version)";

#[derive(QueryableByName)]
pub(crate) struct Row {
    #[diesel(sql_type = SqlUuid)]
    id: Uuid,
    #[diesel(sql_type = Bytea)]
    identity: Vec<u8>,
    #[diesel(sql_type = Text)]
    role: String,
    #[diesel(sql_type = Nullable<Text>)]
    professional_title: Option<String>,
    #[diesel(sql_type = Text)]
    language: String,
    #[diesel(sql_type = Bool)]
    is_active: bool,
    #[diesel(sql_type = Nullable<Timestamptz>)]
    last_seen_at: Option<DateTime<Utc>>,
    #[diesel(sql_type = Timestamptz)]
    created_at: DateTime<Utc>,
    #[diesel(sql_type = Nullable<Bytea>)]
    phone: Option<Vec<u8>>,
    #[diesel(sql_type = BigInt)]
    profile_version: i64,
    #[diesel(sql_type = Nullable<BigInt>)]
    avatar_version: Option<i64>,
    #[diesel(sql_type = Nullable<Text>)]
    full_name: Option<String>,
    #[diesel(sql_type = Nullable<Text>)]
    display_name: Option<String>,
    #[diesel(sql_type = Nullable<Text>)]
    specialty: Option<String>,
    #[diesel(sql_type = Nullable<Text>)]
    institution: Option<String>,
    #[diesel(sql_type = Nullable<Text>)]
    bio: Option<String>,
    #[diesel(sql_type = Nullable<Bool>)]
    listed: Option<bool>,
    #[diesel(sql_type = Nullable<Text>)]
    credential_status: Option<String>,
    #[diesel(sql_type = Nullable<Timestamptz>)]
    updated_at: Option<DateTime<Utc>>,
    #[diesel(sql_type = Nullable<Bytea>)]
    license_number: Option<Vec<u8>>,
}

impl Row {
    pub(crate) fn restore(self) -> Result<StoredProfile, Error> {
        let entry = match (self.full_name, self.display_name, self.credential_status, self.updated_at) {
            (Some(full_name), Some(display_name), Some(status), Some(updated_at)) => Some(Entry {
                full_name,
                display_name,
                specialty: self.specialty,
                institution: self.institution,
                bio: self.bio,
                listed: self.listed.unwrap_or_default(),
                credential_status: CredentialStatus::parse(&status).ok_or_else(|| unknown("status"))?,
                updated_at,
            }),
            _ => None,
        };
        Ok(StoredProfile {
            user: StoredUser {
                id: self.id.into(),
                identity: Sealed::from_bytes(self.identity),
                role: self.role.parse().map_err(unavailable)?,
                professional_title: self.professional_title,
                language: self.language.parse().map_err(unavailable)?,
                is_active: self.is_active,
                last_seen_at: self.last_seen_at,
                created_at: self.created_at,
            },
            version: self.profile_version,
            phone: self.phone.map(Sealed::from_bytes),
            avatar_version: self.avatar_version,
            entry,
            license_number: self.license_number.map(Sealed::from_bytes),
        })
    }
}

fn unknown(what: &str) -> Error {
    unavailable(format!("unknown {what} in a profile"))
}

#[derive(QueryableByName)]
struct StepRow {
    #[diesel(sql_type = SqlUuid)]
    user_id: Uuid,
    #[diesel(sql_type = SqlUuid)]
    id: Uuid,
    #[diesel(sql_type = Text)]
    step: String,
    #[diesel(sql_type = SqlUuid)]
    by_user: Uuid,
    #[diesel(sql_type = Timestamptz)]
    at: DateTime<Utc>,
    #[diesel(sql_type = Nullable<Text>)]
    reason_code: Option<String>,
    #[diesel(sql_type = Nullable<Bytea>)]
    note: Option<Vec<u8>>,
}

impl StepRow {
    fn restore(self) -> Result<(UserId, StoredStep), Error> {
        let reason = |code: String| RejectionReason::parse(&code).ok_or_else(|| unknown("reason"));
        let step = StoredStep {
            id: self.id,
            kind: StepKind::parse(&self.step).ok_or_else(|| unknown("step"))?,
            by: self.by_user.into(),
            at: self.at,
            reason: self.reason_code.map(reason).transpose()?,
            note: self.note.map(Sealed::from_bytes),
        };
        Ok((self.user_id.into(), step))
    }
}

#[derive(QueryableByName)]
struct AvatarRow {
    #[diesel(sql_type = Bytea)]
    image: Vec<u8>,
    #[diesel(sql_type = Text)]
    content_type: String,
    #[diesel(sql_type = BigInt)]
    version: i64,
}

#[derive(QueryableByName)]
struct AvatarVersion {
    #[diesel(sql_type = SqlUuid)]
    user_id: Uuid,
    #[diesel(sql_type = BigInt)]
    version: i64,
}

async fn save_entry(
    connection: &mut AsyncPgConnection,
    user: Uuid,
    published: &PublishedEntry,
) -> QueryResult<usize> {
    let PublishedEntry { entry, keys, license_number } = published;
    let query = diesel::sql_query(SAVE_ENTRY)
        .bind::<SqlUuid, _>(user)
        .bind::<Text, _>(&entry.full_name)
        .bind::<Text, _>(&entry.display_name)
        .bind::<Nullable<Text>, _>(&entry.specialty)
        .bind::<Nullable<Text>, _>(&entry.institution)
        .bind::<Nullable<Text>, _>(&entry.bio)
        .bind::<Bool, _>(entry.listed)
        .bind::<Nullable<Bytea>, _>(license_number.as_ref().map(Sealed::as_bytes))
        .bind::<Text, _>(entry.credential_status.as_str())
        .bind::<Timestamptz, _>(entry.updated_at)
        .bind::<Text, _>(&keys.name)
        .bind::<Nullable<Text>, _>(&keys.title)
        .bind::<Nullable<Text>, _>(&keys.specialty)
        .bind::<Nullable<Text>, _>(&keys.institution)
        .bind::<Array<Text>, _>(&keys.words);
    prepared(query).execute(connection).await
}

async fn add_step(connection: &mut AsyncPgConnection, user: Uuid, step: &StoredStep) -> QueryResult<usize> {
    let query = diesel::sql_query(ADD_STEP)
        .bind::<SqlUuid, _>(step.id)
        .bind::<SqlUuid, _>(user)
        .bind::<Text, _>(step.kind.as_str())
        .bind::<SqlUuid, _>(step.by.uuid())
        .bind::<Timestamptz, _>(step.at)
        .bind::<Nullable<Text>, _>(step.reason.map(RejectionReason::as_str))
        .bind::<Nullable<Bytea>, _>(step.note.as_ref().map(Sealed::as_bytes));
    prepared(query).execute(connection).await
}

#[async_trait]
impl ProfileStore for Database {
    async fn load(&self, user: UserId) -> Result<Option<StoredProfile>, Error> {
        let mut connection = self.connection().await.map_err(unavailable)?;
        let query = diesel::sql_query(LOAD).bind::<SqlUuid, _>(user.uuid());
        let row: Option<Row> =
            prepared(query).get_result(&mut connection).await.optional().map_err(unavailable)?;
        row.map(Row::restore).transpose()
    }

    async fn save(&self, change: &ProfileChange, effects: Effects) -> Result<(), Error> {
        let user = change.user_id.uuid();
        let mut connection = self.connection().await.map_err(unavailable)?;
        let saved = connection
            .transaction(async |connection| {
                let query = diesel::sql_query(SAVE_USER)
                    .bind::<SqlUuid, _>(user)
                    .bind::<BigInt, _>(change.read_version)
                    .bind::<Bytea, _>(change.read_identity.as_bytes())
                    .bind::<Bytea, _>(change.identity.as_bytes())
                    .bind::<Text, _>(change.language.tag())
                    .bind::<Nullable<Bytea>, _>(change.phone.as_ref().map(Sealed::as_bytes))
                    .bind::<Nullable<Text>, _>(&change.professional_title);
                if prepared(query).execute(connection).await? == 0 {
                    return Err(DieselError::RollbackTransaction);
                }
                match &change.entry {
                    Some(published) => save_entry(connection, user, published).await?,
                    None => {
                        let query = "DELETE FROM professional_profiles WHERE user_id = $1";
                        let query = diesel::sql_query(query).bind::<SqlUuid, _>(user);
                        prepared(query).execute(connection).await?
                    }
                };
                if let Some(step) = &change.step {
                    add_step(connection, user, step).await?;
                }
                effects::store(connection, &effects).await
            })
            .await;
        match saved {
            Ok(()) => {
                self.ring();
                Ok(())
            }
            Err(DieselError::RollbackTransaction) => Err(Error::Stale),
            Err(error) => Err(unavailable(error)),
        }
    }

    async fn unpublished(&self, after: Option<UserId>, limit: i64) -> Result<Vec<StoredProfile>, Error> {
        let mut connection = self.connection().await.map_err(unavailable)?;
        let query = diesel::sql_query(UNPUBLISHED)
            .bind::<Nullable<SqlUuid>, _>(after.map(UserId::uuid))
            .bind::<BigInt, _>(limit);
        let rows: Vec<Row> = prepared(query).load(&mut connection).await.map_err(unavailable)?;
        rows.into_iter().map(Row::restore).collect()
    }

    async fn credential_steps(&self, users: &[UserId]) -> Result<Vec<(UserId, StoredStep)>, Error> {
        let users: Vec<Uuid> = users.iter().map(|user| user.uuid()).collect();
        let query = "SELECT user_id, id, step, by_user, at, reason_code, note FROM credential_steps
             WHERE user_id = ANY ($1) ORDER BY user_id, at, id";
        let mut connection = self.connection().await.map_err(unavailable)?;
        let query = diesel::sql_query(query).bind::<Array<SqlUuid>, _>(users);
        let rows: Vec<StepRow> = prepared(query).load(&mut connection).await.map_err(unavailable)?;
        rows.into_iter().map(StepRow::restore).collect()
    }

    async fn put_avatar(
        &self,
        user: UserId,
        image: Sealed,
        form: ImageForm,
        version: i64,
        at: DateTime<Utc>,
        effects: Effects,
    ) -> Result<(), Error> {
        let mut connection = self.connection().await.map_err(unavailable)?;
        connection
            .transaction(async |connection| {
                let query = diesel::sql_query(PUT_AVATAR)
                    .bind::<SqlUuid, _>(user.uuid())
                    .bind::<Bytea, _>(image.as_bytes())
                    .bind::<Text, _>(form.media_type())
                    .bind::<BigInt, _>(version)
                    .bind::<Timestamptz, _>(at);
                prepared(query).execute(connection).await?;
                effects::store(connection, &effects).await
            })
            .await
            .map_err(|error: DieselError| unavailable(error))?;
        self.ring();
        Ok(())
    }

    async fn remove_avatar(&self, user: UserId, effects: Effects) -> Result<(), Error> {
        let mut connection = self.connection().await.map_err(unavailable)?;
        connection
            .transaction(async |connection| {
                let query = diesel::sql_query("DELETE FROM avatars WHERE user_id = $1");
                match prepared(query.bind::<SqlUuid, _>(user.uuid())).execute(connection).await? {
                    0 => Ok(()),
                    _ => effects::store(connection, &effects).await,
                }
            })
            .await
            .map_err(|error: DieselError| unavailable(error))?;
        self.ring();
        Ok(())
    }

    async fn avatar(&self, user: UserId) -> Result<Option<(Sealed, ImageForm, i64)>, Error> {
        let mut connection = self.connection().await.map_err(unavailable)?;
        let query = "SELECT image, content_type, version FROM avatars WHERE user_id = $1";
        let query = diesel::sql_query(query).bind::<SqlUuid, _>(user.uuid());
        let row: Option<AvatarRow> =
            prepared(query).get_result(&mut connection).await.optional().map_err(unavailable)?;
        row.map(|AvatarRow { image, content_type, version }| {
            let form = ImageForm::parse(&content_type).ok_or_else(|| unknown("form of a picture"))?;
            Ok((Sealed::from_bytes(image), form, version))
        })
        .transpose()
    }

    async fn avatar_versions(&self, users: &[UserId]) -> Result<Vec<(UserId, i64)>, Error> {
        let users: Vec<Uuid> = users.iter().map(|user| user.uuid()).collect();
        let mut connection = self.connection().await.map_err(unavailable)?;
        let query = diesel::sql_query("SELECT user_id, version FROM avatars WHERE user_id = ANY ($1)")
            .bind::<Array<SqlUuid>, _>(users);
        let rows: Vec<AvatarVersion> = prepared(query).load(&mut connection).await.map_err(unavailable)?;
        Ok(rows.into_iter().map(|row| (row.user_id.into(), row.version)).collect())
    }
}
