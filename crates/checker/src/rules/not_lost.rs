//! Rule 1: what was acknowledged is in the log, under the id and at the place that the acknowledgement named.

use super::{Rule, Violation};
use crate::case::Room;
use crate::{Action, Stored};

pub(super) fn check(room: &Room<'_>) -> Vec<Violation> {
    let mut found = Vec::new();
    for sending in &room.sendings {
        for attempt in &sending.attempts {
            let Some((line, Action::Send { stored: Some(Stored { message, seq, .. }), .. })) = attempt.ok()
            else {
                continue;
            };
            let what = match sending.message {
                Some(kept) if kept.id == *message && kept.seq == *seq => continue,
                Some(kept) => format!("acknowledged as {message}, stored as {} at {}", kept.id, kept.seq),
                None => format!("{message} was acknowledged and is not in the log"),
            };
            let lines = [attempt.began, line];
            found.push(room.violation(Rule::Lost, what).at(*seq).of(sending.who.process).shown_by(lines));
        }
    }
    found
}
