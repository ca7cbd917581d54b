//! Rule 9: a process that was connected to the last has received everything that is for it.

use std::collections::{HashMap, HashSet};

use super::{Rule, Violation};
use crate::case::{Event, Room};

pub(super) fn check(room: &Room<'_>) -> Vec<Violation> {
    let mut received: HashMap<u64, HashSet<i64>> = HashMap::new();
    for (_, who, event) in &room.events {
        if let Event::Deliver(seen) = event {
            received.entry(who.process).or_default().insert(seen.seq);
        }
    }
    let none = HashSet::new();
    let mut found = Vec::new();
    for reader in &room.end.readers {
        let Some(since) = room.present_since(&reader.user) else { continue };
        let received = received.get(&reader.process).unwrap_or(&none);
        let due = room.end.messages.iter().map(|message| message.seq);
        for seq in due.filter(|seq| *seq > reader.from && *seq >= since && !received.contains(seq)) {
            found.push(room.violation(Rule::Unseen, "never delivered").at(seq).of(reader.process));
        }
    }
    found
}
