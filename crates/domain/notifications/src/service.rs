use std::sync::Arc;

use crate::{MailError, Mailer, Outcome, OutgoingMail, PublicOrigin, render};

/// What one can do with letters.
#[derive(Clone)]
pub struct Notifications {
    mailer: Arc<dyn Mailer>,
    origin: PublicOrigin,
}

impl Notifications {
    /// Letters by `mailer`, whose links begin with `origin`.
    pub fn new(mailer: Arc<dyn Mailer>, origin: PublicOrigin) -> Self {
        Self { mailer, origin }
    }

    /// Puts the letter into words and sends it.
    ///
    /// # Errors
    /// Only [`MailError::Unavailable`]: to be tried again with the same id. A refusal for good is an outcome.
    pub async fn send(&self, mail: &OutgoingMail) -> Result<Outcome, MailError> {
        match self.mailer.send(&render(mail, &self.origin)).await {
            Ok(()) => Ok(Outcome::Accepted),
            Err(MailError::Refused { status }) => Ok(Outcome::Refused { status }),
            Err(error @ MailError::Unavailable { .. }) => Err(error),
        }
    }
}
