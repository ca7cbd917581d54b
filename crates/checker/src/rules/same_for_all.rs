//! Rule 4: whoever sees something at a place of the log sees what the log has there, in the words of its version.

use std::collections::HashMap;

use super::{Rule, Violation};
use crate::case::{Event, Room};
use crate::{Digest, Message};

pub(super) fn check(room: &Room<'_>) -> Vec<Violation> {
    let log: HashMap<i64, &Message> =
        room.end.messages.iter().map(|message| (message.seq, message)).collect();
    // What a version says: by the log, or else as it was first seen.
    let mut words: HashMap<(i64, u32), Digest> = room
        .end
        .messages
        .iter()
        .flat_map(|message| {
            let wordings = message.wordings.iter().flatten();
            wordings.map(|wording| ((message.seq, wording.version), wording.digest))
        })
        .collect();
    let mut found = Vec::new();
    for (line, who, event) in &room.events {
        let (Event::Deliver(seen) | Event::Look(seen)) = event else { continue };
        let what = match log.get(&seen.seq) {
            None => format!("saw {}, where the log has nothing", seen.message),
            Some(kept) if kept.id != seen.message => {
                format!("saw {}, where the log has {}", seen.message, kept.id)
            }
            Some(kept) if kept.sender != seen.sender || kept.client_id != seen.client_id => {
                format!("saw {} as another's", seen.message)
            }
            Some(_) => {
                let Some(digest) = seen.digest else { continue };
                if *words.entry((seen.seq, seen.version)).or_insert(digest) == digest {
                    continue;
                }
                format!("saw other words in version {} of {}", seen.version, seen.message)
            }
        };
        found.push(room.violation(Rule::Divergence, what).at(seen.seq).of(who.process).shown_by([*line]));
    }
    found
}
