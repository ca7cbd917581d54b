//! What is told of encryption at rest (C-14). Truthful: the server can read what it keeps.

use alivio_kernel::sealing::ALGORITHM;
use alivio_messages::Header;
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

/// How something rests in storage.
#[derive(Serialize, ToSchema)]
#[schema(as = Encryption)]
pub(crate) struct EncryptionBody {
    /// `server`: encrypted at rest, under keys that the server holds, so that it can deliver, search and check it.
    #[schema(example = "server")]
    mode: &'static str,
    /// Whether it is encrypted at rest.
    is_encrypted: bool,
    /// With what; it also shows whether what rests was changed.
    #[schema(example = "AES-256-GCM")]
    algorithm: &'static str,
    /// The data key that the words are sealed with; `null` if there are none.
    key_id: Option<Uuid>,
    /// Whether the key was destroyed, and the words with it, for ever.
    content_destroyed: bool,
}

impl From<&Header> for EncryptionBody {
    fn from(header: &Header) -> Self {
        Self {
            mode: "server",
            is_encrypted: true,
            algorithm: ALGORITHM,
            key_id: header.key_id.map(|id| id.uuid()),
            content_destroyed: header.is_destroyed,
        }
    }
}

/// How what is said in a conversation rests in storage.
#[derive(Serialize, ToSchema)]
#[schema(as = ConversationEncryption)]
pub(crate) struct ConversationEncryptionBody {
    /// `server`: encrypted at rest, under keys that the server holds.
    #[schema(example = "server")]
    mode: &'static str,
    /// Whether it is encrypted at rest.
    is_encrypted: bool,
    /// With what.
    #[schema(example = "AES-256-GCM")]
    algorithm: &'static str,
}

/// What the server can do for a conversation, given how it is encrypted.
#[derive(Serialize, ToSchema)]
#[schema(as = ConversationCapabilities)]
pub(crate) struct CapabilitiesBody {
    /// Its messages can be found.
    search: bool,
    /// Its newest message is shown in lists.
    preview: bool,
}

/// What holds for every conversation in mode `server`.
pub(crate) const fn of_server_mode() -> (ConversationEncryptionBody, CapabilitiesBody) {
    (
        ConversationEncryptionBody { mode: "server", is_encrypted: true, algorithm: ALGORITHM },
        CapabilitiesBody { search: true, preview: true },
    )
}
