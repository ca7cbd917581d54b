//! Links that let people in.

use std::sync::Arc;

use alivio_kernel::ids::{ConversationId, InvitationLinkId};
use alivio_kernel::{AuditEntry, Caller, Effects, Sensitive};
use chrono::{DateTime, Utc};

use super::Conversations;
use super::changes::ATTEMPTS;
use crate::{
    Conversation, Error, InvitationLink, LinkSecrets, LinkStore, LinkTerms, ParticipantAdded,
    ParticipantRole, may_talk,
};

/// A new link with its secret, which is shown this once.
#[derive(Debug, Clone)]
pub struct IssuedLink {
    /// The link.
    pub link: InvitationLink,
    /// What lets its holders in.
    pub secret: Sensitive<String>,
}

/// What one can do with invitation links.
#[derive(Clone)]
pub struct InvitationLinks {
    conversations: Conversations,
    store: Arc<dyn LinkStore>,
    secrets: Arc<dyn LinkSecrets>,
}

impl InvitationLinks {
    /// Links into `conversations`.
    pub const fn new(
        conversations: Conversations,
        store: Arc<dyn LinkStore>,
        secrets: Arc<dyn LinkSecrets>,
    ) -> Self {
        Self { conversations, store, secrets }
    }

    /// Makes a link: for moderators.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::NotAModerator`], [`Error::DirectIsFixed`], [`Error::Closed`].
    pub async fn issue(
        &self,
        caller: &Caller,
        id: ConversationId,
        terms: LinkTerms,
    ) -> Result<IssuedLink, Error> {
        let ports = &self.conversations.ports;
        let now = ports.clock.now();
        self.conversations.get(caller, id).await?.check_addition(caller.user_id, now)?;
        let secret = self.secrets.mint()?;
        let link = InvitationLink {
            id: InvitationLinkId::generate(&*ports.ids),
            conversation_id: id,
            created_by: caller.user_id,
            created_at: now,
            expires_at: now + terms.lifetime,
            max_uses: terms.max_uses,
            uses: 0,
            revoked_at: None,
        };
        let effects = self.audited(now, caller, "invitation_link.issued", link.id);
        self.store.issue(&link, &self.secrets.hash(secret.expose()), effects).await?;
        Ok(IssuedLink { link, secret })
    }

    /// The links of a conversation, the newest first: for moderators.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::NotAModerator`].
    pub async fn list(&self, caller: &Caller, id: ConversationId) -> Result<Vec<InvitationLink>, Error> {
        self.conversations.get(caller, id).await?.check_moderator(caller.user_id)?;
        self.store.of(id).await
    }

    /// Withdraws a link: for moderators. Who came in by it stays.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::NotAModerator`].
    pub async fn revoke(
        &self,
        caller: &Caller,
        id: ConversationId,
        link: InvitationLinkId,
    ) -> Result<(), Error> {
        self.conversations.get(caller, id).await?.check_moderator(caller.user_id)?;
        let now = self.conversations.ports.clock.now();
        let effects = self.audited(now, caller, "invitation_link.revoked", link);
        if self.store.revoke(id, link, now, effects).await? { Ok(()) } else { Err(Error::NotFound) }
    }

    /// Comes in by a link, as if whoever made it added the caller now. Who is in already uses nothing up.
    ///
    /// # Errors
    /// [`Error::NotFound`] if the link is not good, or its maker no longer moderates; [`Error::NotAllowed`],
    /// [`Error::Closed`], [`Error::Stale`].
    pub async fn enter(&self, caller: &Caller, secret: &str) -> Result<Conversation, Error> {
        let Conversations { ports } = &self.conversations;
        let hash = self.secrets.hash(secret);
        for _ in 0..ATTEMPTS {
            let link = self.store.by_hash(&hash).await?.ok_or(Error::NotFound)?;
            if !link.is_good(ports.clock.now()) {
                return Err(Error::NotFound);
            }
            let stored = ports.store.look(link.conversation_id).await?.ok_or(Error::NotFound)?;
            let conversation = stored.conversation;
            if conversation.participant(caller.user_id).is_some() {
                return self.conversations.get(caller, conversation.id).await;
            }
            let host = link.created_by;
            let moderates = |p: &crate::Participant| p.role == ParticipantRole::Moderator;
            if !conversation.participant(host).is_some_and(moderates) {
                return Err(Error::NotFound);
            }
            conversation.check_room(ports.clock.now())?;
            let welcomes = |standings: &[crate::Standing]| {
                let role = standings.iter().find(|s| s.user_id == host).map(|s| s.role);
                let guest = standings.iter().find(|s| s.user_id == caller.user_id);
                role.zip(guest).is_some_and(|(role, guest)| may_talk(role, guest))
            };
            self.conversations.check_fits(&conversation, host, caller.user_id, welcomes).await?;
            let added = ParticipantAdded {
                conversation_id: conversation.id,
                user_id: caller.user_id,
                added_by: host,
            };
            let (now, event) = self.conversations.event(&added);
            let effects = self.audited(now, caller, "invitation_link.used", link.id).event(event);
            match self.store.admit(&link, conversation.members_version, caller.user_id, now, effects).await {
                Err(Error::Stale) => {}
                Err(other) => return Err(other),
                Ok(()) => return self.conversations.get(caller, conversation.id).await,
            }
        }
        Err(Error::Stale)
    }

    fn audited(
        &self,
        now: DateTime<Utc>,
        caller: &Caller,
        action: &'static str,
        link: InvitationLinkId,
    ) -> Effects {
        let entry = AuditEntry::by(&*self.conversations.ports.ids, now, caller, action);
        Effects::default().audit(entry.on("invitation_link", link))
    }
}
