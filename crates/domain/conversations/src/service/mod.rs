mod emergencies;
mod hours;

use std::sync::Arc;

use alivio_kernel::ids::{ConversationId, IdSource, UserId};
use alivio_kernel::sealing::Scope;
use alivio_kernel::{Caller, Clock, DomainEvent, Event, Page, Sealed, Sealer};
use serde_json::json;

use crate::model::context;
use crate::{
    Audience, Conversation, ConversationCreated, ConversationStore, Created, DenialReason, Draft, Error,
    IdempotencyKey, Kind, ListQuery, NewConversation, ParticipantAdded, ParticipantRemoved, People,
    StoredConversation, assign_roles, kept_apart, may_talk, out_of_place,
};

pub use emergencies::*;
pub use hours::*;

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
    /// [`Error::NotAllowed`], [`Error::ClinicianRequired`], [`Error::DirectExists`], [`Error::KeyReused`].
    pub async fn open(
        &self,
        caller: &Caller,
        draft: Draft,
        key: Option<IdempotencyKey>,
    ) -> Result<Opened, Error> {
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
        self.unseal(vec![stored]).await?.pop().ok_or(Error::NotFound)
    }

    /// The caller's conversations, most recently changed first. The cursor of the next page is made by
    /// `cursor` from the last conversation of this one.
    ///
    /// # Errors
    /// Only [`Error::Unavailable`].
    pub async fn list(
        &self,
        caller: &Caller,
        query: &ListQuery,
        cursor: impl Fn(&Conversation) -> String,
    ) -> Result<Page<Conversation>, Error> {
        let (rows, more) = query.size.cut(self.ports.store.list(caller.user_id, query).await?);
        let items = self.unseal(rows).await?;
        let next_cursor = if more { items.last().map(cursor) } else { None };
        Ok(Page { items, next_cursor })
    }

    /// Adds `user`. Adding someone who is in it changes nothing.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::NotAModerator`], [`Error::DirectIsFixed`], [`Error::NotAllowed`].
    pub async fn add(
        &self,
        caller: &Caller,
        id: ConversationId,
        user: UserId,
    ) -> Result<Conversation, Error> {
        let conversation = self.get(caller, id).await?;
        conversation.check_addition(caller.user_id)?;
        if conversation.participant(user).is_some() {
            return Ok(conversation);
        }
        let everyone: Vec<_> = conversation.participants.iter().map(|p| p.user_id).chain([user]).collect();
        let standings = self.ports.people.standings(caller.user_id, &everyone).await?;
        let blocks = self.ports.people.blocked_among(&everyone).await?;
        let is_there = |id| conversation.participant(id).is_some();
        let welcome = standings.iter().any(|s| s.user_id == user && may_talk(caller.role, s))
            && !kept_apart(conversation.kind, user, is_there, &blocks);
        let people: Vec<_> = standings.iter().map(|s| (s.user_id, s.role)).collect();
        if !welcome || out_of_place(&people).is_some() {
            let reason = DenialReason::NoMedicalRelationship;
            return Err(Error::NotAllowed { target_user_id: user, reason });
        }
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
        conversation.check_removal_by(caller.user_id, user)?;
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
        let standings = p.people.standings(caller.user_id, &draft.others).await?;
        let everyone: Vec<_> = draft.others.iter().copied().chain([caller.user_id]).collect();
        let blocks = p.people.blocked_among(&everyone).await?;
        let participants = assign_roles((caller.user_id, caller.role), &draft, &standings, &blocks)?;
        let id = ConversationId::generate(&*p.ids);
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
            settings: draft.settings,
            title: self.seal(id, "title", draft.title.as_deref()).await?,
            description: self.seal(id, "description", draft.description.as_deref()).await?,
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
        let asked = json!([draft.kind.as_str(), draft.title, draft.description, draft.others]);
        self.ports.sealer.fingerprint(Scope::User(creator), asked.to_string().as_bytes())
    }

    async fn seal(
        &self,
        id: ConversationId,
        column: &'static str,
        text: Option<&str>,
    ) -> Result<Option<Sealed>, Error> {
        match text {
            Some(text) => Ok(Some(self.ports.sealer.seal(&context(id, column), text.as_bytes()).await?)),
            None => Ok(None),
        }
    }

    /// Opens the texts of all `rows` at once.
    async fn unseal(&self, rows: Vec<StoredConversation>) -> Result<Vec<Conversation>, Error> {
        let mut sealed = Vec::new();
        for row in &rows {
            let id = row.conversation.id;
            sealed.extend(row.title.as_ref().map(|s| (context(id, "title"), s)));
            sealed.extend(row.description.as_ref().map(|s| (context(id, "description"), s)));
        }
        // What was destroyed is not there.
        let mut opened = self.ports.sealer.open_remaining(&sealed).await?.into_iter();
        let mut text = |present: bool| -> Result<Option<String>, Error> {
            let plain = if present { opened.next().flatten() } else { None };
            plain.map(|p| String::from_utf8(p).map_err(|e| Error::Unavailable(e.into()))).transpose()
        };
        rows.iter()
            .map(|row| {
                let title = text(row.title.is_some())?;
                let description = text(row.description.is_some())?;
                Ok(Conversation { title, description, ..row.conversation.clone() })
            })
            .collect()
    }
}
