use alivio_kernel::ids::{ConversationId, MessageId, ReportId, UserId};
use alivio_kernel::{AuditEntry, Effects, PageSize, Sealed};
use async_trait::async_trait;
use chrono::{DateTime, Utc};

use super::StoredMessage;
use crate::screening::Finding;
use crate::{Error, ReportHeader, ReportKind, ReportReason, ReportStatus};

/// What the rules have found in words that are about to be stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewFlag {
    /// The id of the item for those who moderate.
    pub id: ReportId,
    /// What was found.
    pub findings: Vec<Finding>,
}

/// A report about to be stored.
#[derive(Debug, Clone, PartialEq)]
pub struct NewReport {
    /// Its id.
    pub id: ReportId,
    /// The message.
    pub message_id: MessageId,
    /// Who reports it.
    pub reporter_id: UserId,
    /// Why.
    pub reason: ReportReason,
    /// The sealed words about it.
    pub comment: Option<Sealed>,
    /// Now.
    pub created_at: DateTime<Utc>,
}

/// A report as stored.
#[derive(Debug, Clone, PartialEq)]
pub struct StoredReport {
    /// What is known of it.
    pub header: ReportHeader,
    /// The sealed words of the reporter.
    pub comment: Option<Sealed>,
    /// The sealed words of the moderator.
    pub note: Option<Sealed>,
    /// The version that the note was sealed for.
    pub note_version: u32,
}

/// What came of reporting.
#[derive(Debug, Clone, PartialEq)]
pub enum Reported {
    /// It is stored.
    Stored(StoredReport),
    /// The same person had reported the message before; this is what they said then.
    Known(StoredReport),
}

/// Which items to list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReportFilter {
    /// Only these.
    pub status: Option<ReportStatus>,
    /// Only these.
    pub kind: Option<ReportKind>,
    /// Not those that involve this person.
    pub viewer: UserId,
    /// Only those that are older than this one.
    pub after: Option<ReportId>,
    /// How many.
    pub size: PageSize,
}

/// A report with what there is to judge.
#[derive(Debug, Clone, PartialEq)]
pub struct Case {
    /// The report.
    pub report: StoredReport,
    /// The message with those around it, in the order of the log.
    pub messages: Vec<StoredMessage>,
}

/// A step of moderation about to be stored.
#[derive(Debug, Clone, PartialEq)]
pub struct Decision {
    /// The report as it is to be.
    pub header: ReportHeader,
    /// The sealed words of the moderator; `None` leaves those before.
    pub note: Option<Sealed>,
    /// Whether the message is taken away.
    pub removes: bool,
}

/// Reports, and what the rules have found.
#[cfg_attr(feature = "testing", mockall::automock)]
#[async_trait]
pub trait ModerationStore: Send + Sync {
    /// Where the message is and who said it, if `viewer` may read it now. `None` otherwise.
    async fn readable(
        &self,
        viewer: UserId,
        message: MessageId,
    ) -> Result<Option<(ConversationId, UserId)>, Error>;

    /// Stores a report and its `effects`, together or not at all.
    ///
    /// The statement that stores it MUST check that the reporter may read the message; `None` otherwise. However often
    /// and however many at once someone reports a message, one report MUST be stored, and its effects once.
    async fn report(&self, report: &NewReport, effects: Effects) -> Result<Option<Reported>, Error>;

    /// One page, newest first, and one item more if there is one.
    async fn list(&self, filter: &ReportFilter) -> Result<Vec<ReportHeader>, Error>;

    /// One item, without the words about it.
    async fn find(&self, report: ReportId) -> Result<Option<ReportHeader>, Error>;

    /// The item with its message, and at most `around` messages before and after it, of the same conversation.
    ///
    /// `audit` MUST be stored with what is read: if that fails, nothing is read; if there is no such item, nothing is
    /// stored.
    async fn look(&self, report: ReportId, around: i64, audit: &[AuditEntry]) -> Result<Option<Case>, Error>;

    /// Stores a step with its `effects`; [`Error::Stale`] unless the item is at the version before.
    ///
    /// If the message is taken away, that is noted among the changes of the conversation in the same transaction, and
    /// told. Says whether this call took it away: `false` if it was gone already.
    async fn decide(&self, decision: &Decision, effects: Effects) -> Result<bool, Error>;
}
