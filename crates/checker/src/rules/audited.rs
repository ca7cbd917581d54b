//! Rule 14: what is to be audited has one entry in the trail, by the one who did it, and there is no other entry.
//!
//! That is each message that someone who moderates took back, by one of those who did (if its sender may have been first,
//! it may have none); each message that was put right, by the one who did; and each report, by its reporter.

use std::collections::{HashMap, HashSet};

use super::{Rule, Violation};
use crate::case::{Operation, Room};
use crate::{Action, AuditRow};

const REMOVED: &str = "message.removed";
const CORRECTED: &str = "message.corrected";
const REPORTED: &str = "message.reported";

pub(super) fn check(room: &Room<'_>) -> Vec<Violation> {
    let Some(audit) = &room.end.audit else { return Vec::new() };
    let mut found = check_removals(room, audit);
    found.extend(check_corrections(room, audit));
    found.extend(check_reports(room, audit));
    found
}

/// How often `action` was audited of what by whom.
fn entries<'a>(audit: &'a [AuditRow], action: &str) -> HashMap<(&'a str, &'a str), usize> {
    let mut entries = HashMap::new();
    for row in audit.iter().filter(|row| row.action == action) {
        *entries.entry((&*row.object, &*row.actor)).or_default() += 1;
    }
    entries
}

fn check_removals(room: &Room<'_>, audit: &[AuditRow]) -> Vec<Violation> {
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

fn check_corrections(room: &Room<'_>, audit: &[AuditRow]) -> Vec<Violation> {
    let mut entries = entries(audit, CORRECTED);
    let mut found = Vec::new();
    for message in &room.end.messages {
        let Some(corrected) = &message.corrects else { continue };
        let times = entries.remove(&(&**corrected, &*message.sender)).unwrap_or_default();
        if times != 1 {
            let what = format!("{} puts {corrected} right, which is audited {times} times", message.id);
            found.push(room.violation(Rule::Audit, what).at(message.seq));
        }
    }
    let unfounded = entries.into_keys().map(|(message, actor)| format!("{actor} did not correct {message}"));
    found.extend(unfounded.map(|what| room.violation(Rule::Audit, what)));
    found
}

fn check_reports(room: &Room<'_>, audit: &[AuditRow]) -> Vec<Violation> {
    let mut reports: HashMap<(&str, &str), Vec<&Operation<'_>>> = HashMap::new();
    for operation in room.operations.iter().filter(|operation| operation.may_have_happened()) {
        if let Action::Report { message } = operation.asked {
            reports.entry((message, &operation.who.user)).or_default().push(operation);
        }
    }
    let mut entries = entries(audit, REPORTED);
    let mut found = Vec::new();
    for ((message, actor), reports) in reports {
        let times = entries.remove(&(message, actor)).unwrap_or_default();
        // However often they reported it, and whatever became of the answers.
        let is_certain = reports.iter().any(|operation| operation.ok().is_some());
        if times > 1 || (times == 0 && is_certain) {
            let what = format!("the report of {message} by {actor} is audited {times} times");
            let lines = reports.iter().flat_map(|operation| operation.lines());
            found.push(room.violation(Rule::Audit, what).shown_by(lines));
        }
    }
    let unfounded = entries.into_keys().map(|(message, actor)| format!("{actor} did not report {message}"));
    found.extend(unfounded.map(|what| room.violation(Rule::Audit, what)));
    found
}
