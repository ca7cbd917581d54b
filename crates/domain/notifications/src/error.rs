use std::time::Duration;

use alivio_kernel::BoxError;

/// How sending mail can go wrong. Neither holds the addressee or a word of the mail.
#[derive(Debug, thiserror::Error)]
pub enum MailError {
    /// The other side will not take this mail, however often it is offered.
    #[error("the mail was refused for good{}", status.map(|s| format!(" ({s})")).unwrap_or_default())]
    Refused {
        /// The other side's code (an HTTP status, an SMTP reply), if it got that far.
        status: Option<u16>,
    },
    /// The other side does not answer, is busy, or cannot be understood: to be tried again.
    #[error("mail cannot be sent right now")]
    Unavailable {
        /// How long the other side wants to be left alone.
        retry_after: Option<Duration>,
        /// Why.
        #[source]
        source: BoxError,
    },
}

impl MailError {
    /// Unavailable, without a hint for how long.
    pub fn unavailable(source: impl Into<BoxError>) -> Self {
        Self::Unavailable { retry_after: None, source: source.into() }
    }
}
