//! Mistakes made on purpose, to see that they are found: in builds for tests only (feature `planted-bugs`), and there
//! only the one that the environment variable `ALIVIO_PLANTED_BUG` names.
//!
//! Each is a decorator around a port that is right, so that the product holds no trace of it.

mod changes;
mod feed;
mod log;

use std::str::FromStr;
use std::sync::Arc;

use alivio_messages::LiveFeed;

use crate::Ports;

macro_rules! bugs {
    ($($(#[$doc:meta])* $bug:ident = $name:literal,)*) => {
        /// What is done wrong.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        enum Bug { $($(#[$doc])* $bug,)* }

        impl FromStr for Bug {
            type Err = ();

            fn from_str(name: &str) -> Result<Self, ()> {
                match name { $($name => Ok(Self::$bug),)* _ => Err(()) }
            }
        }
    };
}

bugs! {
    /// Acknowledges what is never committed.
    CommitLost = "commit_lost",
    /// Acknowledges before the commit, and commits later.
    CommitLate = "commit_late",
    /// Stores two messages of a sender in the wrong order.
    PairsSwapped = "pairs_swapped",
    /// Stores what it refuses.
    RefusedStored = "refused_stored",
    /// Shows who listens the words of another message.
    OtherWordsTold = "other_words_told",
    /// Leaves the next message out when someone comes back.
    ResumeSkips = "resume_skips",
    /// Repeats the last message when someone comes back.
    ResumeRepeats = "resume_repeats",
    /// Turns the messages round when someone comes back.
    ResumeReorders = "resume_reorders",
    /// Loses hints, and does not read from the log what they were about.
    HintsOnly = "hints_only",
    /// Stops telling those who listen.
    FallsSilent = "falls_silent",
    /// Remembers who was allowed to read after they were removed.
    PermissionCached = "permission_cached",
    /// Shows newcomers what was said before they came.
    PastShown = "past_shown",
    /// Answers with marks that have gone back.
    MarksGoBack = "marks_go_back",
    /// Counts one message too many as unread.
    UnreadWrong = "unread_wrong",
    /// Forgets what an edited message said before.
    EditForgets = "edit_forgets",
    /// Counts every reaction twice.
    ReactionsDoubled = "reactions_doubled",
    /// Does not audit what moderators take back.
    AuditMissing = "audit_missing",
}

/// The bug that is planted in this process.
///
/// # Panics
/// If there is none of that name: the test would prove nothing.
#[expect(clippy::panic, reason = "only tests set the variable")]
fn chosen() -> Option<Bug> {
    let name = std::env::var("ALIVIO_PLANTED_BUG").ok()?;
    Some(name.parse().unwrap_or_else(|()| panic!("there is no planted bug `{name}`")))
}

/// The ports, one of them with a bug.
pub(crate) fn ports(mut ports: Ports) -> Ports {
    if let Some(bug) = chosen() {
        ports.messages = Arc::new(log::WithBug::new(ports.messages, bug));
        ports.message_changes = Arc::new(changes::WithBug::new(ports.message_changes, bug));
    }
    ports
}

/// The feed, with a bug.
pub(crate) fn live(feed: Arc<dyn LiveFeed>) -> Arc<dyn LiveFeed> {
    match chosen() {
        Some(bug) => Arc::new(feed::WithBug::new(feed, bug)),
        None => feed,
    }
}
