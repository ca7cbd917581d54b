//! Who may talk to whom.
//!
//! | word | meaning |
//! |---|---|
//! | conversation | a place where its participants exchange messages |
//! | kind | `direct` (two people, one conversation for ever), `group`, `consultation`, `emergency` |
//! | participant | someone who is in it now; leaving or being removed ends all access |
//! | moderator | a participant who adds and removes others; patients are never one |
//! | relation rule | a patient and a professional talk only if the professional attends the patient |
//! | standing | what the rule needs to know about a person: role, active, related to the asker |
//! | purpose | what they talk about: `care`, `team`, `study_group`, `case_discussion`, `support` |
//! | closed | nothing more can be said in it; a moderator reopens it |
//! | archived, pinned, muted | what someone keeps of it for themselves; nobody else sees it |
//! | inbox | someone's conversations with the newest message of each and what they have not read |
//! | invitation link | a secret that lets its holders in while whoever made it moderates |
//! | members version | counts changes of membership, so that caches of it can tell that they are old |

mod error;
mod event;
mod model;
mod ports;
mod service;
#[cfg(feature = "testing")]
pub mod testing;

pub use error::{DenialReason, Error};
pub use event::{ConversationCreated, ConversationUpdated, ParticipantAdded, ParticipantRemoved};
pub use model::{
    Audience, BlockedPair, Closed, Conversation, Details, DetailsPatch, Draft, Facts, IdempotencyKey,
    InvitationLink, Kind, LinkTerms, MAX_PARTICIPANTS, MAX_TAGS, Metadata, MetadataPatch, Mute, Participant,
    ParticipantRole, Personal, PersonalChange, Priority, Purpose, Settings, SettingsPatch, Standing,
    Versions, assign_roles, kept_apart, may_talk, out_of_place, out_of_purpose,
};
pub use ports::{
    Change, ConversationStore, Created, Inbox, InboxAfter, InboxFilter, InboxPage, LinkSecrets, LinkStore,
    Names, NewConversation, NewDetails, Ordering, People, Progress, StoredConversation, StoredLabels,
    StoredLine, StoredTitle, TokenHash, Unread,
};
#[cfg(feature = "testing")]
pub use ports::{
    MockConversationStore, MockLinkSecrets, MockLinkStore, MockNames, MockPeople, WithoutMessages,
};
pub use service::{
    Conversations, ConversationsPorts, InboxLine, InboxOrder, InboxQuery, Inboxes, InvitationLinks,
    IssuedLink, Opened,
};
