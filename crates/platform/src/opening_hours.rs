//! When patients may write: asked with every message of theirs, so kept for a few seconds.

use std::sync::Arc;
use std::time::Duration;

use alivio_conversations::{Attendance, ChatHours, Error, Hours, HoursStore, OutsideHours};
use alivio_kernel::ids::{ConversationId, UserId};
use alivio_kernel::{Effects, Role};
use alivio_messages::{Admission, ClosedHours, Quiet};
use async_trait::async_trait;
use chrono::{DateTime, Utc};
use moka::future::Cache;

/// Hours as stored. Those changed on this node hold from the next message on; changes elsewhere, and of who is in a
/// conversation, a few seconds later.
pub(crate) struct CachedHours {
    store: Arc<dyn HoursStore>,
    clinic: Cache<(), Option<ChatHours>>,
    attendances: Cache<ConversationId, Attendance>,
}

impl CachedHours {
    const LIFETIME: Duration = Duration::from_secs(5);

    pub(crate) fn new(store: Arc<dyn HoursStore>) -> Self {
        Self {
            store,
            clinic: Cache::builder().max_capacity(1).time_to_live(Self::LIFETIME).build(),
            attendances: Cache::builder().max_capacity(100_000).time_to_live(Self::LIFETIME).build(),
        }
    }
}

#[async_trait]
impl HoursStore for CachedHours {
    async fn hours(&self, of: Option<UserId>) -> Result<Option<ChatHours>, Error> {
        if of.is_some() {
            return self.store.hours(of).await;
        }
        if let Some(hours) = self.clinic.get(&()).await {
            return Ok(hours);
        }
        let hours = self.store.hours(None).await?;
        self.clinic.insert((), hours.clone()).await;
        Ok(hours)
    }

    async fn set_hours(
        &self,
        of: Option<UserId>,
        hours: Option<ChatHours>,
        now: DateTime<Utc>,
        effects: Effects,
    ) -> Result<(), Error> {
        let set = self.store.set_hours(of, hours, now, effects).await;
        self.clinic.invalidate(&()).await;
        self.attendances.invalidate_all();
        set
    }

    async fn attendance(&self, conversation: ConversationId) -> Result<Option<Attendance>, Error> {
        if let Some(attendance) = self.attendances.get(&conversation).await {
            return Ok(Some(attendance));
        }
        let attendance = self.store.attendance(conversation).await?;
        if let Some(attendance) = &attendance {
            self.attendances.insert(conversation, attendance.clone()).await;
        }
        Ok(attendance)
    }
}

/// Messages ask whether someone may write now; conversations know.
pub(crate) struct AdmissionByHours(pub(crate) Hours);

#[async_trait]
impl alivio_messages::Hours for AdmissionByHours {
    async fn admission(
        &self,
        (_, role): (UserId, Role),
        conversation: ConversationId,
        at: DateTime<Utc>,
    ) -> Result<Admission, alivio_messages::Error> {
        if role != Role::Patient {
            return Ok(Admission::Open);
        }
        let found = self.0.at(conversation, at).await;
        let found = found.map_err(|error| alivio_messages::Error::Unavailable(Box::new(error)))?;
        let Some(closed) = found.filter(|availability| !availability.is_open) else {
            return Ok(Admission::Open);
        };
        Ok(match closed.outside {
            OutsideHours::AcceptSilently => Admission::Quietly(Quiet::Waits),
            OutsideHours::AutoReply => Admission::Quietly(Quiet::Answered),
            OutsideHours::Reject => Admission::Refused(Box::new(ClosedHours {
                wall_time: closed.wall_time,
                hours: closed.hours,
                time_zone: closed.zone.as_str(),
                next_open_at: closed.next_open_at,
            })),
        })
    }
}
