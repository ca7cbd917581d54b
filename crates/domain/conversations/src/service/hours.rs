use std::sync::Arc;

use alivio_kernel::ids::{ConversationId, IdSource, UserId};
use alivio_kernel::{AccessScope, AuditEntry, Caller, Clock, Effects};
use chrono::{DateTime, Utc};

use crate::{Availability, ChatHours, ConversationStore, Error, HoursStore, People, may_talk};

/// What [`Hours`] needs.
#[derive(Clone)]
pub struct HoursPorts {
    /// Hours.
    pub store: Arc<dyn HoursStore>,
    /// Who is in a conversation.
    pub conversations: Arc<dyn ConversationStore>,
    /// Who people are to each other.
    pub people: Arc<dyn People>,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Identifiers.
    pub ids: Arc<dyn IdSource>,
    /// The clinic's hours until its administrators set others.
    pub default: ChatHours,
}

/// Someone's hours, and how they stand.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StatedHours {
    /// The hours.
    pub hours: ChatHours,
    /// Whether nobody has set them: a professional goes by the clinic's, or the clinic by what it was installed with.
    pub is_default: bool,
    /// How they stand now.
    pub availability: Availability,
}

/// When patients may write (C-19).
///
/// Only what a patient says is limited, and only where professionals answer: what professionals write, among themselves
/// or to patients, goes at any hour, and so does everything in an emergency.
#[derive(Clone)]
pub struct Hours {
    ports: HoursPorts,
}

impl Hours {
    /// Hours over `ports`.
    pub const fn new(ports: HoursPorts) -> Self {
        Self { ports }
    }

    /// The hours of the clinic.
    ///
    /// # Errors
    /// [`Error::Forbidden`].
    pub async fn of_clinic(&self, caller: &Caller) -> Result<StatedHours, Error> {
        caller.require(AccessScope::PoliciesManage)?;
        self.stated(None).await
    }

    /// Sets the hours of the clinic.
    ///
    /// # Errors
    /// [`Error::Forbidden`].
    pub async fn set_of_clinic(&self, caller: &Caller, hours: ChatHours) -> Result<StatedHours, Error> {
        caller.require(AccessScope::PoliciesManage)?;
        self.set(caller, None, Some(hours)).await
    }

    /// The caller's own hours.
    ///
    /// # Errors
    /// [`Error::Forbidden`] for those to whom patients do not write.
    pub async fn own(&self, caller: &Caller) -> Result<StatedHours, Error> {
        caller.require(AccessScope::ChatHoursOwn)?;
        self.stated(Some(caller.user_id)).await
    }

    /// Sets the caller's own hours; without any they go by the clinic's again.
    ///
    /// # Errors
    /// [`Error::Forbidden`].
    pub async fn set_own(&self, caller: &Caller, hours: Option<ChatHours>) -> Result<StatedHours, Error> {
        caller.require(AccessScope::ChatHoursOwn)?;
        self.set(caller, Some(caller.user_id), hours).await
    }

    /// The hours of a clinician to whom the caller may talk, or of the caller.
    ///
    /// # Errors
    /// [`Error::NotFound`] for all others.
    pub async fn of(&self, caller: &Caller, user: UserId) -> Result<StatedHours, Error> {
        let standings = self.ports.people.standings(caller.user_id, &[user]).await?;
        let seen = standings.iter().any(|standing| {
            standing.user_id == user
                && standing.role.is_clinician()
                && (user == caller.user_id || may_talk(caller.role, standing))
        });
        if seen { self.stated(Some(user)).await } else { Err(Error::NotFound) }
    }

    /// Whether the patients in a conversation of the caller may write there now.
    ///
    /// # Errors
    /// [`Error::NotFound`].
    pub async fn availability(&self, caller: &Caller, id: ConversationId) -> Result<Availability, Error> {
        let audience = self.ports.conversations.audience(id).await?.ok_or(Error::NotFound)?;
        if !audience.members.contains(&caller.user_id) {
            return Err(Error::NotFound);
        }
        self.at(id, self.ports.clock.now()).await?.ok_or(Error::NotFound)
    }

    /// Whether patients may write or call in a conversation at an instant; `None` if there is none. Authorises nothing: for those
    /// who decide whether something may happen there.
    ///
    /// # Errors
    /// Only [`Error::Unavailable`].
    pub async fn at(&self, id: ConversationId, at: DateTime<Utc>) -> Result<Option<Availability>, Error> {
        let Some(attendance) = self.ports.store.attendance(id).await? else { return Ok(None) };
        let clinic = self.clinic().await?;
        Ok(Some(attendance.availability(&clinic, at)))
    }

    async fn clinic(&self) -> Result<ChatHours, Error> {
        Ok(self.ports.store.hours(None).await?.unwrap_or_else(|| self.ports.default.clone()))
    }

    async fn stated(&self, of: Option<UserId>) -> Result<StatedHours, Error> {
        let own = self.ports.store.hours(of).await?;
        let is_default = own.is_none();
        let hours = match own {
            Some(hours) => hours,
            None => self.clinic().await?,
        };
        let availability = hours.availability(self.ports.clock.now());
        Ok(StatedHours { hours, is_default, availability })
    }

    async fn set(
        &self,
        caller: &Caller,
        of: Option<UserId>,
        hours: Option<ChatHours>,
    ) -> Result<StatedHours, Error> {
        let p = &self.ports;
        let now = p.clock.now();
        let entry = AuditEntry::by(&*p.ids, now, caller, "chat_hours.changed");
        let entry = match of {
            Some(user) => entry.about(user),
            None => entry,
        };
        p.store.set_hours(of, hours, now, Effects::default().audit(entry)).await?;
        self.stated(of).await
    }
}
