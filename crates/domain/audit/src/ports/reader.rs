use alivio_kernel::PageSize;
use alivio_kernel::ids::UserId;
use async_trait::async_trait;

use crate::{After, Error, Recorded, TrailFilter};

/// The trail, for reading. It is written by [`alivio_kernel::Effects`] and [`alivio_kernel::AuditSink`], and MUST be
/// append-only wherever it is kept.
#[cfg_attr(feature = "testing", mockall::automock)]
#[async_trait]
pub trait AuditReader: Send + Sync {
    /// One page of what matches all of `filter`, newest first (by time, then by id), and one entry more if there is
    /// one.
    async fn entries(
        &self,
        filter: &TrailFilter,
        after: Option<After>,
        size: PageSize,
    ) -> Result<Vec<Recorded>, Error>;

    /// The same, of what people other than `subject` did to their data. MUST NOT hold what `subject` did, or what
    /// nobody who was signed in did.
    async fn by_others(
        &self,
        subject: UserId,
        after: Option<After>,
        size: PageSize,
    ) -> Result<Vec<Recorded>, Error>;
}
