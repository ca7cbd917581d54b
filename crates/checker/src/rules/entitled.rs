//! Rule 10: nobody sees a message of before they came or after they went.

use super::{Rule, Violation};
use crate::case::{Event, Room};

pub(super) fn check(room: &Room<'_>) -> Vec<Violation> {
    let mut found = Vec::new();
    for (line, who, event) in &room.events {
        let (Event::Deliver(seen) | Event::Look(seen)) = event else { continue };
        if !room.is_for(&who.user, seen.seq) {
            let what = format!("{} is not for {}", seen.message, who.user);
            found
                .push(room.violation(Rule::Entitlement, what).at(seen.seq).of(who.process).shown_by([*line]));
        }
    }
    found
}
