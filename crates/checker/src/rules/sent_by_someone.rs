//! Rule 2: what is in the log was sent or put off by its sender, with these words, and was not refused each time.

use std::collections::HashMap;

use super::{Rule, Violation};
use crate::Action;
use crate::case::{Operation, Room};

pub(super) fn check(room: &Room<'_>) -> Vec<Violation> {
    let sendings: HashMap<_, _> =
        room.sendings.iter().map(|sending| ((&*sending.who.user, sending.client_id), sending)).collect();
    let is_unknown = |one: &&Operation<'_>| {
        matches!(one.asked, Action::PutOff { .. }) && one.may_have_happened() && one.ok().is_none()
    };
    let unknown: Vec<_> = room.operations.iter().filter(is_unknown).collect();
    let mut found = Vec::new();
    for message in &room.end.messages {
        let violation = |what: String, lines: Vec<usize>| {
            room.violation(Rule::Phantom, what).at(message.seq).shown_by(lines)
        };
        let first = message.wordings.as_ref().and_then(|all| all.iter().find(|wording| wording.version == 1));
        let said = |attempt: &Operation<'_>| match (attempt.asked, first) {
            (Action::Send { digest, .. } | Action::PutOff { digest, .. }, Some(first)) => {
                *digest == first.digest
            }
            _ => true,
        };
        let Some(sending) = sendings.get(&(&*message.sender, &*message.client_id)) else {
            // The name of what was put off is not known without an answer.
            if unknown.iter().any(|one| one.who.user == message.sender && said(one)) {
                continue;
            }
            found.push(violation(format!("nobody sent {}", message.id), Vec::new()));
            continue;
        };
        let lines = || sending.attempts.iter().flat_map(Operation::lines).collect::<Vec<_>>();
        if !sending.attempts.iter().any(Operation::may_have_happened) {
            found.push(violation(format!("{} was refused and is in the log", message.id), lines()));
            continue;
        }
        if !sending.attempts.iter().any(said) {
            found.push(violation(format!("{} has other words than were sent", message.id), lines()));
        }
    }
    found
}
