//! Concurrent senders share a commit.
//!
//! Each conversation belongs to one of a few writer tasks. A writer takes whatever waits, appends it all
//! by one call of `append_messages`, and answers each sender. There is no timer: a group is what
//! gathered while the last commit ran, so a lone sender waits for nobody.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use alivio_kernel::ids::{ConversationId, UserId, Uuid};
use alivio_kernel::{BoxError, Event, Sealed};
use alivio_messages::{Appended, Error, NewEntry, NewFlag, StoredMessage};
use alivio_metrics::{Appending, messages as metrics};
use chrono::{DateTime, Utc};
use diesel::sql_types::{
    Array, BigInt, Bool, Bytea, Float, Jsonb, Nullable, Text, Timestamptz, Uuid as SqlUuid,
};
use diesel::{QueryResult, QueryableByName};
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use serde_json::{Value, json};
use tokio::sync::{mpsc, oneshot};

use super::unavailable;
use crate::Database;
use crate::sql::prepared;

/// More rows than this per commit gain nothing and delay the first.
const GROUP: usize = 200;
/// Senders that may wait for a writer before others wait to wait.
const QUEUE: usize = 4096;
/// After so long the outcome counts as unknown.
const DEADLINE: Duration = Duration::from_secs(10);

macro_rules! append {
    () => {
        "SELECT ord, outcome, message_id, seq, ref_number, members_version, expires_at
        FROM append_messages($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19)"
    };
}

const APPEND: &str = append!();

// What is found in a message is stored with it, for those who moderate; so is which files it holds, and what it sets off.
const APPEND_WITH_MORE: &str = concat!(
    "WITH appended AS MATERIALIZED (",
    append!(),
    "), flagged AS (
        INSERT INTO message_reports (id, kind, conversation_id, message_id, sender_id, findings, created_at, updated_at)
        SELECT f.id, 'flag', f.conversation_id, a.message_id, f.sender_id, f.findings, f.at, f.at
        FROM jsonb_to_recordset($20) AS f
            (ord bigint, id uuid, conversation_id uuid, sender_id uuid, findings jsonb, at timestamptz)
        JOIN appended a ON a.ord = f.ord AND a.outcome = 'stored'
    ), shared AS (
        INSERT INTO file_shares (file_id, message_id, conversation_id, seq)
        SELECT f.file_id, a.message_id, f.conversation_id, a.seq
        FROM jsonb_to_recordset($21) AS f (ord bigint, file_id uuid, conversation_id uuid)
        JOIN appended a ON a.ord = f.ord AND a.outcome = 'stored'
    ), published AS (
        INSERT INTO outbox (id, kind, payload, at, due_at)
        SELECT e.id, e.kind, e.payload, e.at, e.due_at
        FROM jsonb_to_recordset($22) AS e
            (ord bigint, id uuid, kind text, payload jsonb, at timestamptz, due_at timestamptz)
        JOIN appended a ON a.ord = e.ord AND a.outcome = 'stored'
    )
    SELECT ord, outcome, message_id, seq, ref_number, members_version, expires_at FROM appended"
);

type Answer = oneshot::Sender<Result<Appended, Error>>;

struct Job {
    entry: NewEntry,
    answer: Answer,
}

impl Job {
    fn key(&self) -> (ConversationId, UserId, &str) {
        (self.entry.conversation_id, self.entry.sender_id, self.entry.client_message_id.as_str())
    }

    fn answer(self, result: Result<Appended, Error>) {
        let appending = match &result {
            Ok(Appended::Stored { .. }) => Appending::Stored,
            Ok(Appended::Repeat(_)) => Appending::Repeated,
            Ok(_) => Appending::Refused,
            Err(_) => Appending::Failed,
        };
        metrics::APPENDED.of(appending).increment(1);
        // Nobody is left to tell when the sender has given up.
        drop(self.answer.send(result));
    }
}

/// The message log of a [`Database`]. Clones share the writers, which end with the last clone.
#[derive(Clone)]
pub struct GroupCommit {
    database: Database,
    writers: Arc<[mpsc::Sender<Job>]>,
}

impl GroupCommit {
    /// Starts `writers` writer tasks; two keep PostgreSQL busy. MUST be called within a tokio runtime.
    pub fn start(database: Database, writers: usize) -> Self {
        let start = |_| {
            let (sender, jobs) = mpsc::channel(QUEUE);
            tokio::spawn(Writer { database: database.clone(), connection: None }.run(jobs));
            sender
        };
        Self { writers: (0..writers.max(1)).map(start).collect(), database }
    }

    pub(super) const fn database(&self) -> &Database {
        &self.database
    }

    pub(super) async fn write(&self, entry: NewEntry) -> Result<Appended, Error> {
        let (answer, answered) = oneshot::channel();
        // The last bytes of a UUIDv7 are random, so this spreads evenly.
        let index = usize::from(entry.conversation_id.uuid().as_bytes()[15]) % self.writers.len();
        let gone = || unavailable("the writer has stopped");
        self.writers[index].send(Job { entry, answer }).await.map_err(|_| gone())?;
        answered.await.map_err(|_| gone())?
    }
}

struct Writer {
    database: Database,
    connection: Option<AsyncPgConnection>,
}

impl Writer {
    async fn run(mut self, mut jobs: mpsc::Receiver<Job>) {
        let mut waiting = VecDeque::new();
        let mut arrived = Vec::with_capacity(GROUP);
        loop {
            if waiting.is_empty() && jobs.recv_many(&mut arrived, GROUP).await == 0 {
                return;
            }
            while arrived.len() + waiting.len() < GROUP
                && let Ok(job) = jobs.try_recv()
            {
                arrived.push(job);
            }
            waiting.extend(arrived.drain(..));
            let group = take_group(&mut waiting);
            self.commit(group).await;
        }
    }

    /// Appends `group` and answers everyone in it.
    async fn commit(&mut self, group: Vec<Job>) {
        let failed = match self.append(&group).await {
            Ok(outcomes) => return self.answer(group, outcomes).await,
            Err(error) => error,
        };
        // A database that does not answer now would not answer each of them alone either.
        if group.len() == 1 || !is_about_an_entry(&*failed) {
            for job in group {
                job.answer(Err(unavailable(failed.to_string())));
            }
            return;
        }
        // One entry may spoil it for all; alone, each gets its own answer.
        tracing::warn!(error = %failed, entries = group.len(), "messages.group_failed");
        for job in group {
            let alone = vec![job];
            match self.append(&alone).await {
                Ok(outcomes) => self.answer(alone, outcomes).await,
                Err(error) => {
                    for job in alone {
                        job.answer(Err(unavailable(error.to_string())));
                    }
                }
            }
        }
    }

    async fn append(&mut self, group: &[Job]) -> Result<Vec<Outcome>, BoxError> {
        let mut connection = match self.connection.take() {
            Some(connection) => connection,
            None => tokio::time::timeout(DEADLINE, self.database.dedicated()).await??,
        };
        let entries: Vec<_> = group.iter().map(|job| &job.entry).collect();
        let began = Instant::now();
        let outcomes = tokio::time::timeout(DEADLINE, offer(&mut connection, &entries)).await??;
        metrics::COMMIT.record(began.elapsed());
        metrics::GROUP_SIZE.record(u32::try_from(group.len()).unwrap_or(u32::MAX));
        // Only a connection that has just worked is kept.
        self.connection = Some(connection);
        // Messages alone set nothing off.
        if entries.iter().any(|entry| entry.event.is_some()) {
            self.database.ring();
        }
        Ok(outcomes)
    }

    async fn answer(&self, group: Vec<Job>, outcomes: Vec<Outcome>) {
        let repeated: Vec<Uuid> =
            outcomes.iter().filter(|o| o.outcome == "repeat").map(|o| o.message_id).collect();
        let earlier: HashMap<Uuid, StoredMessage> = if repeated.is_empty() {
            HashMap::new()
        } else {
            // If they cannot be read now, their senders are told to try again.
            let found = self.database.messages_by_ids(repeated).await.unwrap_or_default();
            found.into_iter().map(|m| (m.id.uuid(), m)).collect()
        };
        let mut outcomes: HashMap<i64, Outcome> = outcomes.into_iter().map(|o| (o.ord, o)).collect();
        for (ord, job) in (1..).zip(group) {
            let result = outcomes
                .remove(&ord)
                .and_then(|outcome| outcome.appended(&earlier))
                .ok_or_else(|| unavailable("the outcome is unknown"));
            job.answer(result);
        }
    }
}

/// Whether what failed is one of the entries, rather than the database or the way to it.
fn is_about_an_entry(error: &(dyn std::error::Error + Send + Sync + 'static)) -> bool {
    use diesel::result::{DatabaseErrorKind as Kind, Error};
    let kind = match error.downcast_ref::<Error>() {
        Some(Error::DatabaseError(kind, _)) => kind,
        _ => return false,
    };
    matches!(kind, Kind::UniqueViolation | Kind::NotNullViolation | Kind::CheckViolation)
}

/// The longest run of `waiting` that may share a call: no client message twice.
fn take_group(waiting: &mut VecDeque<Job>) -> Vec<Job> {
    let mut seen = HashSet::new();
    let size = waiting.iter().take(GROUP).take_while(|job| seen.insert(job.key())).count();
    waiting.drain(..size).collect()
}

/// Appends `group` in the transaction that `connection` is in, or in one of its own.
pub(super) async fn offer(
    connection: &mut AsyncPgConnection,
    group: &[&NewEntry],
) -> QueryResult<Vec<Outcome>> {
    fn column<'a, T>(group: &[&'a NewEntry], of: impl Fn(&'a NewEntry) -> T) -> Vec<T> {
        group.iter().map(|entry| of(entry)).collect()
    }
    // Mostly there is nothing besides: who asks for less is answered sooner.
    let has_more =
        |entry: &&NewEntry| entry.flag.is_some() || !entry.files.is_empty() || entry.event.is_some();
    let has_more = group.iter().any(has_more);
    let query = diesel::sql_query(if has_more { APPEND_WITH_MORE } else { APPEND })
        .bind::<Array<SqlUuid>, _>(column(group, |e| e.id.uuid()))
        .bind::<Array<SqlUuid>, _>(column(group, |e| e.conversation_id.uuid()))
        .bind::<Array<SqlUuid>, _>(column(group, |e| e.sender_id.uuid()))
        .bind::<Array<Text>, _>(column(group, |e| e.message_type.as_str()))
        .bind::<Array<Text>, _>(column(group, |e| e.priority.as_str()))
        .bind::<Array<Nullable<Bytea>>, _>(column(group, |e| e.content.as_ref().map(Sealed::as_bytes)))
        .bind::<Array<Text>, _>(column(group, |e| e.client_message_id.as_str()))
        .bind::<Array<Bytea>, _>(column(group, |e| e.fingerprint.as_slice()))
        .bind::<Array<Timestamptz>, _>(column(group, |e| e.created_at))
        .bind::<Array<Nullable<SqlUuid>>, _>(column(group, |e| e.reply_to.map(|id| id.uuid())))
        .bind::<Array<Nullable<SqlUuid>>, _>(column(group, |e| e.forwarded_from.map(|id| id.uuid())))
        .bind::<Array<Nullable<SqlUuid>>, _>(column(group, |e| e.corrects.map(|id| id.uuid())))
        .bind::<Array<Nullable<Timestamptz>>, _>(column(group, |e| e.scheduled_for))
        .bind::<Array<Nullable<Timestamptz>>, _>(column(group, |e| e.expires_at))
        .bind::<Array<Text>, _>(column(group, |e| e.source.as_str()))
        .bind::<Array<Bool>, _>(column(group, |e| e.automation.is_some()))
        .bind::<Array<Nullable<Float>>, _>(column(group, |e| e.automation.and_then(|a| a.confidence)))
        .bind::<Array<Nullable<Bytea>>, _>(column(group, |e| e.payload.as_ref().map(Sealed::as_bytes)))
        .bind::<Array<Nullable<Timestamptz>>, _>(column(group, |e| e.client_sent_at));
    if has_more {
        let query = query
            .bind::<Jsonb, _>(flags(group))
            .bind::<Jsonb, _>(shares(group))
            .bind::<Jsonb, _>(events(group));
        return prepared(query).load(connection).await;
    }
    prepared(query).load(connection).await
}

/// The flags of `group`, each with the place of its entry.
fn flags(group: &[&NewEntry]) -> Value {
    let flag = |(ord, entry): (i64, &&NewEntry)| {
        let flag = entry.flag.as_ref()?;
        Some(json!({
            "ord": ord, "id": flag.id, "conversation_id": entry.conversation_id, "sender_id": entry.sender_id,
            "findings": findings(flag), "at": entry.created_at,
        }))
    };
    (1..).zip(group).filter_map(flag).collect()
}

/// The files of `group`, each with the place of its entry.
fn shares(group: &[&NewEntry]) -> Value {
    let share = |(ord, entry): (i64, &&NewEntry)| {
        let conversation = entry.conversation_id;
        let share = move |file| json!({"ord": ord, "file_id": file, "conversation_id": conversation});
        entry.files.iter().map(share).collect::<Vec<_>>()
    };
    (1..).zip(group).flat_map(share).collect()
}

/// The events of `group`, each with the place of its entry.
fn events(group: &[&NewEntry]) -> Value {
    let event = |(ord, entry): (i64, &&NewEntry)| {
        let Event { id, kind, payload, at, due } = entry.event.as_ref()?;
        let due_at = due.unwrap_or(*at);
        Some(json!({"ord": ord, "id": id, "kind": kind, "payload": payload, "at": at, "due_at": due_at}))
    };
    (1..).zip(group).filter_map(event).collect()
}

/// What was found, as it is stored: `[[kind, rule], …]`.
pub(super) fn findings(flag: &NewFlag) -> Value {
    flag.findings.iter().map(|f| json!([f.kind.as_str(), f.rule])).collect()
}

#[derive(QueryableByName)]
pub(super) struct Outcome {
    #[diesel(sql_type = BigInt)]
    ord: i64,
    #[diesel(sql_type = Text)]
    pub(super) outcome: String,
    #[diesel(sql_type = SqlUuid)]
    pub(super) message_id: Uuid,
    #[diesel(sql_type = Nullable<BigInt>)]
    seq: Option<i64>,
    #[diesel(sql_type = Nullable<BigInt>)]
    ref_number: Option<i64>,
    #[diesel(sql_type = Nullable<BigInt>)]
    members_version: Option<i64>,
    #[diesel(sql_type = Nullable<Timestamptz>)]
    expires_at: Option<DateTime<Utc>>,
}

impl Outcome {
    pub(super) fn appended(self, earlier: &HashMap<Uuid, StoredMessage>) -> Option<Appended> {
        match self.outcome.as_str() {
            "stored" => Some(Appended::Stored {
                seq: self.seq?,
                number: self.ref_number?,
                members_version: self.members_version?,
                expires_at: self.expires_at,
            }),
            "repeat" => earlier.get(&self.message_id).cloned().map(Appended::Repeat),
            "reused" => Some(Appended::Reused),
            "not_a_member" => Some(Appended::NotAMember),
            "closed" => Some(Appended::Closed),
            "blocked" => Some(Appended::Blocked),
            "no_reply_target" => Some(Appended::NoReplyTarget),
            _ => None,
        }
    }
}
