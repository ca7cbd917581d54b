mod break_glass;
mod trail;

pub use break_glass::{BreakGlass, BreakGlassPorts, Reading};
pub use trail::{Trail, TrailPorts};

use alivio_kernel::audit::Outcome;
use alivio_kernel::{AccessScope, AuditEntry, AuditSink, Caller, Clock, Denied, IdSource};

use crate::Error;

/// Refuses the caller unless their role bundles `scope`, and leaves a trace of that: who asks for such things without
/// being entitled to them is worth knowing.
async fn authorise(
    sink: &dyn AuditSink,
    ids: &dyn IdSource,
    clock: &dyn Clock,
    caller: &Caller,
    scope: AccessScope,
    action: &'static str,
) -> Result<(), Error> {
    let Err(denied) = caller.require(scope) else { return Ok(()) };
    let entry =
        AuditEntry::by(ids, clock.now(), caller, action).came_to(Outcome::Denied, Denied::reason(denied));
    sink.record(&[entry]).await.map_err(Error::Unavailable)?;
    Err(denied.into())
}
