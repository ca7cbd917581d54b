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
//! | members version | counts changes of membership, so that caches of it can tell that they are old |

mod error;
mod event;
mod model;
mod ports;
mod service;
#[cfg(feature = "testing")]
pub mod testing;
mod titles;

pub use error::{DenialReason, Error};
pub use event::{ConversationCreated, ParticipantAdded, ParticipantRemoved};
pub use model::{
    Audience, BlockedPair, Conversation, Draft, Facts, IdempotencyKey, Kind, MAX_PARTICIPANTS, Participant,
    ParticipantRole, Purpose, Settings, Standing, assign_roles, kept_apart, may_talk, out_of_place,
};
pub use ports::{
    ConversationStore, Created, ListAfter, ListQuery, NewConversation, People, StoredConversation,
};
#[cfg(feature = "testing")]
pub use ports::{MockConversationStore, MockPeople};
pub use service::{Conversations, ConversationsPorts, Opened};
#[cfg(feature = "testing")]
pub use titles::MockTitleStore;
pub use titles::{StoredTitle, TitleStore, Titled, Titles};
