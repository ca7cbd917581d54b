//! `accounts::PresenceStore`.

use alivio_accounts::{
    ChosenPresence, Circle, Error, PresenceAudience, PresencePreferences, PresencePrivacy, PresenceQuery,
    PresenceStore, PresenceView,
};
use alivio_kernel::ids::{ConversationId, UserId, Uuid};
use alivio_kernel::{BoxError, Effects};
use async_trait::async_trait;
use chrono::{DateTime, Utc};
use diesel::sql_types::{Array, BigInt, Bool, Nullable, Text, Timestamptz, Uuid as SqlUuid};
use diesel::{OptionalExtension, QueryableByName};
use diesel_async::{AsyncConnection, AsyncPgConnection, RunQueryDsl};

use crate::sql::prepared;
use crate::together::{Statement, in_order};
use crate::users::unavailable;
use crate::{Database, effects};

const PREFERENCES: &str = "
    SELECT chosen, show_presence, show_last_seen FROM presence_preferences WHERE user_id = $1";

const CHOOSE: &str = "
    INSERT INTO presence_preferences (user_id, chosen) VALUES ($1, $2)
    ON CONFLICT (user_id) DO UPDATE SET chosen = excluded.chosen";

const SET_PRIVACY: &str = "
    INSERT INTO presence_preferences (user_id, show_presence, show_last_seen) VALUES ($1, $2, $3)
    ON CONFLICT (user_id) DO UPDATE SET show_presence = excluded.show_presence,
        show_last_seen = excluded.show_last_seen";

/// That no block stands between two people.
macro_rules! no_block {
    ($viewer:literal, $other:literal) => {
        concat!(
            "NOT EXISTS (SELECT 1 FROM blocks b WHERE b.blocker_id = ",
            $viewer,
            " AND b.blocked_id = ",
            $other,
            ") AND NOT EXISTS (SELECT 1 FROM blocks b WHERE b.blocked_id = ",
            $viewer,
            " AND b.blocker_id = ",
            $other,
            ")"
        )
    };
}

/// Everyone whom `$1` knows, active and without a block in between: the one half of who sees whom.
macro_rules! known {
    () => {
        concat!(
            "SELECT k.id, bool_or(k.is_contact) AS is_contact
        FROM (
            SELECT c.contact_id AS id, true AS is_contact FROM contacts c WHERE c.user_id = $1
            UNION ALL
            SELECT p.user_id, false FROM participants me
            JOIN participants p ON p.conversation_id = me.conversation_id AND p.left_seq IS NULL
                AND p.user_id <> me.user_id
            WHERE me.user_id = $1 AND me.left_seq IS NULL
        ) k
        WHERE ",
            no_block!("$1", "k.id"),
            " GROUP BY k.id"
        )
    };
}

/// The other half: whether a circle, of whoever has it, holds the one at the other end.
macro_rules! holds {
    ($circle:literal, $is_contact:literal) => {
        concat!(
            "CASE coalesce(",
            $circle,
            ", 'everyone_i_know') WHEN 'everyone_i_know' THEN true
             WHEN 'contacts' THEN ",
            $is_contact,
            " ELSE false END"
        )
    };
}

/// Those of `$3` whom those of `$2`, each at the same place, know: as [`known`], but for a few; `$1` numbers who asks. The
/// `LIMIT` ends the search at the first conversation that both are in, of many.
macro_rules! known_of_those {
    () => {
        concat!(
            "SELECT o.ord, o.id, k.is_contact
        FROM (
            SELECT DISTINCT ord, viewer, id FROM unnest($1::bigint[], $2::uuid[], $3::uuid[]) AS asked (ord, viewer, id)
            WHERE id <> viewer
        ) o
        CROSS JOIN LATERAL (
            SELECT EXISTS (SELECT 1 FROM contacts c WHERE c.user_id = o.viewer AND c.contact_id = o.id) AS is_contact
        ) k
        LEFT JOIN LATERAL (
            SELECT true AS met FROM participants p
            JOIN participants me ON me.conversation_id = p.conversation_id AND me.user_id = o.viewer
                AND me.left_seq IS NULL
            WHERE p.user_id = o.id AND p.left_seq IS NULL LIMIT 1
        ) s ON true
        WHERE (k.is_contact OR s.met) AND ",
            no_block!("o.viewer", "o.id")
        )
    };
}

macro_rules! views {
    ($ord:literal, $known:expr, $condition:literal) => {
        concat!(
            "SELECT v.ord, v.id, CASE WHEN v.shows_presence THEN v.chosen END AS chosen,
                CASE WHEN v.shows_last_seen THEN v.last_seen_at END AS last_seen_at
            FROM (
                SELECT ",
            $ord,
            " AS ord, known.id, coalesce(p.chosen, 'online') AS chosen, u.last_seen_at,
                    ",
            holds!("p.show_presence", "known.is_contact"),
            " AS shows_presence,
                    ",
            holds!("p.show_last_seen", "known.is_contact"),
            " AS shows_last_seen
                FROM (",
            $known,
            ") known
                JOIN users u ON u.id = known.id AND u.is_active
                LEFT JOIN presence_preferences p ON p.user_id = known.id
            ) v
            WHERE (v.shows_presence OR v.shows_last_seen)",
            $condition
        )
    };
}

const VIEWS: &str = views!("known.ord", known_of_those!(), "");
const ALL_VIEWS: &str =
    views!("0::bigint", known!(), " AND ($2::uuid IS NULL OR v.id > $2) ORDER BY v.id OFFSET $3 LIMIT $4");

const AUDIENCE: &str = concat!(
    "SELECT coalesce(p.chosen, 'online') AS chosen,
        coalesce((SELECT array_agg(m.conversation_id) FROM participants m
            WHERE m.user_id = $1 AND m.left_seq IS NULL), '{}') AS conversations,
        coalesce(w.ids, '{}') AS watchers, coalesce(w.shown, '{}') AS shown
    FROM users me
    LEFT JOIN presence_preferences p ON p.user_id = me.id
    CROSS JOIN LATERAL (
        SELECT array_agg(known.id) AS ids, array_agg(",
    holds!("p.show_last_seen", "known.is_contact"),
    ") AS shown
        FROM (",
    known!(),
    ") known
        JOIN users u ON u.id = known.id AND u.is_active
        WHERE ",
    holds!("p.show_presence", "known.is_contact"),
    "
    ) w
    WHERE me.id = $1 AND me.is_active"
);

#[derive(QueryableByName)]
struct PreferencesRow {
    #[diesel(sql_type = Text)]
    chosen: String,
    #[diesel(sql_type = Text)]
    show_presence: String,
    #[diesel(sql_type = Text)]
    show_last_seen: String,
}

#[derive(QueryableByName)]
pub(crate) struct ViewRow {
    #[diesel(sql_type = BigInt)]
    ord: i64,
    #[diesel(sql_type = SqlUuid)]
    id: Uuid,
    #[diesel(sql_type = Nullable<Text>)]
    chosen: Option<String>,
    #[diesel(sql_type = Nullable<Timestamptz>)]
    last_seen_at: Option<DateTime<Utc>>,
}

#[derive(QueryableByName)]
struct AudienceRow {
    #[diesel(sql_type = Text)]
    chosen: String,
    #[diesel(sql_type = Array<SqlUuid>)]
    conversations: Vec<Uuid>,
    #[diesel(sql_type = Array<SqlUuid>)]
    watchers: Vec<Uuid>,
    #[diesel(sql_type = Array<Bool>)]
    shown: Vec<bool>,
}

fn circle(name: &str) -> Result<Circle, Error> {
    Circle::parse(name).ok_or_else(|| unavailable("unknown circle"))
}

impl ViewRow {
    fn restore(self) -> Result<PresenceView, Error> {
        let chosen = self.chosen.as_deref().map(ChosenPresence::parse).transpose()?;
        Ok(PresenceView { user_id: self.id.into(), chosen, last_seen_at: self.last_seen_at })
    }
}

/// What someone sees of others.
pub(crate) struct Views;

impl Statement for Views {
    type Question = (UserId, Vec<Uuid>);
    type Answer = Vec<ViewRow>;
    const MOST: usize = 200;

    async fn answer(
        connection: &mut AsyncPgConnection,
        questions: &[(UserId, Vec<Uuid>)],
    ) -> Result<Vec<Vec<ViewRow>>, BoxError> {
        let (mut ords, mut viewers, mut others) = (Vec::new(), Vec::new(), Vec::new());
        for (ord, (viewer, of_one)) in (1_i64..).zip(questions) {
            ords.extend(of_one.iter().map(|_| ord));
            viewers.extend(of_one.iter().map(|_| viewer.uuid()));
            others.extend_from_slice(of_one);
        }
        let query = diesel::sql_query(VIEWS)
            .bind::<Array<BigInt>, _>(ords)
            .bind::<Array<SqlUuid>, _>(viewers)
            .bind::<Array<SqlUuid>, _>(others);
        let rows: Vec<ViewRow> = prepared(query).load(connection).await?;
        Ok(in_order(questions.len(), rows, |row| row.ord, Vec::new, Vec::push))
    }
}

#[async_trait]
impl PresenceStore for Database {
    async fn preferences(&self, user: UserId) -> Result<PresencePreferences, Error> {
        let query = diesel::sql_query(PREFERENCES).bind::<SqlUuid, _>(user.uuid());
        let mut connection = self.connection().await.map_err(unavailable)?;
        let row: Option<PreferencesRow> =
            prepared(query).get_result(&mut connection).await.optional().map_err(unavailable)?;
        let Some(row) = row else { return Ok(PresencePreferences::default()) };
        let privacy = PresencePrivacy {
            presence: circle(&row.show_presence)?,
            last_seen: circle(&row.show_last_seen)?,
        };
        Ok(PresencePreferences { chosen: ChosenPresence::parse(&row.chosen)?, privacy })
    }

    async fn choose(&self, user: UserId, chosen: ChosenPresence) -> Result<(), Error> {
        let query =
            diesel::sql_query(CHOOSE).bind::<SqlUuid, _>(user.uuid()).bind::<Text, _>(chosen.as_str());
        let mut connection = self.connection().await.map_err(unavailable)?;
        prepared(query).execute(&mut connection).await.map_err(unavailable)?;
        Ok(())
    }

    async fn set_privacy(&self, user: UserId, privacy: PresencePrivacy, left: &Effects) -> Result<(), Error> {
        let mut connection = self.connection().await.map_err(unavailable)?;
        connection
            .transaction(async |connection| {
                let query = diesel::sql_query(SET_PRIVACY)
                    .bind::<SqlUuid, _>(user.uuid())
                    .bind::<Text, _>(privacy.presence.as_str())
                    .bind::<Text, _>(privacy.last_seen.as_str());
                prepared(query).execute(connection).await?;
                effects::store(connection, left).await?;
                Ok::<_, BoxError>(())
            })
            .await
            .map_err(unavailable)?;
        self.ring();
        Ok(())
    }

    async fn views(&self, viewer: UserId, others: &[UserId]) -> Result<Vec<PresenceView>, Error> {
        let others = others.iter().map(|id| id.uuid()).collect();
        let rows = self.queues.views.ask(self.apart(), (viewer, others)).await.map_err(unavailable)?;
        rows.into_iter().map(ViewRow::restore).collect()
    }

    async fn all_views(&self, viewer: UserId, list: &PresenceQuery) -> Result<Vec<PresenceView>, Error> {
        let query = diesel::sql_query(ALL_VIEWS)
            .bind::<SqlUuid, _>(viewer.uuid())
            .bind::<Nullable<SqlUuid>, _>(list.after.map(UserId::uuid))
            .bind::<BigInt, _>(list.offset)
            .bind::<BigInt, _>(list.size.get() + 1);
        let mut connection = self.connection().await.map_err(unavailable)?;
        let rows: Vec<ViewRow> = prepared(query).load(&mut connection).await.map_err(unavailable)?;
        rows.into_iter().map(ViewRow::restore).collect()
    }

    async fn audience(&self, user: UserId) -> Result<PresenceAudience, Error> {
        let query = diesel::sql_query(AUDIENCE).bind::<SqlUuid, _>(user.uuid());
        let mut connection = self.connection().await.map_err(unavailable)?;
        let row: Option<AudienceRow> =
            prepared(query).get_result(&mut connection).await.optional().map_err(unavailable)?;
        let Some(row) = row else { return Ok(PresenceAudience::default()) };
        Ok(PresenceAudience {
            chosen: ChosenPresence::parse(&row.chosen)?,
            watchers: row.watchers.into_iter().map(UserId::from).zip(row.shown).collect(),
            conversations: row.conversations.into_iter().map(ConversationId::from).collect(),
        })
    }
}
