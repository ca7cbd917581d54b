//! Questions that one domain asks and another answers.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use alivio_accounts::{BlockStore, TokenMint, UserAdministration, UserStore};
use alivio_audit::{Members, Membership};
use alivio_conversations::{
    Administrators, BlockedPair, ConversationStore, Error, Kind, LinkSecrets, Names, People, Purpose,
    Standing, TokenHash,
};
use alivio_files::{File, Files, LinkHash};
use alivio_kernel::ids::{ConversationId, FileId, UserId};
use alivio_kernel::{Role, Sensitive};
use alivio_messages::{Attachment, Attachments, Correspondents, Room, Rooms};
use async_trait::async_trait;
use moka::future::Cache;

use crate::PeopleDirectory;

/// Conversations ask how people stand to each other; accounts know.
pub(crate) struct StandingsFromAccounts {
    users: Arc<dyn UserStore>,
    blocks: Arc<dyn BlockStore>,
}

impl StandingsFromAccounts {
    pub(crate) const fn new(users: Arc<dyn UserStore>, blocks: Arc<dyn BlockStore>) -> Self {
        Self { users, blocks }
    }
}

fn unavailable(error: alivio_accounts::Error) -> Error {
    Error::Unavailable(Box::new(error))
}

#[async_trait]
impl People for StandingsFromAccounts {
    async fn standings(&self, asker: UserId, others: &[UserId]) -> Result<Vec<Standing>, Error> {
        let users = self.users.by_ids(others).await.map_err(unavailable)?;
        let related = self.users.related(asker, others).await.map_err(unavailable)?;
        let standing = |user: alivio_accounts::StoredUser| Standing {
            user_id: user.id,
            role: user.role,
            related: related.contains(&user.id),
        };
        Ok(users.into_iter().filter(|user| user.is_active).map(standing).collect())
    }

    async fn blocked_among(&self, people: &[UserId]) -> Result<Vec<BlockedPair>, Error> {
        let mut pairs = Vec::new();
        // Mostly there are none.
        for (one, other) in self.blocks.among(people).await.map_err(unavailable)? {
            let related = self.users.related(one, &[other]).await.map_err(unavailable)?;
            pairs.push(BlockedPair { one, other, related: !related.is_empty() });
        }
        Ok(pairs)
    }
}

/// Messages ask what a conversation allows; conversations know. Kept for a few seconds, as it is asked with every
/// message.
pub(crate) struct RoomsFromConversations {
    conversations: Arc<dyn ConversationStore>,
    rooms: Cache<ConversationId, Room>,
}

impl RoomsFromConversations {
    const LIFETIME: Duration = Duration::from_secs(5);

    pub(crate) fn new(conversations: Arc<dyn ConversationStore>) -> Self {
        let rooms = Cache::builder().max_capacity(100_000).time_to_live(Self::LIFETIME).build();
        Self { conversations, rooms }
    }

    /// Asks anew what this conversation allows.
    pub(crate) async fn forget(&self, conversation: ConversationId) {
        self.rooms.invalidate(&conversation).await;
    }
}

#[async_trait]
impl Rooms for RoomsFromConversations {
    async fn room(&self, conversation: ConversationId) -> Result<Option<Room>, alivio_messages::Error> {
        if let Some(room) = self.rooms.get(&conversation).await {
            return Ok(Some(room));
        }
        let facts = self.conversations.facts(conversation).await;
        let facts = facts.map_err(|error| alivio_messages::Error::Unavailable(Box::new(error)))?;
        let Some(facts) = facts else { return Ok(None) };
        let settings = facts.settings;
        let room = Room {
            is_direct: facts.kind == Kind::Direct,
            is_emergency: facts.kind == Kind::Emergency,
            is_care: facts.is_care(),
            is_case_discussion: facts.purpose == Purpose::CaseDiscussion,
            file_sharing: settings.file_sharing_enabled,
            typing_indicators: settings.typing_indicators,
            read_receipts: settings.read_receipts,
            message_editing: settings.message_editing,
            message_deletion: settings.message_deletion,
        };
        self.rooms.insert(conversation, room).await;
        Ok(Some(room))
    }
}

/// Messages ask who people are, and who is where; accounts and conversations know.
pub(crate) struct CorrespondentsFromAccounts {
    users: Arc<dyn UserStore>,
    conversations: Arc<dyn ConversationStore>,
}

impl CorrespondentsFromAccounts {
    pub(crate) const fn new(users: Arc<dyn UserStore>, conversations: Arc<dyn ConversationStore>) -> Self {
        Self { users, conversations }
    }

    async fn members(&self, conversation: ConversationId) -> Result<Vec<UserId>, alivio_messages::Error> {
        let audience = self.conversations.audience(conversation).await;
        let audience = audience.map_err(|error| alivio_messages::Error::Unavailable(Box::new(error)))?;
        Ok(audience.map(|audience| audience.members).unwrap_or_default())
    }
}

#[async_trait]
impl Correspondents for CorrespondentsFromAccounts {
    async fn role(&self, user: UserId) -> Result<Option<Role>, alivio_messages::Error> {
        let found = self.users.by_ids(&[user]).await;
        let found = found.map_err(|error| alivio_messages::Error::Unavailable(Box::new(error)))?;
        Ok(found.into_iter().find(|user| user.is_active).map(|user| user.role))
    }

    async fn may_know(
        &self,
        from: ConversationId,
        to: ConversationId,
    ) -> Result<bool, alivio_messages::Error> {
        let there = self.members(from).await?;
        let mut others = self.members(to).await?;
        others.retain(|user| !there.contains(user));
        let found = self.users.by_ids(&others).await;
        let found = found.map_err(|error| alivio_messages::Error::Unavailable(Box::new(error)))?;
        Ok(found.len() == others.len() && found.iter().all(|user| user.role.is_clinician()))
    }
}

/// Messages ask for files; files know.
pub(crate) struct AttachmentsFromFiles(pub(crate) Files);

#[async_trait]
impl Attachments for AttachmentsFromFiles {
    async fn attachable(
        &self,
        sender: UserId,
        conversation: ConversationId,
        files: &[FileId],
    ) -> Result<Vec<Attachment>, alivio_messages::Error> {
        let found = self.0.attachable(sender, conversation, files).await;
        let found = found.map_err(|error| alivio_messages::Error::Unavailable(Box::new(error)))?;
        Ok(found.into_iter().map(attachment).collect())
    }

    async fn removed(&self, files: &[FileId]) -> Result<Vec<FileId>, alivio_messages::Error> {
        let removed = self.0.removed(files).await;
        removed.map_err(|error| alivio_messages::Error::Unavailable(Box::new(error)))
    }
}

fn attachment(file: File) -> Attachment {
    let address = |of: &str| format!("/api/v1/files/{}/{of}", file.id);
    Attachment {
        file_id: file.id,
        kind: file.kind.as_str().to_owned(),
        filename: file.stored_name(),
        original_filename: file.name.as_str().to_owned(),
        size: i64::try_from(file.size).unwrap_or(i64::MAX),
        mime_type: file.mime().to_owned(),
        url: address("content"),
        thumbnail_url: file.made.thumbnail.map(|_| address("thumbnail")),
        uploaded_at: file.created_at,
        uploaded_by: file.uploader_id,
        is_medical_document: file.terms.is_medical,
        requires_signature: file.terms.requires_signature,
        scan_status: file.scan.as_str().to_owned(),
    }
}

/// Files carry the names of those who look at them; the directory of names knows.
pub(crate) struct ReadersFromPeople(pub(crate) PeopleDirectory);

#[async_trait]
impl alivio_files::Names for ReadersFromPeople {
    async fn name(&self, user: UserId) -> Result<Option<String>, alivio_files::Error> {
        match self.0.summary(user).await {
            Ok(person) => Ok(Some(person.full_name.expose().clone())),
            Err(alivio_accounts::Error::NotFound) => Ok(None),
            Err(error) => Err(alivio_files::Error::Unavailable(Box::new(error))),
        }
    }
}

/// Those who break the glass ask who is in a conversation; conversations know.
pub(crate) struct MembersFromConversations {
    conversations: Arc<dyn ConversationStore>,
}

impl MembersFromConversations {
    pub(crate) const fn new(conversations: Arc<dyn ConversationStore>) -> Self {
        Self { conversations }
    }
}

#[async_trait]
impl Membership for MembersFromConversations {
    async fn members(&self, conversation: ConversationId) -> Result<Option<Members>, alivio_audit::Error> {
        let audience = self.conversations.audience(conversation).await;
        let unavailable = |error| alivio_audit::Error::Unavailable(Box::new(error));
        let audience = audience.map_err(unavailable)?;
        let Some(audience) = audience else { return Ok(None) };
        // Asked second: whoever goes in between is among them.
        let mut former = self.conversations.former(conversation).await.map_err(unavailable)?;
        former.retain(|user| !audience.members.contains(user));
        Ok(Some(Members { version: audience.members_version, users: audience.members, former }))
    }
}

/// Conversations ask what people are called; the directory of names knows.
pub(crate) struct NamesFromPeople(pub(crate) PeopleDirectory);

#[async_trait]
impl Names for NamesFromPeople {
    async fn names(&self, people: &[UserId]) -> Result<HashMap<UserId, String>, Error> {
        let summaries = self.0.summaries(people.iter().copied()).await.map_err(unavailable)?;
        let name = |(id, person): (UserId, Arc<alivio_accounts::UserSummary>)| {
            (id, person.display_name.expose().clone())
        };
        Ok(summaries.into_iter().map(name).collect())
    }
}

/// Links carry secrets; whoever makes tokens makes them, too.
pub(crate) struct LinkSecretsFromTokens(pub(crate) Arc<dyn TokenMint>);

impl LinkSecrets for LinkSecretsFromTokens {
    fn mint(&self) -> Result<Sensitive<String>, Error> {
        self.0.secret("alj_").map_err(unavailable)
    }

    fn hash(&self, secret: &str) -> TokenHash {
        self.0.digest(secret).0
    }
}

impl alivio_files::LinkSecrets for LinkSecretsFromTokens {
    fn mint(&self) -> Result<Sensitive<String>, alivio_files::Error> {
        let unavailable = |error| alivio_files::Error::Unavailable(Box::new(error));
        self.0.secret("alf_").map_err(unavailable)
    }

    fn hash(&self, secret: &str) -> LinkHash {
        LinkHash(self.0.digest(secret).0)
    }
}

/// Emergencies ask who runs the clinic; accounts know.
pub(crate) struct AdministratorsFromAccounts(pub(crate) Arc<dyn UserAdministration>);

#[async_trait]
impl Administrators for AdministratorsFromAccounts {
    async fn clinic_administrators(&self) -> Result<Vec<UserId>, Error> {
        self.0.with_role(Role::MedicalAdmin).await.map_err(unavailable)
    }
}
