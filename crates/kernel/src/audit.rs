//! Who did what to whose data, when, from where, and what came of it.
//!
//! Entries hold ids and codes only, never names or content. They are stored in the transaction of what they
//! record ([`Effects`]); what changes nothing (a refusal, a read) is recorded by [`AuditSink`].

use std::net::IpAddr;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use uuid::Uuid;

use crate::ids::{AuditId, IdSource, SessionId, UserId};
use crate::{BoxError, Caller, Event, Origin, Role};

/// What came of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// It was done.
    Done,
    /// The policy refused it.
    Denied,
    /// It failed for another reason: a wrong password, a spent token.
    Failed,
}

impl Outcome {
    /// Every outcome.
    pub const ALL: [Self; 3] = [Self::Done, Self::Denied, Self::Failed];

    /// Its name in storage and JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Denied => "denied",
            Self::Failed => "failed",
        }
    }

    /// The outcome of this name.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|outcome| outcome.as_str() == name)
    }
}

/// One line of the audit trail.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditEntry {
    /// Its id.
    pub id: AuditId,
    /// When.
    pub at: DateTime<Utc>,
    /// Who, if anybody was signed in.
    pub actor: Option<UserId>,
    /// The role they had.
    pub actor_role: Option<Role>,
    /// The sign-in they acted through.
    pub session: Option<SessionId>,
    /// The network address it came from.
    pub address: Option<IpAddr>,
    /// `thing.what_was_done`, for ever: `user.deactivated`.
    pub action: &'static str,
    /// Whose data it concerns.
    pub subject: Option<UserId>,
    /// What it was done to: its kind and id.
    pub object: Option<(&'static str, Uuid)>,
    /// What came of it.
    pub outcome: Outcome,
    /// Why, as a code.
    pub reason: Option<&'static str>,
}

impl AuditEntry {
    /// `caller` did `action`.
    pub fn by(ids: &dyn IdSource, at: DateTime<Utc>, caller: &Caller, action: &'static str) -> Self {
        Self {
            actor: Some(caller.user_id),
            actor_role: Some(caller.role),
            session: Some(caller.session_id),
            address: caller.address,
            ..Self::of(ids, at, action)
        }
    }

    /// It was done by itself, when its time had come.
    pub fn by_machine(ids: &dyn IdSource, at: DateTime<Utc>, action: &'static str) -> Self {
        Self::of(ids, at, action)
    }

    /// Someone who is not signed in did `action`.
    pub fn from_origin(ids: &dyn IdSource, at: DateTime<Utc>, origin: &Origin, action: &'static str) -> Self {
        Self { address: origin.address, ..Self::of(ids, at, action) }
    }

    fn of(ids: &dyn IdSource, at: DateTime<Utc>, action: &'static str) -> Self {
        Self {
            id: AuditId::generate(ids),
            at,
            actor: None,
            actor_role: None,
            session: None,
            address: None,
            action,
            subject: None,
            object: None,
            outcome: Outcome::Done,
            reason: None,
        }
    }

    /// It concerns the data of `user`.
    #[must_use]
    pub fn about(mut self, user: UserId) -> Self {
        self.subject = Some(user);
        self
    }

    /// It was done to this thing.
    #[must_use]
    pub fn on(mut self, kind: &'static str, id: impl Into<Uuid>) -> Self {
        self.object = Some((kind, id.into()));
        self
    }

    /// It came out so, because of `reason`.
    #[must_use]
    pub fn came_to(mut self, outcome: Outcome, reason: &'static str) -> Self {
        self.outcome = outcome;
        self.reason = Some(reason);
        self
    }
}

/// What a change leaves behind besides the state: stored with it, or not at all.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Effects {
    /// For those who react.
    pub events: Vec<Event>,
    /// For the audit trail.
    pub audit: Vec<AuditEntry>,
}

impl Effects {
    /// Adds an event.
    #[must_use]
    pub fn event(mut self, event: Event) -> Self {
        self.events.push(event);
        self
    }

    /// Adds an entry of the audit trail.
    #[must_use]
    pub fn audit(mut self, entry: AuditEntry) -> Self {
        self.audit.push(entry);
        self
    }
}

/// Where entries go that no change carries.
#[async_trait]
pub trait AuditSink: Send + Sync {
    /// Stores `entries`, durably, or fails.
    async fn record(&self, entries: &[AuditEntry]) -> Result<(), BoxError>;
}
