//! The part of rule 13 that is about reactions: of each that someone has set and not cleared there is one.

use std::collections::{HashMap, HashSet};

use super::{Rule, Violation};
use crate::case::Room;
use crate::{Action, Reaction};

/// How a reaction must be in the end.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Due {
    Set,
    Cleared,
    Unknown,
}

/// What is known of one person's reaction with one emoji to one message.
struct Known {
    due: Due,
    /// Until this line something may still change it.
    until: usize,
    lines: Vec<usize>,
}

pub(super) fn check(room: &Room<'_>, reactions: &[Reaction]) -> Vec<Violation> {
    // Of operations that overlap, or whose outcome nobody knows, nobody knows which was the last.
    let mut all: HashMap<(&str, &str, &str), Known> = HashMap::new();
    for operation in &room.operations {
        let Action::React { message, emoji, is_set } = operation.asked else { continue };
        let known = all.entry((message, emoji, &operation.who.user)).or_insert(Known {
            due: Due::Cleared,
            until: 0,
            lines: Vec::new(),
        });
        known.lines.extend(operation.lines());
        if !operation.may_have_happened() {
            continue;
        }
        let overlaps = operation.began < known.until;
        let wanted = if *is_set { Due::Set } else { Due::Cleared };
        known.due = match operation.ok() {
            Some(_) if !overlaps => wanted,
            _ if known.due == wanted => wanted,
            _ => Due::Unknown,
        };
        // What nobody knows may still happen.
        known.until = known.until.max(operation.ok().map_or(usize::MAX, |(line, _)| line));
    }
    let mut found = Vec::new();
    let mut present: HashSet<(&str, &str, &str)> = HashSet::new();
    for Reaction { message, emoji, count, users } in reactions {
        for user in users {
            if !present.insert((message, emoji, user)) {
                found.push(room.violation(Rule::Effects, format!("{user} reacts to {message} twice")));
            }
        }
        if u64::try_from(users.len()) != Ok(*count) {
            let what = format!("{count} reactions to {message} by {} people", users.len());
            found.push(room.violation(Rule::Effects, what));
        }
    }
    let is_gone: HashSet<&str> =
        room.end.messages.iter().filter(|message| message.is_deleted).map(|message| &*message.id).collect();
    for (key @ (message, _, user), Known { due, lines, .. }) in &all {
        let is_present = present.remove(key);
        let is_wrong = match due {
            Due::Set => !is_present && !is_gone.contains(message),
            Due::Cleared => is_present,
            Due::Unknown => false,
        };
        if is_wrong {
            let what = format!("the reaction of {user} to {message} is there: {is_present}");
            found.push(room.violation(Rule::Effects, what).shown_by(lines.iter().copied()));
        }
    }
    for (message, _, user) in present {
        found.push(room.violation(Rule::Effects, format!("{user} did not react to {message}")));
    }
    found
}
