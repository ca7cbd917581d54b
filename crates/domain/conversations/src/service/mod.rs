mod changes;
mod emergencies;
mod hours;
mod inbox;
mod links;
mod texts;

use std::sync::Arc;

use alivio_kernel::ids::{ConversationId, IdSource, UserId};
use alivio_kernel::sealing::Scope;
use alivio_kernel::{Caller, Clock, DomainEvent, Event, FieldError, Rule, Sealer};
use serde_json::json;

use crate::{
    Audience, Conversation, ConversationCreated, ConversationStore, Created, Details, Draft, Error,
    IdempotencyKey, Kind, NewConversation, NewDetails, ParticipantAdded, ParticipantRemoved, People,
    assign_roles, may_talk,
};

pub use emergencies::*;
pub use hours::*;
pub use inbox::{InboxLine, InboxOrder, InboxQuery, Inboxes};
pub use links::{InvitationLinks, IssuedLink};

/// What [`Conversations`] needs.
#[derive(Clone)]
pub struct ConversationsPorts {
    /// Conversations.
    pub store: Arc<dyn ConversationStore>,
    /// Who people are to each other.
    pub people: Arc<dyn People>,
    /// Encryption.
    pub sealer: Arc<dyn Sealer>,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Identifiers.
    pub ids: Arc<dyn IdSource>,
}

/// A conversation that was opened, or had been before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Opened {
    /// The conversation.
    pub conversation: Conversation,
    /// Whether this call made it.
    pub created: bool,
}

/// What one can do with conversations.
#[derive(Clone)]
pub struct Conversations {
    ports: ConversationsPorts,
}

impl Conversations {
    /// Conversations over `ports`.
    pub const fn new(ports: ConversationsPorts) -> Self {
        Self { ports }
    }

    /// Opens a conversation. With a `key`, repeating the request answers the first result.
    ///
    /// # Errors
    /// [`Error::NotAllowed`], [`Error::ClinicianRequired`], [`Error::DirectExists`], [`Error::KeyReused`];
    /// [`Error::EmergencyIsCalled`], see [`Emergencies::call`].
    pub async fn open(
        &self,
        caller: &Caller,
        draft: Draft,
        key: Option<IdempotencyKey>,
    ) -> Result<Opened, Error> {
        if draft.kind == Kind::Emergency {
            return Err(Error::EmergencyIsCalled);
        }
        let (id, created) = self.create(caller, draft, key).await?;
        match created {
            Created::New => self.opened(caller, id, true).await,
            Created::Repeat(id) => self.opened(caller, id, false).await,
            Created::DirectExists(conversation_id) => Err(Error::DirectExists { conversation_id }),
        }
    }

    /// Finds the caller's direct conversation with `other`, or opens it.
    ///
    /// # Errors
    /// [`Error::NotAllowed`].
    pub async fn open_direct(&self, caller: &Caller, other: UserId) -> Result<Opened, Error> {
        let draft = Draft::parse(caller.user_id, Kind::Direct, None, None, &[other])?;
        match self.create(caller, draft, None).await? {
            (id, Created::New) => self.opened(caller, id, true).await,
            (_, Created::Repeat(id) | Created::DirectExists(id)) => self.opened(caller, id, false).await,
        }
    }

    /// The conversation, if the caller is in it.
    ///
    /// # Errors
    /// [`Error::NotFound`].
    pub async fn get(&self, caller: &Caller, id: ConversationId) -> Result<Conversation, Error> {
        let stored = self.ports.store.find(caller.user_id, id).await?.ok_or(Error::NotFound)?;
        texts::unseal(&*self.ports.sealer, [&stored]).await?.pop().ok_or(Error::NotFound)
    }

    /// Adds `user`. Adding someone who is in it changes nothing.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::NotAModerator`], [`Error::DirectIsFixed`], [`Error::Closed`],
    /// [`Error::NotAllowed`].
    pub async fn add(
        &self,
        caller: &Caller,
        id: ConversationId,
        user: UserId,
    ) -> Result<Conversation, Error> {
        let conversation = self.get(caller, id).await?;
        conversation.check_addition(caller.user_id, self.ports.clock.now())?;
        if conversation.participant(user).is_some() {
            return Ok(conversation);
        }
        self.check_fits(&conversation, caller.user_id, user, |standings| {
            standings.iter().any(|s| s.user_id == user && may_talk(caller.role, s))
        })
        .await?;
        let added = ParticipantAdded { conversation_id: id, user_id: user, added_by: caller.user_id };
        let (now, event) = self.event(&added);
        self.ports.store.add(id, conversation.members_version, user, now, event).await?;
        self.get(caller, id).await
    }

    /// Removes `user`, or lets the caller leave.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::NotAModerator`], [`Error::DirectIsFixed`], [`Error::LastModerator`].
    pub async fn remove(&self, caller: &Caller, id: ConversationId, user: UserId) -> Result<(), Error> {
        let conversation = self.get(caller, id).await?;
        let clinicians = self.moderating_clinicians(caller, &conversation).await?;
        conversation.check_removal_by(caller.user_id, user, |id| clinicians.contains(&id))?;
        let removed = ParticipantRemoved { conversation_id: id, user_id: user, removed_by: caller.user_id };
        let (now, event) = self.event(&removed);
        self.ports.store.remove(id, conversation.members_version, user, now, event).await
    }

    /// Who receives what is said in it. Authorises nothing: for delivery, not for callers.
    ///
    /// # Errors
    /// [`Error::NotFound`].
    pub async fn audience(&self, id: ConversationId) -> Result<Audience, Error> {
        self.ports.store.audience(id).await?.ok_or(Error::NotFound)
    }

    async fn create(
        &self,
        caller: &Caller,
        draft: Draft,
        key: Option<IdempotencyKey>,
    ) -> Result<(ConversationId, Created), Error> {
        let p = &self.ports;
        if draft.expires_at.is_some_and(|end| end <= p.clock.now()) {
            return Err(FieldError::new("expires_at", Rule::Malformed).into());
        }
        let standings = p.people.standings(caller.user_id, &draft.others).await?;
        let everyone: Vec<_> = draft.others.iter().copied().chain([caller.user_id]).collect();
        let blocks = p.people.blocked_among(&everyone).await?;
        let participants = assign_roles((caller.user_id, caller.role), &draft, &standings, &blocks)?;
        if let Some(patient) = draft.metadata.related_patient_id {
            self.check_patient(caller, patient, &everyone).await?;
        }
        let id = ConversationId::generate(&*p.ids);
        let details = Details {
            title: draft.title.clone(),
            description: draft.description.clone(),
            settings: draft.settings,
            metadata: draft.metadata.clone(),
            expires_at: draft.expires_at,
        };
        let NewDetails { title, description, settings, metadata, labels, expires_at } =
            texts::seal_details(&*p.sealer, id, &details).await?;
        let created = ConversationCreated {
            conversation_id: id,
            created_by: caller.user_id,
            participants: participants.iter().map(|(user, _)| *user).collect(),
        };
        let (now, event) = self.event(&created);
        let new = NewConversation {
            id,
            kind: draft.kind,
            purpose: draft.purpose,
            settings,
            title,
            description,
            metadata,
            labels,
            expires_at,
            notifies_creator: draft.notifies_creator,
            participants,
            created_by: caller.user_id,
            created_at: now,
            idempotency: key.map(|key| (key, self.fingerprint(caller.user_id, &draft))),
        };
        Ok((id, p.store.create(&new, event).await?))
    }

    async fn opened(&self, caller: &Caller, id: ConversationId, created: bool) -> Result<Opened, Error> {
        Ok(Opened { conversation: self.get(caller, id).await?, created })
    }

    fn event<E: DomainEvent>(&self, event: &E) -> (chrono::DateTime<chrono::Utc>, Event) {
        let now = self.ports.clock.now();
        (now, Event::new(&*self.ports.ids, now, event))
    }

    fn fingerprint(&self, creator: UserId, draft: &Draft) -> [u8; 16] {
        let settings = serde_json::to_value(draft.settings).unwrap_or_default();
        let roles: Vec<_> = draft.roles.iter().map(|(user, role)| json!([user, role.as_str()])).collect();
        let about = &draft.metadata;
        let asked = json!([
            draft.kind.as_str(),
            draft.title,
            draft.description,
            draft.others,
            draft.purpose.as_str(),
            settings,
            roles,
            draft.expires_at,
            draft.notifies_creator,
            about.related_appointment_id,
            about.related_patient_id,
            about.medical_record_access,
            about.consultation_type,
            about.priority.as_str(),
            about.tags,
        ]);
        self.ports.sealer.fingerprint(Scope::User(creator), asked.to_string().as_bytes())
    }
}
