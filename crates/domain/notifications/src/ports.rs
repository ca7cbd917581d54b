use std::time::Duration;

use alivio_kernel::Sensitive;
use async_trait::async_trait;
use chrono::{DateTime, Utc};

use crate::{MailError, RenderedMail};

/// No mailer takes longer for one mail.
pub const MAIL_PATIENCE: Duration = Duration::from_secs(15);

/// Whoever takes mail away.
///
/// - MUST hand over addressee, subject and both texts as they are, whatever characters they hold.
/// - MUST give a mail an identity that follows from its id, so that the same mail sent twice can be told from two
///   mails; a mailer that keeps mail itself MUST keep it once.
/// - MUST answer [`MailError::Refused`] when the other side says that trying again is of no use, and
///   [`MailError::Unavailable`] for everything else that goes wrong, with the time it wants to be left alone, if it
///   says one.
/// - MUST answer within [`MAIL_PATIENCE`], whether the other side is silent, slow, or talks without end.
/// - MUST NOT let the addressee or a word of the mail into an error or a log.
#[cfg_attr(feature = "testing", mockall::automock)]
#[async_trait]
pub trait Mailer: Send + Sync {
    /// Sends `mail`. `Ok` means that the other side has taken it over.
    async fn send(&self, mail: &RenderedMail) -> Result<(), MailError>;
}

/// A mail in a [`Mailbox`].
#[derive(Debug, Clone)]
pub struct KeptMail {
    /// The mail.
    pub mail: RenderedMail,
    /// When it came.
    pub at: DateTime<Utc>,
}

/// Where the mail of a sandbox can be read.
pub trait Mailbox: Send + Sync {
    /// What was sent, newest first; only to the address `to` if one is given.
    fn mails(&self, to: Option<Sensitive<String>>) -> Vec<KeptMail>;
}
