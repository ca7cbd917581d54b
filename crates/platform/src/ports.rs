use std::sync::Arc;
use std::time::Duration;

use alivio_accounts::{
    BlockStore, ContactStore, DirectoryPolicy, DirectoryStore, GuardStore, ImageResizer, InvitationStore,
    OneTimeCodes, PasswordHasher, PasswordStore, PresenceStore, ProfileStore, RegistrationStore,
    SecondFactorStore, SessionStore, SignInPolicy, TokenMint, UserAdministration, UserStore,
};
use alivio_audit::{AuditReader, GrantStore};
use alivio_conversations::{
    ChatHours, ConversationStore, EmergencyPolicy, EmergencyStore, HoursStore, Inbox, LinkStore, TitleStore,
};
use alivio_files::{
    BlobStore, ContentSealer, ExaminationStore, FileStore, Policy as FilePolicy, Scanner, UploadStore,
    Workshop,
};
use alivio_kernel::ids::Uuid;
use alivio_kernel::sealing::Tokeniser;
use alivio_kernel::{AuditSink, BoxError, Clock, IdSource, Limiter, NodeBus, Sealer};
use alivio_messages::screening::ScreeningPolicy;
use alivio_messages::{
    ChangeLog, ChangePolicy, DraftStore, GrantedLog, Lexicon, MessageChanges, MessageLog, MessageReader,
    ModerationStore, Pace, ScheduledStore, SearchIndex, Shredder, StoredMessage,
};
use alivio_notifications::{Mailbox, Mailer, PublicOrigin};
use alivio_outbox::{Broadcasts, OutboxStore};
use async_trait::async_trait;
use tokio::sync::Notify;

use crate::live::DoorPolicy;

/// Something that we depend on.
#[async_trait]
pub trait Dependency: Send + Sync {
    /// Its name in health checks: `database`.
    fn name(&self) -> &'static str;
    /// Asks it for a sign of life.
    async fn check(&self) -> Result<(), BoxError>;
    /// Whether it must answer for us to be ready.
    fn is_needed(&self) -> bool {
        true
    }
}

/// Every socket an integrator must plug, one field each.
pub struct Ports {
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Identifiers.
    pub ids: Arc<dyn IdSource>,
    /// Encryption at rest.
    pub sealer: Arc<dyn Sealer>,
    /// Users and care relationships.
    pub users: Arc<dyn UserStore>,
    /// Contacts and the requests that lead to them.
    pub contacts: Arc<dyn ContactStore>,
    /// Who wants nothing of whom.
    pub blocks: Arc<dyn BlockStore>,
    /// What people show of themselves.
    pub presence: Arc<dyn PresenceStore>,
    /// How long after their last device went someone still is online.
    pub presence_grace: Duration,
    /// How devices that come back are let in.
    pub door: DoorPolicy,
    /// Sessions, refresh tokens, tickets.
    pub sessions: Arc<dyn SessionStore>,
    /// Second factors and recovery codes.
    pub second_factors: Arc<dyn SecondFactorStore>,
    /// Codes of authenticator apps.
    pub one_time_codes: Arc<dyn OneTimeCodes>,
    /// What the clinic asks of those who sign in.
    pub sign_in_policy: SignInPolicy,
    /// The audit trail of what changes nothing.
    pub audit: Arc<dyn AuditSink>,
    /// Password hashes.
    pub passwords: Arc<dyn PasswordHasher>,
    /// Stored passwords, and what replaces them.
    pub password_store: Arc<dyn PasswordStore>,
    /// How often passwords were tried.
    pub guards: Arc<dyn GuardStore>,
    /// Those who signed up and have not confirmed their address.
    pub registrations: Arc<dyn RegistrationStore>,
    /// Invitations.
    pub invitations: Arc<dyn InvitationStore>,
    /// Whether people may sign up by themselves.
    pub open_registration: bool,
    /// Access tokens and secrets.
    pub tokens: Arc<dyn TokenMint>,
    /// Profiles, entries, credentials and pictures.
    pub profiles: Arc<dyn ProfileStore>,
    /// The directory of professionals.
    pub directory: Arc<dyn DirectoryStore>,
    /// How far professionals see each other in it.
    pub directory_policy: DirectoryPolicy,
    /// Small pictures.
    pub images: Arc<dyn ImageResizer>,
    /// What texts are found by.
    pub tokeniser: Arc<dyn Tokeniser>,
    /// What conversations are called.
    pub titles: Arc<dyn TitleStore>,
    /// What messages are found by.
    pub search_index: Arc<dyn SearchIndex>,
    /// Medical words.
    pub lexicon: Arc<dyn Lexicon>,
    /// Whoever destroys what was said.
    pub shredder: Arc<dyn Shredder>,
    /// Conversations.
    pub conversations: Arc<dyn ConversationStore>,
    /// People's conversations as a list shows them.
    pub inbox: Arc<dyn Inbox<StoredMessage>>,
    /// Links that let people into conversations.
    pub invitation_links: Arc<dyn LinkStore>,
    /// Messages.
    pub messages: Arc<dyn MessageLog>,
    /// What happened, for those who come back.
    pub feed: Arc<dyn ChangeLog>,
    /// Messages, for those who look for something in them.
    pub message_reader: Arc<dyn MessageReader>,
    /// Messages that wait for their time.
    pub scheduled_messages: Arc<dyn ScheduledStore>,
    /// Messages that are not sent yet.
    pub message_drafts: Arc<dyn DraftStore>,
    /// What becomes of messages.
    pub message_changes: Arc<dyn MessageChanges>,
    /// How free people are to change what they said.
    pub change_policy: ChangePolicy,
    /// When patients may write.
    pub hours: Arc<dyn HoursStore>,
    /// The clinic's hours until its administrators set others.
    pub default_hours: ChatHours,
    /// Emergencies, and who answers them.
    pub emergencies: Arc<dyn EmergencyStore>,
    /// How the clinic answers them.
    pub emergency_policy: EmergencyPolicy,
    /// How often one may ask.
    pub limiter: Arc<dyn Limiter>,
    /// How often people send.
    pub pace: Arc<dyn Pace>,
    /// What follows from what the rules find in a message.
    pub screening: ScreeningPolicy,
    /// Reported and flagged messages.
    pub moderation: Arc<dyn ModerationStore>,
    /// Files on their way in.
    pub uploads: Arc<dyn UploadStore>,
    /// Files.
    pub files: Arc<dyn FileStore>,
    /// Files that wait for a verdict.
    pub examinations: Arc<dyn ExaminationStore>,
    /// What people are granted of files.
    pub file_grants: Arc<dyn alivio_files::GrantStore>,
    /// The bytes of files.
    pub blobs: Arc<dyn BlobStore>,
    /// What seals those.
    pub content_sealer: Arc<dyn ContentSealer>,
    /// Whoever looks for malware in them.
    pub scanner: Arc<dyn Scanner>,
    /// Whoever works on untrusted content.
    pub workshop: Arc<dyn Workshop>,
    /// What may be uploaded.
    pub file_policy: FilePolicy,
    /// Whoever takes mail away.
    pub mailer: Arc<dyn Mailer>,
    /// Where its mail can be read, if it is a sandbox.
    pub mailbox: Option<Arc<dyn Mailbox>>,
    /// Where the pages are that letters link to.
    pub public_origin: PublicOrigin,
    /// Accounts, for those who manage them.
    pub administration: Arc<dyn UserAdministration>,
    /// The audit trail, for reading.
    pub audit_reader: Arc<dyn AuditReader>,
    /// Grants to read in an emergency.
    pub grants: Arc<dyn GrantStore>,
    /// Messages, for those who hold such a grant.
    pub granted_messages: Arc<dyn GrantedLog>,
    /// Events on their way to their consequences.
    pub outbox: Arc<dyn OutboxStore>,
    /// Rung when an event was stored.
    pub outbox_wake: Arc<Notify>,
    /// Events that every node is to hear of.
    pub broadcasts: Arc<dyn Broadcasts>,
    /// Which history of the installation this is: another one from when a backup was restored.
    pub epoch: Uuid,
    /// The way to the other nodes; [`LoneNode`](alivio_kernel::LoneNode) if there is none.
    pub node_bus: Arc<dyn NodeBus>,
    /// What we depend on.
    pub dependencies: Vec<Arc<dyn Dependency>>,
}
