//! `kernel::Effects` and `kernel::AuditSink`: what a change leaves behind, in its transaction.

use alivio_kernel::{AuditEntry, AuditSink, BoxError, Effects, Event};
use async_trait::async_trait;
use diesel::QueryResult;
use diesel::sql_types::Jsonb;
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use serde_json::{Value, json};

use crate::Database;
use crate::sql::prepared;

/// Rows as JSON, so that one statement stores any number of them. An expression of other statements, too:
/// `concat!` it into a WITH clause, bind [`events_json`] and [`audit_json`].
const STORE: &str = "
    WITH published AS (
        INSERT INTO outbox (id, kind, payload, at, due_at)
        SELECT e.id, e.kind, e.payload, e.at, e.due_at
        FROM jsonb_to_recordset($1) AS e (id uuid, kind text, payload jsonb, at timestamptz, due_at timestamptz)
    )
    INSERT INTO audit_log (id, at, actor_id, actor_role, session_id, address, action, subject_id, object_kind,
        object_id, outcome, reason)
    SELECT a.id, a.at, a.actor_id, a.actor_role, a.session_id, a.address, a.action, a.subject_id, a.object_kind,
        a.object_id, a.outcome, a.reason
    FROM jsonb_to_recordset($2) AS a (id uuid, at timestamptz, actor_id uuid, actor_role text, session_id uuid,
        address inet, action text, subject_id uuid, object_kind text, object_id uuid, outcome text, reason text)";

/// Stores `effects` in the transaction that `connection` is in. Ring the database's bell after the commit.
pub(crate) async fn store(connection: &mut AsyncPgConnection, effects: &Effects) -> QueryResult<()> {
    if effects.events.is_empty() && effects.audit.is_empty() {
        return Ok(());
    }
    let query = diesel::sql_query(STORE)
        .bind::<Jsonb, _>(events_json(&effects.events))
        .bind::<Jsonb, _>(audit_json(&effects.audit));
    prepared(query).execute(connection).await?;
    Ok(())
}

pub(crate) fn events_json(events: &[Event]) -> Value {
    let due = |e: &Event| e.due.unwrap_or(e.at);
    let row =
        |e: &Event| json!({"id": e.id, "kind": e.kind, "payload": e.payload, "at": e.at, "due_at": due(e)});
    events.iter().map(row).collect()
}

pub(crate) fn audit_json(entries: &[AuditEntry]) -> Value {
    let row = |e: &AuditEntry| {
        json!({
            "id": e.id, "at": e.at, "actor_id": e.actor, "actor_role": e.actor_role, "session_id": e.session,
            "address": e.address, "action": e.action, "subject_id": e.subject,
            "object_kind": e.object.map(|(kind, _)| kind), "object_id": e.object.map(|(_, id)| id),
            "outcome": e.outcome.as_str(), "reason": e.reason,
        })
    };
    entries.iter().map(row).collect()
}

#[async_trait]
impl AuditSink for Database {
    async fn record(&self, entries: &[AuditEntry]) -> Result<(), BoxError> {
        let mut connection = self.connection().await?;
        let effects = Effects { audit: entries.to_vec(), ..Effects::default() };
        Ok(store(&mut connection, &effects).await?)
    }
}
