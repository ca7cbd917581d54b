use alivio_kernel::audit::Outcome;
use alivio_kernel::{AuditEntry, AuditSink, Denied};

use crate::Error;

/// The refusal of what `entry` speaks of, once it stands in the trail: who asks without being entitled is worth knowing.
/// What cannot be recorded is [`Error::Unavailable`].
pub(crate) async fn refusal(sink: &dyn AuditSink, entry: AuditEntry, denied: Denied) -> Error {
    match sink.record(&[entry.came_to(Outcome::Denied, denied.reason())]).await {
        Ok(()) => denied.into(),
        Err(error) => Error::Unavailable(error),
    }
}
