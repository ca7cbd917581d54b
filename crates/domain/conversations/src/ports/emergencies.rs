use alivio_kernel::Effects;
use alivio_kernel::ids::{ConversationId, EmergencyId, UserId};
use async_trait::async_trait;
use chrono::{DateTime, Utc};

use crate::{Emergency, Error, OnCallList};

/// A question to whoever knows accounts.
#[cfg_attr(feature = "testing", mockall::automock)]
#[async_trait]
pub trait Administrators: Send + Sync {
    /// Everyone who runs the clinic and is active.
    async fn clinic_administrators(&self) -> Result<Vec<UserId>, Error>;
}

/// An emergency about to be stored.
#[derive(Debug, Clone, PartialEq)]
pub struct NewEmergency {
    /// Its id.
    pub id: EmergencyId,
    /// Of the conversation that is made for it.
    pub conversation_id: ConversationId,
    /// Who needs help.
    pub patient_id: UserId,
    /// Who asks for it: the patient, or a professional who moderates the conversation.
    pub opened_by: UserId,
    /// Now.
    pub opened_at: DateTime<Utc>,
    /// Who is paged, and their level.
    pub paged: (i32, Vec<UserId>),
}

/// What came of opening one.
#[derive(Debug, Clone, PartialEq)]
pub enum OpenedEmergency {
    /// It is new.
    New(Emergency),
    /// The patient has this one open.
    Continues(Emergency),
}

/// An emergency and what someone has to do with it.
#[derive(Debug, Clone, PartialEq)]
pub struct SeenEmergency {
    /// The emergency.
    pub emergency: Emergency,
    /// Whether they have been paged.
    pub was_paged: bool,
    /// Whether they are in its conversation, and whether they moderate that.
    pub moderates: Option<bool>,
}

/// What came of acknowledging one.
#[derive(Debug, Clone, PartialEq)]
pub struct AcknowledgedEmergency {
    /// The emergency.
    pub emergency: Emergency,
    /// Whether nobody had before.
    pub first: bool,
    /// Whether it brought them into the conversation.
    pub joined: bool,
}

/// Which emergencies to list, the newest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EmergencyQuery {
    /// Only those to which this person was paged, or in whose conversation they are.
    pub of: Option<UserId>,
    /// Only those that are not resolved, or only those that are.
    pub open: Option<bool>,
    /// Start after this one.
    pub after: Option<EmergencyId>,
    /// How many.
    pub limit: i64,
}

/// Emergencies, and who answers them.
#[cfg_attr(feature = "testing", mockall::automock)]
#[async_trait]
pub trait EmergencyStore: Send + Sync {
    /// Who answers emergencies; nobody, if that has not been decided.
    async fn on_call(&self) -> Result<OnCallList, Error>;

    /// Decides who does, with `effects`, or neither.
    async fn set_on_call(&self, list: &OnCallList, now: DateTime<Utc>, effects: Effects)
    -> Result<(), Error>;

    /// Stores an emergency with its conversation, its pages and `effects` together, or nothing. A patient MUST NOT have
    /// two open ones, however many are opened at once: the others get the one there is.
    ///
    /// # Errors
    /// [`Error::Stale`] if the one there was ended at that very moment.
    async fn open(&self, new: &NewEmergency, effects: Effects) -> Result<OpenedEmergency, Error>;

    /// The emergency, and what `viewer` has to do with it.
    async fn find(&self, viewer: UserId, id: EmergencyId) -> Result<Option<SeenEmergency>, Error>;

    /// One page of emergencies.
    async fn list(&self, query: &EmergencyQuery) -> Result<Vec<Emergency>, Error>;

    /// Who has been paged.
    async fn paged(&self, id: EmergencyId) -> Result<Vec<UserId>, Error>;

    /// Pages `people` of level `to`, with `effects`, unless the emergency is acknowledged or over, or its level no
    /// longer is `from`: then nothing is stored and the answer is false. Of many at once MUST one succeed.
    async fn escalate(
        &self,
        id: EmergencyId,
        from: i32,
        to: &(i32, Vec<UserId>),
        now: DateTime<Utc>,
        effects: Effects,
    ) -> Result<bool, Error>;

    /// Pages `people` again for an emergency that was acknowledged at `acknowledged_at`, which then no longer is; false
    /// if that has changed. Of many at once MUST one succeed.
    async fn call_again(
        &self,
        id: EmergencyId,
        acknowledged_at: DateTime<Utc>,
        to: &(i32, Vec<UserId>),
        now: DateTime<Utc>,
        effects: Effects,
    ) -> Result<bool, Error>;

    /// Notes that `by` takes care of it and makes them a moderator of its conversation, who reads all of it. Stores
    /// `acknowledged` if they are the first, and `joined` if they were not in the conversation; `None` if it is over or
    /// there is none.
    async fn acknowledge(
        &self,
        id: EmergencyId,
        by: UserId,
        now: DateTime<Utc>,
        acknowledged: Effects,
        joined: Effects,
    ) -> Result<Option<AcknowledgedEmergency>, Error>;

    /// Ends it and closes its conversation, with `effects`; false if it is over.
    async fn resolve(
        &self,
        id: EmergencyId,
        by: UserId,
        now: DateTime<Utc>,
        effects: Effects,
    ) -> Result<bool, Error>;
}
