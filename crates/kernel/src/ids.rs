//! Identifiers: one newtype per kind of thing, so that they cannot be mixed up.
//!
//! All are UUIDv7: sortable by creation time, impossible to guess, safe to mint on any node.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
pub use uuid::Uuid;

/// Where identifiers come from.
pub trait IdSource: Send + Sync {
    /// A new UUIDv7. MUST never repeat.
    fn uuid(&self) -> Uuid;
}

/// Identifiers from the system's clock and random source.
#[derive(Debug, Default, Clone, Copy)]
pub struct SystemIds;

impl IdSource for SystemIds {
    #[expect(clippy::disallowed_methods, reason = "this is the one place that mints ids")]
    fn uuid(&self) -> Uuid {
        Uuid::now_v7()
    }
}

/// Identifiers that count upwards, for tests.
#[cfg(any(test, feature = "testing"))]
#[derive(Debug, Default)]
pub struct SequentialIds(std::sync::atomic::AtomicU64);

#[cfg(any(test, feature = "testing"))]
impl IdSource for SequentialIds {
    fn uuid(&self) -> Uuid {
        let n = self.0.fetch_add(1, std::sync::atomic::Ordering::Relaxed) + 1;
        Uuid::from_u128(0x0000_0000_0000_7000_8000_0000_0000_0000 | u128::from(n))
    }
}

macro_rules! id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(Uuid);

        impl $name {
            /// Mints a new identifier.
            pub fn generate(ids: &dyn IdSource) -> Self {
                Self(ids.uuid())
            }

            /// The bare UUID, for storage.
            pub const fn uuid(self) -> Uuid {
                self.0
            }
        }

        impl From<Uuid> for $name {
            fn from(value: Uuid) -> Self {
                Self(value)
            }
        }

        impl From<$name> for Uuid {
            fn from(value: $name) -> Self {
                value.0
            }
        }

        impl FromStr for $name {
            type Err = uuid::Error;
            fn from_str(s: &str) -> Result<Self, Self::Err> {
                s.parse().map(Self)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self.0)
            }
        }
    };
}

id!(
    /// A person with a login.
    UserId
);
id!(
    /// A sign-in on one device, from login to logout.
    SessionId
);
id!(
    /// A conversation between people.
    ConversationId
);
id!(
    /// A message in a conversation.
    MessageId
);
id!(
    /// A link that lets people into a conversation.
    InvitationLinkId
);
id!(
    /// A consultation: an appointment, and the visit that comes of it.
    ConsultationId
);
id!(
    /// An event in the outbox.
    EventId
);
id!(
    /// An entry of the audit trail.
    AuditId
);
id!(
    /// A registration that waits for its address to be confirmed.
    RegistrationId
);
id!(
    /// An invitation to register.
    InvitationId
);
id!(
    /// A secret that goes out by mail, made from this id: a temporary password, a token to reset a password.
    MailedSecretId
);
id!(
    /// A permission to read one conversation in an emergency.
    GrantId
);
id!(
    /// Someone's call for urgent help.
    EmergencyId
);
id!(
    /// An open request to become someone's contact.
    ContactRequestId
);
id!(
    /// A file that can be attached to a message.
    FileId
);
id!(
    /// A layer of drawings over a file.
    AnnotationId
);
id!(
    /// A message that is to be sent later.
    ScheduledMessageId
);
id!(
    /// A data-encryption key.
    DataKeyId
);
id!(
    /// Something for those who moderate: a report, or what the rules have found.
    ReportId
);
