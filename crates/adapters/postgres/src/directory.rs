//! `accounts::DirectoryStore`.
//!
//! A search is two statements: who the viewer is related to, then the entries. The second one is written for the
//! filters that were given and planned for their values (it is not [`prepared`]). Without words it walks an index that is
//! in the order of names until the page is full. With words it finds all who fit by the index of words and then sorts:
//! walking by name until enough fit looks cheap to the planner, which does not know that beginnings of words go with
//! the order of names, and reads most of the directory to find those called María.

use std::fmt::Write as _;

use alivio_accounts::{DirectoryQuery, DirectoryStore, Error, Sight, StoredProfile, Viewer};
use alivio_kernel::ids::{UserId, Uuid};
use async_trait::async_trait;
use diesel::pg::Pg;
use diesel::prelude::*;
use diesel::query_builder::BoxedSqlQuery;
use diesel::sql_types::{Array, BigInt, Bool, Nullable, Text, Uuid as SqlUuid};
use diesel_async::RunQueryDsl;

use crate::Database;
use crate::profiles::{Row, columns};
use crate::sql::prepared;
use crate::users::unavailable;

/// Those to whom `$1` is related, once or more often: themselves, who is in a conversation with them now, who attends
/// them, whom they attend.
macro_rules! related {
    () => {
        "SELECT $1::uuid AS user_id
         UNION ALL
         SELECT other.user_id FROM participants mine JOIN participants other USING (conversation_id)
         WHERE mine.user_id = $1 AND mine.left_seq IS NULL AND other.left_seq IS NULL
         UNION ALL SELECT professional_id FROM care_relationships WHERE patient_id = $1
         UNION ALL SELECT patient_id FROM care_relationships WHERE professional_id = $1
         UNION ALL SELECT contact_id FROM contacts WHERE user_id = $1"
    };
}

/// Who can be seen at all: `u` stands for the one who is seen, `$1` for the one who looks.
macro_rules! visible {
    () => {
        // Whoever wants nothing of $1 is not there for them.
        "u.is_active AND NOT EXISTS (SELECT FROM blocks b WHERE b.blocker_id = u.id AND b.blocked_id = $1)"
    };
}

// Where someone works is what they say; it counts once others have found it true (C-41).
const CONTEXT: &str = concat!(
    "SELECT ARRAY(SELECT DISTINCT r.user_id FROM (",
    related!(),
    ") r) AS related, (SELECT institution_key FROM professional_profiles
        WHERE user_id = $1 AND credential_status = 'verified') AS institution_key"
);

const SEES: &str = concat!(
    "SELECT EXISTS (
        SELECT FROM users u LEFT JOIN professional_profiles p ON p.user_id = u.id
        WHERE u.id = $2 AND ",
    visible!(),
    " AND (
            EXISTS (SELECT FROM (",
    related!(),
    ") r WHERE r.user_id = $2)
            OR u.role IN ('doctor', 'student', 'medical_admin') AND CASE $3
                WHEN 'all' THEN p.user_id IS NOT NULL
                WHEN 'listed' THEN p.listed
                WHEN 'institution' THEN p.listed AND p.institution_key =
                    (SELECT institution_key FROM professional_profiles
                        WHERE user_id = $1 AND credential_status = 'verified')
                ELSE false END)
     ) AS sees"
);

#[derive(QueryableByName)]
struct Context {
    #[diesel(sql_type = Array<SqlUuid>)]
    related: Vec<Uuid>,
    #[diesel(sql_type = Nullable<Text>)]
    institution_key: Option<String>,
}

#[derive(QueryableByName)]
struct Sees {
    #[diesel(sql_type = Bool)]
    sees: bool,
}

#[derive(QueryableByName)]
struct Institution {
    #[diesel(sql_type = Text)]
    institution: String,
    #[diesel(sql_type = BigInt)]
    count: i64,
}

const fn name(sight: Sight) -> &'static str {
    match sight {
        Sight::All => "all",
        Sight::Listed => "listed",
        Sight::Institution => "institution",
        Sight::Related => "related",
    }
}

/// A value to bind.
enum Value {
    Text(String),
    Ids(Vec<Uuid>),
    Id(Uuid),
    Number(i64),
}

/// A statement with its values. `$1` is the viewer.
struct Statement {
    sql: String,
    values: Vec<Value>,
}

impl Statement {
    fn new(viewer: &Viewer, sql: &str) -> Self {
        Self { sql: sql.to_owned(), values: vec![Value::Id(viewer.user_id.uuid())] }
    }

    /// Keeps `value` and gives its place.
    fn bind(&mut self, value: Value) -> String {
        self.values.push(value);
        format!("${}", self.values.len())
    }

    fn push(&mut self, sql: &str) {
        self.sql.push_str(sql);
    }

    /// Adds ` AND {left} {place of value}{right}`.
    fn and(&mut self, left: &str, value: Value, right: &str) {
        let place = self.bind(value);
        // Writing to a string does not fail.
        write!(self.sql, " AND {left}{place}{right}").ok();
    }

    /// Adds what the viewer may see.
    fn and_seen(&mut self, sight: Sight, context: Context) {
        if sight == Sight::All {
            return;
        }
        let related = self.bind(Value::Ids(context.related));
        let more = match (sight, context.institution_key) {
            (Sight::Listed, _) => " OR p.listed".to_owned(),
            (Sight::Institution, Some(institution)) => {
                format!(" OR (p.institution_key = {} AND p.listed)", self.bind(Value::Text(institution)))
            }
            _ => String::new(),
        };
        write!(self.sql, " AND (p.user_id = ANY ({related}){more})").ok();
    }

    fn query(self) -> BoxedSqlQuery<'static, Pg, diesel::query_builder::SqlQuery> {
        let query = diesel::sql_query(self.sql).into_boxed();
        self.values.into_iter().fold(query, |query, value| match value {
            Value::Text(text) => query.bind::<Text, _>(text),
            Value::Ids(ids) => query.bind::<Array<SqlUuid>, _>(ids),
            Value::Id(id) => query.bind::<SqlUuid, _>(id),
            Value::Number(number) => query.bind::<BigInt, _>(number),
        })
    }
}

/// `'marti':* & 'gar':*`. Folded words hold letters and digits only, so that there is nothing to escape.
fn beginnings(words: &[String]) -> String {
    words.iter().map(|word| format!("'{word}':*")).collect::<Vec<_>>().join(" & ")
}

impl Database {
    async fn directory_context(&self, viewer: &Viewer) -> Result<Context, Error> {
        if viewer.sight == Sight::All {
            return Ok(Context { related: Vec::new(), institution_key: None });
        }
        let mut connection = self.connection().await.map_err(unavailable)?;
        let query = diesel::sql_query(CONTEXT).bind::<SqlUuid, _>(viewer.user_id.uuid());
        prepared(query).get_result(&mut connection).await.map_err(unavailable)
    }
}

/// Plans what is before it by itself, for all its rows rather than the first few.
const FENCE: &str = " ORDER BY p.name_key, p.user_id OFFSET 0";
const ROLES: &str = " AND u.role IN ('doctor', 'student', 'medical_admin')";

#[async_trait]
impl DirectoryStore for Database {
    async fn search(&self, viewer: &Viewer, query: &DirectoryQuery) -> Result<Vec<StoredProfile>, Error> {
        let context = self.directory_context(viewer).await?;
        let mut statement = Statement::new(
            viewer,
            concat!(
                "SELECT ",
                columns!(),
                " FROM (SELECT p.user_id, p.name_key FROM professional_profiles p WHERE $1::uuid IS NOT NULL"
            ),
        );
        statement.and_seen(viewer.sight, context);
        for (column, key) in [
            ("p.title_key = ", &query.title),
            ("p.specialty_key = ", &query.specialty),
            ("p.institution_key = ", &query.institution),
        ] {
            if let Some(key) = key {
                statement.and(column, Value::Text(key.clone()), "");
            }
        }
        if let Some(status) = query.credential_status {
            statement.and("p.credential_status = ", Value::Text(status.as_str().to_owned()), "");
        }
        if let Some(after) = &query.after {
            let id = statement.bind(Value::Id(after.user_id.uuid()));
            let right = format!(", {id})");
            statement.and("(p.name_key, p.user_id) > (", Value::Text(after.name_key.clone()), &right);
        }
        if !query.words.is_empty() {
            statement.and("p.words @@ ", Value::Text(beginnings(&query.words)), "::tsquery");
            // One or two letters fit so many, and of so many names, that the walk is soon over.
            if query.words.iter().any(|word| word.chars().nth(2).is_some()) {
                statement.push(FENCE);
            }
        }
        statement.push(
            ") f JOIN users u ON u.id = f.user_id JOIN professional_profiles p ON p.user_id = f.user_id
             LEFT JOIN avatars a ON a.user_id = f.user_id WHERE true",
        );
        statement.push(ROLES);
        if query.is_active == Some(true) {
            statement.push(concat!(" AND ", visible!()));
        }
        if query.is_active == Some(false) {
            statement.push(" AND NOT u.is_active");
        }
        if let Some(role) = query.role {
            statement.and("u.role = ", Value::Text(role.as_str().to_owned()), "");
        }
        let limit = statement.bind(Value::Number(query.size.get() + 1));
        let offset = statement.bind(Value::Number(query.offset));
        statement.push(&format!(" ORDER BY f.name_key, f.user_id LIMIT {limit} OFFSET {offset}"));
        let mut connection = self.connection().await.map_err(unavailable)?;
        let rows: Vec<Row> = statement.query().load(&mut connection).await.map_err(unavailable)?;
        rows.into_iter().map(Row::restore).collect()
    }

    async fn institutions(
        &self,
        viewer: &Viewer,
        offset: i64,
        limit: i64,
    ) -> Result<Vec<(String, i64)>, Error> {
        let context = self.directory_context(viewer).await?;
        let mut statement = Statement::new(
            viewer,
            concat!(
                "SELECT max(p.institution) AS institution, count(*) AS count
                 FROM professional_profiles p JOIN users u ON u.id = p.user_id
                 WHERE p.institution_key IS NOT NULL AND $1::uuid IS NOT NULL AND ",
                visible!()
            ),
        );
        statement.push(ROLES);
        statement.and_seen(viewer.sight, context);
        let limit = statement.bind(Value::Number(limit));
        let offset = statement.bind(Value::Number(offset));
        statement.push(&format!(
            " GROUP BY p.institution_key ORDER BY p.institution_key LIMIT {limit} OFFSET {offset}"
        ));
        let mut connection = self.connection().await.map_err(unavailable)?;
        let rows: Vec<Institution> = statement.query().load(&mut connection).await.map_err(unavailable)?;
        Ok(rows.into_iter().map(|row| (row.institution, row.count)).collect())
    }

    async fn sees(&self, viewer: &Viewer, person: UserId) -> Result<bool, Error> {
        let mut connection = self.connection().await.map_err(unavailable)?;
        let query = diesel::sql_query(SEES)
            .bind::<SqlUuid, _>(viewer.user_id.uuid())
            .bind::<SqlUuid, _>(person.uuid())
            .bind::<Text, _>(name(viewer.sight));
        let row: Sees = prepared(query).get_result(&mut connection).await.map_err(unavailable)?;
        Ok(row.sees)
    }
}
