//! What to tell whom.
//!
//! | word | meaning |
//! |---|---|
//! | letter | what is to be said: one of a few, each with the least it needs |
//! | outgoing mail | a letter to one address, in one language, with an id that recognises a repeat |
//! | rendered mail | the same in words: a subject, a plain text and the same as HTML |
//! | mailer | whoever takes mail away: a provider, a mail server, a mailbox in memory |
//! | mailbox | a mailer's place where its mail can be read, for those who try the product |
//!
//! Mail is read on lock screens and by providers: no letter names anyone, or says anything about anybody's health
//! (PR-04). Links begin with the configured [`PublicOrigin`] whatever a request said (AU-06), and carry their secret
//! behind the `#`, which browsers send to no server.

mod error;
mod event;
mod model;
mod ports;
mod service;
#[cfg(feature = "testing")]
pub mod testing;

pub use error::MailError;
pub use event::Outcome;
pub use model::{Letter, OutgoingMail, PublicOrigin, RenderedMail, render};
#[cfg(feature = "testing")]
pub use ports::MockMailer;
pub use ports::{KeptMail, MAIL_PATIENCE, Mailbox, Mailer};
pub use service::Notifications;
