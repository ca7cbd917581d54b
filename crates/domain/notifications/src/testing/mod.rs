//! How a mailer proves itself.
//!
//! ```text
//! use alivio_notifications::testing::Fixture;
//!
//! async fn fresh() -> Fixture { … }                       // a mailer and the other side it speaks to, per case
//! alivio_notifications::mailer_conformance!(fresh);       // → one named #[tokio::test] per case
//! ```
//!
//! The crate that calls the macro needs `tokio` with `macros` and `rt-multi-thread` among its dev-dependencies.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use crate::Mailer;

pub mod mailer;

/// What a case is given.
pub struct Fixture {
    /// The adapter on trial.
    pub mailer: Arc<dyn Mailer>,
    /// The other side.
    pub world: Arc<dyn World>,
}

/// A mail as it arrived.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Arrived {
    /// By which the receiver tells a repeat.
    pub identity: String,
    /// The address.
    pub to: String,
    /// The subject, decoded.
    pub subject: String,
    /// The plain text, decoded.
    pub text: String,
    /// The HTML, decoded.
    pub html: String,
}

/// How the other side answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Conduct {
    /// Takes the mail.
    Accept,
    /// Refuses it for good.
    Refuse,
    /// Is busy, and asks for this time if its protocol can.
    Busy(Duration),
    /// Takes the connection and says nothing.
    Silent,
    /// Answers without end.
    Endless,
    /// Hangs up in the middle.
    HangUp,
}

/// The other side of a mailer. Failures panic.
#[async_trait]
pub trait World: Send + Sync {
    /// What has arrived so far, in its order.
    async fn arrived(&self) -> Vec<Arrived>;
    /// Behaves so from now on. `false` if there is no other side that could behave in any way but the first.
    async fn behave(&self, conduct: Conduct) -> bool;
}

#[cfg(test)]
mod tests {
    /// A case that is written but not listed would never run.
    #[test]
    fn every_case_is_listed() {
        let source = include_str!("mailer.rs");
        let list = source.split("macro_rules!").nth(1).unwrap();
        for case in source.lines().filter_map(|line| line.strip_prefix("pub async fn ")) {
            let case = case.split('(').next().unwrap();
            assert!(list.lines().any(|line| line.trim() == case), "{case} is not listed");
        }
    }
}
