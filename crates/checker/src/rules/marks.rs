//! Rule 11: marks reach what was asked for and never go back, and what is unread is what others have said behind them.

use std::collections::HashMap;

use super::{Rule, Violation, known_before};
use crate::case::{Operation, Room};
use crate::{Action, Mark, MarksEnd, MarksNow};

const MARKS: [Mark; 2] = [Mark::Delivered, Mark::Read];

const fn of(now: &MarksNow, mark: Mark) -> i64 {
    match mark {
        Mark::Delivered => now.delivered,
        Mark::Read => now.read,
    }
}

/// A mark that was moved.
struct Move<'a> {
    operation: &'a Operation<'a>,
    /// The line of the answer.
    line: usize,
    mark: Mark,
    up_to: i64,
    now: MarksNow,
}

pub(super) fn check(room: &Room<'_>) -> Vec<Violation> {
    let mut moves: HashMap<&str, Vec<Move<'_>>> = HashMap::new();
    for operation in &room.operations {
        if let Some((line, Action::Advance { mark, up_to, now: Some(now) })) = operation.ok() {
            let (mark, up_to, now) = (*mark, *up_to, *now);
            moves.entry(&operation.who.user).or_default().push(Move { operation, line, mark, up_to, now });
        }
    }
    let mut found = Vec::new();
    let mut furthest: HashMap<&str, MarksNow> = HashMap::new();
    for (user, moves) in &moves {
        for Move { operation, line, mark, up_to, now } in moves {
            let reached = furthest.entry(user).or_insert(*now);
            reached.delivered = reached.delivered.max(now.delivered);
            reached.read = reached.read.max(now.read);
            if of(now, *mark) < *up_to {
                let what = format!("{mark:?} up to {}, asked for {up_to}", of(now, *mark));
                let lines = [operation.began, *line];
                let violation = room.violation(Rule::Marks, what).at(*up_to);
                found.push(violation.of(operation.who.process).shown_by(lines));
            }
        }
        for mark in MARKS {
            let spans: Vec<_> =
                moves.iter().map(|one| (one.operation.began, Some(one.line), of(&one.now, mark))).collect();
            for (Move { operation, line, now, .. }, known) in moves.iter().zip(known_before(&spans)) {
                let now = of(now, mark);
                if let Some((before, earlier)) = known.filter(|(before, _)| *before > now) {
                    let what = format!("{mark:?} went back from {before} to {now}");
                    let violation = room.violation(Rule::Marks, what).at(now).of(operation.who.process);
                    found.push(violation.shown_by([earlier, *line]));
                }
            }
        }
    }
    found.extend(room.end.marks.iter().flat_map(|end| at_the_end(room, end, furthest.get(&*end.user))));
    found
}

fn at_the_end(room: &Room<'_>, end: &MarksEnd, reached: Option<&MarksNow>) -> Vec<Violation> {
    let MarksEnd { user, delivered, read, unread } = end;
    let mut found = Vec::new();
    if let Some(reached) = reached.filter(|reached| reached.delivered > *delivered || reached.read > *read) {
        let what = format!("{user} had come to {reached:?}, and is at {delivered} and {read}");
        found.push(room.violation(Rule::Marks, what).at(*read));
    }
    if read > delivered {
        found.push(room.violation(Rule::Marks, format!("{user} has read what has not arrived")).at(*read));
    }
    let since = room.present_since(user).unwrap_or(0);
    let behind =
        |message: &&crate::Message| message.seq > *read && message.seq >= since && message.sender != *user;
    let counted = i64::try_from(room.end.messages.iter().filter(behind).count()).unwrap_or(i64::MAX);
    if let Some(unread) = unread.filter(|unread| *unread != counted) {
        let what = format!("{user} is told of {unread} unread, and has {counted}");
        found.push(room.violation(Rule::Marks, what).at(*read));
    }
    found
}
