//! Rule 3: no name of a sender and no id is in the log twice.

use std::collections::HashMap;

use super::{Rule, Violation};
use crate::case::Room;

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
    found
}
