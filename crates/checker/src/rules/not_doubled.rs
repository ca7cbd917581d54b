//! Rule 3: no name of a sender and no id is in the log twice, and nobody is told twice that a message is new.

use std::collections::HashMap;

use super::{Rule, Violation};
use crate::case::{Operation, Room};

pub(super) fn check(room: &Room<'_>) -> Vec<Violation> {
    let (mut names, mut ids) = (HashMap::new(), HashMap::new());
    let mut found = Vec::new();
    for message in &room.end.messages {
        let earlier = names.insert((&*message.sender, &*message.client_id), message.seq);
        if let Some(earlier) = earlier.or_else(|| ids.get(&*message.id).copied()) {
            let what = format!("{} is at {earlier} already", message.client_id);
            found.push(room.violation(Rule::Duplicate, what).at(message.seq));
        }
        ids.insert(&*message.id, message.seq);
    }
    for sending in &room.sendings {
        let told = || sending.attempts.iter().filter(|attempt| attempt.is_new() == Some(true));
        if told().count() > 1 {
            let what = format!("{} was acknowledged as new more than once", sending.client_id);
            let lines = told().flat_map(Operation::lines);
            found.push(room.violation(Rule::Duplicate, what).of(sending.who.process).shown_by(lines));
        }
    }
    found
}
