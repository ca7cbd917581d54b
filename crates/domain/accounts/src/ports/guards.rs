use alivio_kernel::AuditEntry;
use async_trait::async_trait;
use chrono::{DateTime, Utc};

use crate::{Error, GuardKey, TryResult};

/// How often passwords were tried. The rules are those of [`Guard`](crate::Guard).
#[cfg_attr(feature = "testing", mockall::automock)]
#[async_trait]
pub trait GuardStore: Send + Sync {
    /// As [`Guard::admit`](crate::Guard::admit). However many ask at once, MUST count each one that it admits. May
    /// forget keys that the rules no longer remember.
    async fn admit(&self, key: GuardKey, now: DateTime<Utc>) -> Result<bool, Error>;

    /// As [`Guard::settle`](crate::Guard::settle), and stores `audit` with it. MUST take as long for one that was
    /// refused as for one that was wrong.
    async fn settle(
        &self,
        key: GuardKey,
        result: TryResult,
        now: DateTime<Utc>,
        audit: &[AuditEntry],
    ) -> Result<(), Error>;
}
