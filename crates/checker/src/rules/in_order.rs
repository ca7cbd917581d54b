//! Rule 6: a process that listens receives in the order of the log, each message once, and leaves out nothing that
//! is for it, also after it has come back.

use std::collections::HashMap;

use super::{Rule, Violation};
use crate::case::{Event, Room};

pub(super) fn check(room: &Room<'_>) -> Vec<Violation> {
    // How far each process has come, and on which line.
    let mut cursors: HashMap<u64, (i64, usize)> = HashMap::new();
    let mut found = Vec::new();
    for (line, who, event) in &room.events {
        let seen = match event {
            Event::Listen(from) => {
                cursors.insert(who.process, (*from, *line));
                continue;
            }
            Event::Deliver(seen) => seen,
            Event::Look(_) => continue,
        };
        let violation = |what: String, before: usize| {
            room.violation(Rule::Order, what).at(seen.seq).of(who.process).shown_by([before, *line])
        };
        match cursors.get(&who.process) {
            None => found.push(violation("delivered to a process that does not listen".into(), *line)),
            Some(&(cursor, before)) if seen.seq <= cursor => {
                found.push(violation(format!("delivered after {cursor}"), before));
                continue;
            }
            Some(&(cursor, before)) => {
                // What was said before they came, or came back, is not for them any more.
                let due =
                    room.membership_at(&who.user, seen.seq).map_or(seen.seq, |from| from.max(cursor + 1));
                if due < seen.seq {
                    found.push(violation(format!("{due} was left out"), before));
                }
            }
        }
        cursors.insert(who.process, (seen.seq, *line));
    }
    found
}
