//! Consequences: one file each, named after what it does. All are idempotent.

mod conversation_created_reaches_participants;
mod participant_added_reaches_everyone;
mod participant_removed_narrows_sockets;
mod session_revoked_closes_sockets;

use std::sync::Arc;

use alivio_outbox::Reaction;

use crate::live::Hub;
use crate::session_cache::CachedSessions;

pub(crate) fn all(hub: &Arc<Hub>, sessions: &Arc<CachedSessions>) -> Vec<Arc<dyn Reaction>> {
    vec![
        Arc::new(conversation_created_reaches_participants::React::new(Arc::clone(hub))),
        Arc::new(participant_added_reaches_everyone::React::new(Arc::clone(hub))),
        Arc::new(participant_removed_narrows_sockets::React::new(Arc::clone(hub))),
        Arc::new(session_revoked_closes_sockets::React::new(Arc::clone(hub), Arc::clone(sessions))),
    ]
}
