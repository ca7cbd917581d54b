//! Rule 14: of each message that someone who moderates took back, the audit trail has one entry, by one of those who
//! did; and it has no other. If its sender may have been first, it may have none.

use std::collections::{HashMap, HashSet};

use super::{Rule, Violation};
use crate::Action;
use crate::case::{Operation, Room};

const REMOVED: &str = "message.removed";

pub(super) fn check(room: &Room<'_>) -> Vec<Violation> {
    let Some(audit) = &room.end.audit else { return Vec::new() };
    let mut removals: HashMap<&str, Vec<&Operation<'_>>> = HashMap::new();
    let mut by_senders: HashSet<&str> = HashSet::new();
    for operation in room.operations.iter().filter(|operation| operation.may_have_happened()) {
        match operation.asked {
            Action::Delete { message, by_moderator: true } => {
                removals.entry(message).or_default().push(operation);
            }
            Action::Delete { message, .. } => drop(by_senders.insert(message)),
            _ => {}
        }
    }
    let mut entries: HashMap<&str, Vec<&str>> = HashMap::new();
    for row in audit.iter().filter(|row| row.action == REMOVED) {
        entries.entry(&row.object).or_default().push(&row.actor);
    }
    let mut found = Vec::new();
    for message in &room.end.messages {
        let removed = removals.get(&*message.id).map_or(&[][..], Vec::as_slice);
        let actors = entries.get(&*message.id).map_or(&[][..], Vec::as_slice);
        let was_removed = removed.iter().any(|operation| operation.ok().is_some());
        let what = match actors {
            [] if was_removed && !by_senders.contains(&*message.id) => {
                format!("the removal of {} is not audited", message.id)
            }
            [] => continue,
            [actor] if removed.iter().any(|operation| operation.who.user == **actor) => continue,
            [actor] => format!("{actor} did not remove {}", message.id),
            many => format!("the removal of {} is audited {} times", message.id, many.len()),
        };
        let lines = removed.iter().flat_map(|operation| operation.lines());
        found.push(room.violation(Rule::Audit, what).at(message.seq).shown_by(lines));
    }
    found
}
