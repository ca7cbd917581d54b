//! S1: `/api/messages`. The document shows no JSON.

use alivio_kernel::FieldError;

use super::row::Asked;

/// Where to send stands in the body (S1-31).
pub(super) fn message_to_send(asked: &mut Asked) -> Result<(), FieldError> {
    asked.id_into_path("conversation_id", "conversation_id")
}
