//! Rule 5: the places of the log are 1, 2, 3 … in this order.

use super::{Rule, Violation};
use crate::case::Room;

pub(super) fn check(room: &Room<'_>) -> Vec<Violation> {
    let mut expected = 1;
    let mut found = Vec::new();
    for message in &room.end.messages {
        if message.seq != expected {
            let what = format!("{} is where {expected} was expected", message.id);
            found.push(room.violation(Rule::Gap, what).at(message.seq));
        }
        expected = message.seq + 1;
    }
    found
}
