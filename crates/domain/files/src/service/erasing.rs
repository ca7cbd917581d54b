//! What goes with those whom it is about. For operators: nothing here asks who is calling.

use alivio_kernel::ids::FileId;
use alivio_kernel::sealing::Scope;
use alivio_kernel::{AuditEntry, Effects, Origin};

use super::Files;
use crate::{Erased, Erasure, Error, Whose};

impl Files {
    /// Takes away all files of `whose`: they are withheld from everybody at once. What need not be kept is destroyed for
    /// ever, names, pictures and drawings with it; what must be kept is so until its time is over, unless `records_too`.
    /// Uploads that are not finished go, too. `reason` is a code, for the audit trail.
    ///
    /// # Errors
    /// [`Error::Unavailable`]; what is left then goes the next time.
    pub async fn erase(
        &self,
        whose: Whose,
        reason: &'static str,
        records_too: bool,
    ) -> Result<Erased, Error> {
        let p = &self.ports;
        for id in p.uploads.unfinished(whose).await? {
            self.drop_upload(id).await?;
        }
        let now = p.clock.now();
        let mut entry = AuditEntry::from_origin(&*p.ids, now, &Origin::default(), "files.erased");
        entry.reason = Some(reason);
        let entry = match whose {
            Whose::Patient(patient) => entry.about(patient),
            Whose::Conversation(conversation) => entry.on("conversation", conversation),
        };
        let erasure = Erasure { whose, records_too, now, effects: Effects::default().audit(entry) };
        let erased = p.files.erase(&erasure).await?;
        while self.destroy_removed().await? {}
        Ok(erased)
    }

    /// Forgets the keys of a file whose content was destroyed. Other nodes do so within the quarter of an hour for which
    /// keys are remembered.
    pub async fn forget(&self, id: FileId) {
        self.ports.sealer.forget(Scope::File(id)).await;
    }
}
