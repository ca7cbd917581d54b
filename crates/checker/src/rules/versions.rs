//! Rule 12: the wordings of a message are 1, 2, 3 … up to the present one; each after the first is one that someone
//! wrote, and each acknowledged edit is the wording that it was acknowledged as. What was taken back stays so, and
//! nothing else is.

use std::collections::HashMap;

use super::{Rule, Violation};
use crate::case::{Operation, Room};
use crate::{Action, Message};

#[derive(Default)]
struct Doings<'a> {
    edits: Vec<&'a Operation<'a>>,
    deletions: Vec<&'a Operation<'a>>,
}

pub(super) fn check(room: &Room<'_>) -> Vec<Violation> {
    let mut doings: HashMap<&str, Doings<'_>> = HashMap::new();
    for operation in &room.operations {
        match operation.asked {
            Action::Edit { message, .. } => doings.entry(message).or_default().edits.push(operation),
            Action::Delete { message, .. } => doings.entry(message).or_default().deletions.push(operation),
            _ => {}
        }
    }
    let none = Doings::default();
    let each = room.end.messages.iter();
    each.flat_map(|message| of_message(room, message, doings.get(&*message.id).unwrap_or(&none))).collect()
}

fn of_message(room: &Room<'_>, message: &Message, doings: &Doings<'_>) -> Vec<Violation> {
    let mut found = Vec::new();
    let mut tell = |what: String, lines: Vec<usize>| {
        found.push(room.violation(Rule::Versions, what).at(message.seq).shown_by(lines));
    };
    let lines = |of: &[&Operation<'_>]| of.iter().flat_map(|one| one.lines()).collect::<Vec<_>>();

    let mut claimed: HashMap<u32, usize> = HashMap::new();
    for edit in &doings.edits {
        let Some((line, Action::Edit { digest, version: Some(version), .. })) = edit.ok() else { continue };
        if let Some(other) = claimed.insert(*version, line) {
            tell(format!("two edits were acknowledged as version {version}"), vec![other, line]);
        }
        if *version > message.version {
            tell(format!("version {version} was acknowledged, there are {}", message.version), vec![line]);
        }
        let kept = message.wordings.iter().flatten().find(|wording| wording.version == *version);
        if kept.is_some_and(|kept| kept.digest != *digest) {
            tell(format!("version {version} has other words than were acknowledged"), vec![line]);
        }
    }
    if let Some(wordings) = &message.wordings {
        let numbers: Vec<_> = wordings.iter().map(|wording| wording.version).collect();
        if numbers != (1..=message.version).collect::<Vec<_>>() {
            tell(format!("it has versions {numbers:?}, up to {}", message.version), lines(&doings.edits));
        }
        for wording in wordings.iter().filter(|wording| wording.version > 1) {
            let wrote = |edit: &&Operation<'_>| {
                let words = matches!(edit.asked, Action::Edit { digest, .. } if *digest == wording.digest);
                words && edit.may_have_happened()
            };
            if !doings.edits.iter().any(wrote) {
                tell(format!("nobody wrote version {}", wording.version), lines(&doings.edits));
            }
        }
    }
    let was_deleted = doings.deletions.iter().any(|deletion| deletion.ok().is_some());
    let may_be_deleted = doings.deletions.iter().any(|deletion| deletion.may_have_happened());
    if was_deleted && !message.is_deleted {
        tell("it was taken back and is there".into(), lines(&doings.deletions));
    }
    if message.is_deleted && !may_be_deleted {
        tell("nobody took it back".into(), lines(&doings.deletions));
    }
    found
}
