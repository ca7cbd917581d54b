//! Rule 8: the acknowledged messages of one process are in the log in the order in which it sent them.
//!
//! What is sent again has lost its turn: the server may have failed to store it, and stored what came behind it. So this
//! is about messages that were on their way to being acknowledged each time that another was sent after them and may have
//! been stored; what had been acknowledged by then is for rule 7. Answers say whether an attempt has stored a message, so
//! of messages that were all sent again the attempts that were in vain do not count.

use std::collections::{HashMap, HashSet};

use super::{Rule, Violation};
use crate::case::{Room, Sending};

/// Someone asked for something.
struct Attempt {
    began: usize,
    ended: usize,
    is_ok: bool,
    /// Whether it may have stored the message.
    may_have_stored: bool,
    /// Which of the sendings.
    of: usize,
}

pub(super) fn check(room: &Room<'_>) -> Vec<Violation> {
    let mut processes: HashMap<u64, Vec<Attempt>> = HashMap::new();
    for (of, sending) in room.sendings.iter().enumerate() {
        let storing: HashSet<usize> = sending.may_have_stored().map(|attempt| attempt.began).collect();
        let of_whom: HashSet<u64> = sending.may_have_stored().map(|attempt| attempt.who.process).collect();
        for attempt in &sending.attempts {
            let began = attempt.began;
            // What two processes may have stored, neither has an order for.
            let may_have_stored = of_whom.len() == 1 && storing.contains(&began);
            // What never ended may go on for ever.
            let ended = attempt.ended.map_or(usize::MAX, |(ended, ..)| ended);
            let one = Attempt { began, ended, is_ok: attempt.ok().is_some(), may_have_stored, of };
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
        let now = || on_their_way.iter().filter(|other| other.of != attempt.of).map(|one| one.of);
        let is_over = |of: usize| sendings[of].acknowledged().is_some_and(|line| line < attempt.began);
        if attempt.may_have_stored {
            before
                .entry(attempt.of)
                .and_modify(|before| before.retain(|of| is_over(*of) || now().any(|other| other == *of)))
                .or_insert_with(|| now().collect());
        }
        if attempt.is_ok {
            on_their_way.push(attempt);
        }
    }
    before.into_iter().flat_map(|(later, before)| before.into_iter().map(move |of| (of, later))).collect()
}
