//! The rules, one file each.

mod audited;
mod complete;
mod entitled;
mod exactly_once;
mod gapless;
mod in_order;
mod in_real_time;
mod marks;
mod not_doubled;
mod not_lost;
mod of_one_sender;
mod reactions;
mod same_for_all;
mod sent_by_someone;
mod versions;

use std::fmt;

use crate::case::{Room, rooms};
use crate::{ConversationEnd, End, Line};

macro_rules! rules {
    ($($(#[$doc:meta])* $name:ident = $module:ident,)*) => {
        /// What must hold.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum Rule { $($(#[$doc])* $name,)* }

        impl Rule {
            /// All of them.
            pub const ALL: [Self; 14] = [$(Self::$name),*];

            fn check(self, room: &Room<'_>) -> Vec<Violation> {
                match self { $(Self::$name => $module::check(room),)* }
            }
        }
    };
}

rules! {
    /// What was acknowledged is in the log, where that was said.
    Lost = not_lost,
    /// What is in the log was sent by someone, and not refused.
    Phantom = sent_by_someone,
    /// Nothing is in the log twice.
    Duplicate = not_doubled,
    /// At one place all see the same.
    Divergence = same_for_all,
    /// The places of a log are 1, 2, 3 …
    Gap = gapless,
    /// A process receives in the order of the log, and nothing between is left out.
    Order = in_order,
    /// What was acknowledged before another was sent stands before it.
    RealTime = in_real_time,
    /// What one process sends is in the log in its order.
    ProgramOrder = of_one_sender,
    /// Who is connected to the last has received everything that is for them.
    Unseen = complete,
    /// Nobody receives what is not for them.
    Entitlement = entitled,
    /// Marks never go back, and unread is what is behind them.
    Marks = marks,
    /// Edits and deletions make one chain of versions.
    Versions = versions,
    /// What follows from something follows once.
    Effects = exactly_once,
    /// What is to be audited is, once, and nothing else.
    Audit = audited,
}

impl Rule {
    /// From 1 to 14.
    #[must_use]
    pub const fn number(self) -> usize {
        self as usize + 1
    }
}

/// A rule that was broken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// Which.
    pub rule: Rule,
    /// Where.
    pub conversation: String,
    /// At which place of its log.
    pub seq: Option<i64>,
    /// For which process.
    pub process: Option<u64>,
    /// The lines of the history that show it, from 0.
    pub lines: Vec<usize>,
    /// In words.
    pub what: String,
}

impl Violation {
    fn at(self, seq: i64) -> Self {
        Self { seq: Some(seq), ..self }
    }

    fn of(self, process: u64) -> Self {
        Self { process: Some(process), ..self }
    }

    fn shown_by(self, lines: impl IntoIterator<Item = usize>) -> Self {
        Self { lines: lines.into_iter().collect(), ..self }
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { rule, conversation, what, .. } = self;
        write!(f, "rule {} ({rule:?}) in {conversation}", rule.number())?;
        if let Some(seq) = self.seq {
            write!(f, " at {seq}")?;
        }
        if let Some(process) = self.process {
            write!(f, " for process {process}")?;
        }
        write!(f, ": {what}; lines {:?}", self.lines)
    }
}

/// All breaches of all rules, rule by rule.
#[must_use]
pub fn check(lines: &[Line], end: &End) -> Vec<Violation> {
    let nothing = ConversationEnd::default();
    let rooms = rooms(lines, end, &nothing);
    Rule::ALL.into_iter().flat_map(|rule| rooms.iter().flat_map(move |room| rule.check(room))).collect()
}

/// The value that was highest before each of several starts, when values become known at their ends. For rules that
/// say: what had ended before this began is not greater.
///
/// `spans` are `(began, ended, value)`; the answer has, for each, the highest value that had ended before it began,
/// and the line on which it had.
fn known_before(spans: &[(usize, Option<usize>, i64)]) -> Vec<Option<(i64, usize)>> {
    let mut ends: Vec<(usize, i64)> =
        spans.iter().filter_map(|(_, ended, value)| Some(((*ended)?, *value))).collect();
    ends.sort_unstable();
    let mut order: Vec<usize> = (0..spans.len()).collect();
    order.sort_unstable_by_key(|at| spans[*at].0);
    let mut known = vec![None; spans.len()];
    let (mut next, mut highest) = (0, None::<(i64, usize)>);
    for at in order {
        while let Some((ended, value)) = ends.get(next)
            && *ended < spans[at].0
        {
            if highest.is_none_or(|(known, _)| *value > known) {
                highest = Some((*value, *ended));
            }
            next += 1;
        }
        known[at] = highest;
    }
    known
}
