use std::borrow::Cow;

use chrono::{DateTime, Utc};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::ids::{EventId, IdSource};

/// Something that happened, in public: past tense, ids and never bodies, fields only ever added.
pub trait DomainEvent: Serialize + DeserializeOwned {
    /// `domain.what_happened`, for ever.
    const KIND: &'static str;
}

/// An event on its way into or out of the outbox.
#[derive(Debug, Clone, PartialEq)]
pub struct Event {
    /// Reactions use it to recognise a repeat.
    pub id: EventId,
    /// [`DomainEvent::KIND`] of what is inside.
    pub kind: Cow<'static, str>,
    /// The serialised event.
    pub payload: Value,
    /// When it happened.
    pub at: DateTime<Utc>,
    /// When its consequences are due; at once, if that is not said.
    pub due: Option<DateTime<Utc>>,
}

impl Event {
    /// Wraps `event` for the outbox.
    pub fn new<E: DomainEvent>(ids: &dyn IdSource, at: DateTime<Utc>, event: &E) -> Self {
        Self {
            id: EventId::generate(ids),
            kind: Cow::Borrowed(E::KIND),
            // Events are plain structs of ids; those always serialise.
            payload: serde_json::to_value(event).unwrap_or_default(),
            at,
            due: None,
        }
    }

    /// The same event, whose consequences wait until `at`: a timer.
    #[must_use]
    pub const fn due(mut self, at: DateTime<Utc>) -> Self {
        self.due = Some(at);
        self
    }

    /// What is inside, if it is an `E`.
    pub fn read<E: DomainEvent>(&self) -> Result<E, serde_json::Error> {
        E::deserialize(&self.payload)
    }
}
