//! Rule 8: the acknowledged messages of one process are in the log in the order in which it sent them.
//!
//! What is sent again has lost its turn. So this is about messages that were on their way to being acknowledged each
//! time that another was sent after them; what had been acknowledged by then is for rule 7.

use std::collections::HashMap;

use super::{Rule, Violation};
use crate::case::{Room, Sending};

/// Someone asked for something.
struct Attempt {
    began: usize,
    ended: usize,
    is_ok: bool,
    /// Which of the sendings.
    of: usize,
}

pub(super) fn check(room: &Room<'_>) -> Vec<Violation> {
    let mut processes: HashMap<u64, Vec<Attempt>> = HashMap::new();
    for (of, sending) in room.sendings.iter().enumerate() {
        for attempt in &sending.attempts {
            // What never ended was never acknowledged either.
            let (began, Some((ended, ..))) = (attempt.began, attempt.ended) else { continue };
            let one = Attempt { began, ended, is_ok: attempt.ok().is_some(), of };
            processes.entry(attempt.who.process).or_default().push(one);
        }
    }
    let mut found = Vec::new();
    for (process, attempts) in processes {
        for (earlier, later) in in_order(attempts, &room.sendings) {
            let (earlier, later) = (&room.sendings[earlier], &room.sendings[later]);
            let (Some(first), Some(second)) = (place(earlier), place(later)) else { continue };
            if first > second {
                let what = format!("sent after what is at {first}");
                let lines = [earlier.began(), later.began()];
                let violation = room.violation(Rule::ProgramOrder, what);
                found.push(violation.at(second).of(process).shown_by(lines));
            }
        }
    }
    found
}

/// Where an acknowledged message is.
fn place(sending: &Sending<'_>) -> Option<i64> {
    sending.acknowledged().and(sending.message).map(|message| message.seq)
}

/// Pairs of sendings of one process of which the first was sent before the second.
fn in_order(mut attempts: Vec<Attempt>, sendings: &[Sending<'_>]) -> Vec<(usize, usize)> {
    attempts.sort_unstable_by_key(|attempt| attempt.began);
    let mut before: HashMap<usize, Vec<usize>> = HashMap::new();
    let mut on_their_way: Vec<&Attempt> = Vec::new();
    for attempt in &attempts {
        on_their_way.retain(|other| other.ended > attempt.began);
        let now =
            || on_their_way.iter().filter(|other| other.is_ok && other.of != attempt.of).map(|one| one.of);
        let is_over = |of: usize| sendings[of].acknowledged().is_some_and(|line| line < attempt.began);
        before
            .entry(attempt.of)
            .and_modify(|before| before.retain(|of| is_over(*of) || now().any(|other| other == *of)))
            .or_insert_with(|| now().collect());
        on_their_way.push(attempt);
    }
    before.into_iter().flat_map(|(later, before)| before.into_iter().map(move |of| (of, later))).collect()
}
