//! Rule 13: what follows from something follows once.
//!
//! Of each change of a message, and of each time that someone was let in or removed, there is one note; of each reaction
//! that someone has set and not cleared, one; what was put off was sent; each message can be found by its present words,
//! and by no others; and no event of the conversation is left over.

use std::collections::{HashMap, HashSet};

use super::{Rule, Violation, reactions};
use crate::case::{Operation, Room, Sending};
use crate::{Indexed, Note};

pub(super) fn check(room: &Room<'_>) -> Vec<Violation> {
    let mut found = check_put_off(room);
    if let Some(notes) = &room.end.notes {
        let times = times(notes);
        found.extend(check_notes(room, &times));
        found.extend(check_members(room, &times));
    }
    if let Some(reactions) = &room.end.reactions {
        found.extend(reactions::check(room, reactions));
    }
    if let Some(index) = &room.end.index {
        found.extend(check_index(room, index));
    }
    if let Some(unhandled @ 1..) = room.end.unhandled {
        found.push(room.violation(Rule::Effects, format!("{unhandled} events were not handled")));
    }
    found
}

/// How often something was noted, by what it is about and its kind.
type Times<'a> = HashMap<(&'a str, &'a str), u64>;

fn times(notes: &[Note]) -> Times<'_> {
    let mut times = Times::new();
    for note in notes {
        *times.entry((&note.about, &note.kind)).or_default() += note.times;
    }
    times
}

fn check_notes(room: &Room<'_>, times: &Times<'_>) -> Vec<Violation> {
    let corrected = room.end.messages.iter().filter_map(|message| message.corrects.as_deref());
    let corrected: HashSet<&str> = corrected.collect();
    let mut found = Vec::new();
    for message in &room.end.messages {
        let due = [
            ("message.created", 1),
            ("message.updated", u64::from(message.version.saturating_sub(1))),
            ("message.corrected", u64::from(corrected.contains(&*message.id))),
            ("message.deleted", u64::from(message.is_deleted)),
        ];
        for (kind, due) in due {
            let noted = times.get(&(&*message.id, kind)).copied().unwrap_or_default();
            if noted != due {
                let what = format!("{noted} notes of {kind} of {}, {due} are due", message.id);
                found.push(room.violation(Rule::Effects, what).at(message.seq));
            }
        }
    }
    found
}

fn check_members(room: &Room<'_>, times: &Times<'_>) -> Vec<Violation> {
    // How often each was let in, and removed.
    let mut due: HashMap<&str, (u64, u64)> = HashMap::new();
    for membership in &room.end.memberships {
        let (joined, removed) = due.entry(&membership.user).or_default();
        *joined += u64::from(!membership.is_founder);
        *removed += u64::from(membership.until.is_some());
    }
    let mut found = Vec::new();
    for (user, (joined, removed)) in due {
        for (kind, due) in [("participant.joined", joined), ("participant.removed", removed)] {
            let noted = times.get(&(user, kind)).copied().unwrap_or_default();
            if noted != due {
                let what = format!("{noted} notes of {kind} of {user}, {due} are due");
                found.push(room.violation(Rule::Effects, what));
            }
        }
    }
    found
}

fn check_put_off(room: &Room<'_>) -> Vec<Violation> {
    let is_missing = |sending: &&Sending<'_>| sending.is_put_off() && sending.message.is_none();
    let missing = room.sendings.iter().filter(is_missing).map(|sending| {
        let what = format!("{} was put off and is not in the log", sending.client_id);
        let lines = sending.attempts.iter().flat_map(Operation::lines);
        room.violation(Rule::Effects, what).of(sending.who.process).shown_by(lines)
    });
    missing.collect()
}

fn check_index(room: &Room<'_>, index: &[Indexed]) -> Vec<Violation> {
    let mut wordings: HashMap<&str, Vec<u32>> = HashMap::new();
    for Indexed { message, version } in index {
        wordings.entry(message).or_default().push(*version);
    }
    let mut found = Vec::new();
    for message in &room.end.messages {
        let indexed = wordings.get(&*message.id).map_or(&[][..], Vec::as_slice);
        let due = if message.is_deleted { &[][..] } else { &[message.version] };
        if indexed != due {
            let what = format!("{} can be found by its wordings {indexed:?}, not {due:?}", message.id);
            found.push(room.violation(Rule::Effects, what).at(message.seq));
        }
    }
    found
}
