use std::sync::Arc;

use alivio_kernel::ids::{IdSource, UserId};
use alivio_kernel::{AuditEntry, Caller, Clock, Effects};

use crate::{
    ChosenPresence, Error, PresenceAudience, PresencePreferences, PresencePrivacy, PresenceQuery,
    PresenceStore, PresenceView,
};

/// What [`Presences`] needs.
#[derive(Clone)]
pub struct PresencesPorts {
    /// What people show of themselves.
    pub presence: Arc<dyn PresenceStore>,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Identifiers.
    pub ids: Arc<dyn IdSource>,
}

/// What people show of themselves, and see of each other (C-13, C-41). Who is connected is known elsewhere.
#[derive(Clone)]
pub struct Presences {
    ports: PresencesPorts,
}

impl Presences {
    /// Presences over `ports`.
    pub const fn new(ports: PresencesPorts) -> Self {
        Self { ports }
    }

    /// What the caller has chosen.
    ///
    /// # Errors
    /// Only [`Error::Unavailable`].
    pub async fn preferences(&self, caller: &Caller) -> Result<PresencePreferences, Error> {
        self.ports.presence.preferences(caller.user_id).await
    }

    /// Chooses what to show while a device is connected. Kept until the next choice.
    ///
    /// # Errors
    /// Only [`Error::Unavailable`].
    pub async fn choose(&self, caller: &Caller, chosen: ChosenPresence) -> Result<(), Error> {
        self.ports.presence.choose(caller.user_id, chosen).await
    }

    /// Chooses to whom.
    ///
    /// # Errors
    /// Only [`Error::Unavailable`].
    pub async fn set_privacy(&self, caller: &Caller, privacy: PresencePrivacy) -> Result<(), Error> {
        let p = &self.ports;
        let entry = AuditEntry::by(&*p.ids, p.clock.now(), caller, "presence.privacy_changed");
        let effects = Effects::default().audit(entry.about(caller.user_id));
        p.presence.set_privacy(caller.user_id, privacy, &effects).await
    }

    /// What the caller sees of those of `others` whom they know.
    ///
    /// # Errors
    /// Only [`Error::Unavailable`].
    pub async fn views(&self, caller: &Caller, others: &[UserId]) -> Result<Vec<PresenceView>, Error> {
        if others.is_empty() {
            Ok(Vec::new())
        } else {
            self.ports.presence.views(caller.user_id, others).await
        }
    }

    /// What the caller sees of everyone they know: one page, and whether there is more.
    ///
    /// # Errors
    /// Only [`Error::Unavailable`].
    pub async fn all_views(
        &self,
        caller: &Caller,
        query: &PresenceQuery,
    ) -> Result<(Vec<PresenceView>, bool), Error> {
        Ok(query.size.cut(self.ports.presence.all_views(caller.user_id, query).await?))
    }

    /// Who hears of `user`. Authorises nothing: for delivery, not for callers.
    ///
    /// # Errors
    /// Only [`Error::Unavailable`].
    pub async fn audience(&self, user: UserId) -> Result<PresenceAudience, Error> {
        self.ports.presence.audience(user).await
    }
}
