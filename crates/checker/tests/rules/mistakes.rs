//! One mistake for each rule.

use std::collections::{HashMap, HashSet};

use alivio_checker::{Action, AuditRow, Digest, End, Line, Mark, Note, Phase, Rule};

use crate::model::{Chance, acknowledged};

/// Makes a mistake that breaks `rule`; `None` if there is no place for it.
pub(crate) fn make(rule: Rule, lines: &mut [Line], end: &mut End, chance: &mut Chance) -> Option<()> {
    let conversation = &mut end.conversations[0];
    let deliveries: Vec<usize> =
        (0..lines.len()).filter(|at| matches!(lines[*at].action, Action::Deliver(_))).collect();
    match rule {
        Rule::Lost => {
            let ids = acknowledged(lines);
            let known: Vec<usize> = (0..conversation.messages.len())
                .filter(|at| ids.contains(&*conversation.messages[*at].id))
                .collect();
            conversation.messages.remove(*chance.pick(&known)?);
        }
        Rule::Phantom => {
            let last = conversation.messages.last_mut()?;
            // Of other words in any case: what was put off may have any name, if nobody heard of it.
            last.wordings.as_mut()?.first_mut()?.digest = Digest::of("other");
            if chance.below(2) == 0 {
                last.client_id = "nobody's".into();
            }
        }
        Rule::Duplicate if chance.below(3) == 0 => {
            // Another attempt at the same message was told that it is new, too.
            let news: Vec<usize> =
                (0..lines.len()).filter(|at| told_new(&lines[*at]) == Some(true)).collect();
            let repeats: Vec<usize> =
                (0..lines.len()).filter(|at| told_new(&lines[*at]) == Some(false)).collect();
            let is_told = |at: &&usize| news.iter().any(|new| sent(&lines[*new]) == sent(&lines[**at]));
            let at = *repeats.iter().find(is_told)?;
            if let Action::Send { stored: Some(stored), .. } = &mut lines[at].action {
                stored.is_new = Some(true);
            }
        }
        Rule::Duplicate => {
            let mut again = chance.pick(&conversation.messages)?.clone();
            again.seq = conversation.messages.len() as i64 + 1;
            if chance.below(2) == 0 {
                again.id = "another".into();
            }
            conversation.messages.push(again);
        }
        Rule::Divergence => {
            let at = *chance.pick(&deliveries)?;
            let Action::Deliver(seen) = &mut lines[at].action else { return None };
            match chance.below(2) {
                0 => seen.message = "another".into(),
                _ => seen.digest = Some(Digest::of("other")),
            }
        }
        Rule::Gap => {
            let at = chance.below(conversation.messages.len() as u64) as usize;
            conversation.messages.get_mut(at..)?.iter_mut().for_each(|message| message.seq += 1);
        }
        Rule::Order => {
            let at = *chance.pick(&deliveries)?;
            let who = lines[at].who.process;
            let next = *deliveries.iter().find(|next| **next > at && lines[**next].who.process == who)?;
            let first = lines[at].action.clone();
            let second = std::mem::replace(&mut lines[next].action, first);
            // Turned round, or the first one twice.
            if chance.below(2) == 0 {
                lines[at].action = second;
            }
        }
        Rule::RealTime => {
            let (first, second) = one_after_the_other(lines, false)?;
            swap_places(lines, conversation, &first, &second)?;
        }
        Rule::ProgramOrder => {
            let again = if chance.below(2) == 0 { sent_again_in_order(lines) } else { None };
            let (first, second) = again.or_else(|| one_after_the_other(lines, true))?;
            swap_places(lines, conversation, &first, &second)?;
        }
        Rule::Unseen => {
            let at = *deliveries.iter().rev().find(|at| {
                let user = &lines[**at].who.user;
                let Action::Deliver(seen) = &lines[**at].action else { return false };
                let mut theirs = conversation.memberships.iter().filter(|m| m.user == *user);
                theirs.any(|m| m.until.is_none() && m.from <= seen.seq)
            })?;
            // A line that says nothing takes its place, so that the numbers of the others stay.
            let line = &mut lines[at];
            let Action::Deliver(seen) = line.action.clone() else { return None };
            line.action = Action::Look(seen);
        }
        Rule::Entitlement => {
            let at = *chance.pick(&deliveries)?;
            let (user, Action::Deliver(seen)) = (lines[at].who.user.clone(), &lines[at].action) else {
                return None;
            };
            let seq = seen.seq;
            let of = conversation.memberships.iter_mut();
            let mut of =
                of.filter(|m| m.user == user && m.from <= seq && m.until.is_none_or(|until| seq < until));
            of.next()?.from = seq + 1;
        }
        Rule::Marks => return marks(lines, conversation, chance),
        Rule::Versions => {
            let edited: Vec<usize> = (0..conversation.messages.len())
                .filter(|at| conversation.messages[*at].version > 1)
                .collect();
            let message = &mut conversation.messages[*chance.pick(&edited)?];
            match chance.below(3) {
                0 => drop(message.wordings.as_mut()?.remove(0)),
                1 => message.wordings.as_mut()?.last_mut()?.digest = Digest::of("other"),
                _ => message.version += 1,
            }
        }
        Rule::Effects => match chance.below(6) {
            // Of a message or of a member.
            0 | 1 => {
                let notes = conversation.notes.as_mut()?;
                let of_member = chance.below(2) == 0;
                let is_such = |note: &&Note| note.kind.starts_with("participant.") == of_member;
                let again = notes.iter().find(is_such)?.clone();
                notes.push(again);
            }
            2 => conversation.reactions.as_mut()?.first_mut()?.count += 1,
            3 => conversation.unhandled = Some(1),
            4 => {
                let index = conversation.index.as_mut()?;
                let at = chance.below(index.len() as u64) as usize;
                match chance.below(3) {
                    0 => drop(index.remove(at)),
                    1 => index[at].version += 1,
                    _ => index.push(index[at].clone()),
                }
            }
            _ => {
                let put_off = lines.iter().find_map(|line| match &line.action {
                    Action::PutOff { sent_as: Some(name), .. } => Some(name.clone()),
                    _ => None,
                })?;
                conversation.messages.retain(|message| message.client_id != put_off);
            }
        },
        Rule::Audit => {
            let audit = conversation.audit.as_mut()?;
            let actions = ["message.removed", "message.corrected", "message.reported"];
            match chance.below(5) {
                0 => audit.push(AuditRow {
                    action: (*chance.pick(&actions)?).into(),
                    object: chance.pick(&conversation.messages)?.id.clone(),
                    actor: "nobody".into(),
                }),
                1 => audit.push(chance.pick(audit)?.clone()),
                2 => {
                    let at = audit.iter().position(|row| row.action == "message.corrected")?;
                    audit.remove(at);
                }
                3 => {
                    let certain: HashSet<(&str, &str)> = lines
                        .iter()
                        .filter(|line| line.phase == Phase::Ok)
                        .filter_map(|line| match &line.action {
                            Action::Report { message } => Some((&**message, &*line.who.user)),
                            _ => None,
                        })
                        .collect();
                    let is_certain = |row: &AuditRow| {
                        row.action == "message.reported" && certain.contains(&(&*row.object, &*row.actor))
                    };
                    let at = audit.iter().position(is_certain)?;
                    audit.remove(at);
                }
                _ => {
                    let deletions = |by: bool| {
                        let of = lines.iter().filter(move |line| {
                            let is_over = if by { line.phase == Phase::Ok } else { line.phase != Phase::Fail };
                            is_over && matches!(&line.action, Action::Delete { by_moderator, .. } if *by_moderator == by)
                        });
                        let ids = of.filter_map(|line| match &line.action {
                            Action::Delete { message, .. } => Some(message.clone()),
                            _ => None,
                        });
                        ids.collect::<HashSet<_>>()
                    };
                    let (removed, own) = (deletions(true), deletions(false));
                    let is_certain = |row: &AuditRow| {
                        row.action == "message.removed"
                            && removed.contains(&row.object)
                            && !own.contains(&row.object)
                    };
                    let at = audit.iter().position(is_certain)?;
                    audit.remove(at);
                }
            }
        }
    }
    Some(())
}

fn marks(
    lines: &mut [Line],
    conversation: &mut alivio_checker::ConversationEnd,
    chance: &mut Chance,
) -> Option<()> {
    if chance.below(2) == 0 {
        let unread = conversation.marks.first_mut()?.unread.as_mut()?;
        *unread += 1;
        return Some(());
    }
    let moves: Vec<usize> = (0..lines.len())
        .filter(|at| matches!(lines[*at].action, Action::Advance { now: Some(_), .. }))
        .collect();
    let at = *chance.pick(&moves)?;
    let Action::Advance { mark, up_to, now: Some(now) } = &mut lines[at].action else { return None };
    match mark {
        Mark::Read => now.read = *up_to - 1,
        Mark::Delivered => now.delivered = *up_to - 1,
    }
    Some(())
}

/// Who sent a message, and their name for it.
type Name = (String, String);

/// A message that was asked for once and acknowledged.
struct Sent {
    name: Name,
    process: u64,
    began: usize,
    ended: usize,
}

/// The names of two messages of which the second was sent after the first: by the same process while the first was on
/// its way, or after the first was acknowledged.
fn one_after_the_other(lines: &[Line], by_one: bool) -> Option<(Name, Name)> {
    let mut attempts: HashMap<Name, usize> = HashMap::new();
    let mut all = Vec::new();
    for (ended, line) in lines.iter().enumerate() {
        let Action::Send { client_id, stored, .. } = &line.action else { continue };
        let name = (line.who.user.clone(), client_id.clone());
        match (line.phase, line.of) {
            (Phase::Invoke, _) => *attempts.entry(name).or_default() += 1,
            (Phase::Ok, Some(began)) if stored.is_some() => {
                all.push(Sent { name, process: line.who.process, began, ended });
            }
            _ => {}
        }
    }
    all.retain(|sent| attempts[&sent.name] == 1);
    for first in &all {
        let is_after = |second: &&Sent| {
            if by_one {
                let is_between = first.began < second.began && second.began < first.ended;
                second.process == first.process && is_between
            } else {
                first.ended < second.began
            }
        };
        if let Some(second) = all.iter().find(is_after) {
            return Some((first.name.clone(), second.name.clone()));
        }
    }
    None
}

/// Whether an answer says that a message is new.
fn told_new(line: &Line) -> Option<bool> {
    match &line.action {
        Action::Send { stored: Some(stored), .. } if line.phase == Phase::Ok => stored.is_new,
        _ => None,
    }
}

/// What a line sends.
fn sent(line: &Line) -> Option<Name> {
    match &line.action {
        Action::Send { client_id, .. } => Some((line.who.user.clone(), client_id.clone())),
        _ => None,
    }
}

/// The names of two messages that were both sent in vain at first, and then again: the second by the same process while the
/// first was on its way.
fn sent_again_in_order(lines: &[Line]) -> Option<(Name, Name)> {
    // Where something was sent, and where that attempt was acknowledged as having stored it.
    let attempts = |name: &Name| {
        let is_it = |line: &&Line| line.phase == Phase::Invoke && sent(line).as_ref() == Some(name);
        lines.iter().filter(is_it).count()
    };
    let mut stored = Vec::new();
    for (ended, line) in lines.iter().enumerate() {
        if let (Some(true), Some(began), Some(name)) = (told_new(line), line.of, sent(line))
            && attempts(&name) > 1
        {
            stored.push((name, line.who.process, began, ended));
        }
    }
    for (first, process, began, ended) in &stored {
        let is_behind =
            |(_, other, at, _): &&(Name, u64, usize, usize)| other == process && began < at && at < ended;
        if let Some((second, ..)) = stored.iter().find(is_behind) {
            return Some((first.clone(), second.clone()));
        }
    }
    None
}

/// Changes the places of two messages in the log, and in their acknowledgements.
fn swap_places(
    lines: &mut [Line],
    conversation: &mut alivio_checker::ConversationEnd,
    first: &Name,
    second: &Name,
) -> Option<()> {
    let at =
        |name: &Name| conversation.messages.iter().position(|m| m.sender == name.0 && m.client_id == name.1);
    let (one, other) = (at(first)?, at(second)?);
    let (one_seq, other_seq) = (conversation.messages[one].seq, conversation.messages[other].seq);
    conversation.messages[one].seq = other_seq;
    conversation.messages[other].seq = one_seq;
    conversation.messages.swap(one, other);
    for line in lines {
        if let Action::Send { stored: Some(stored), .. } = &mut line.action {
            if stored.seq == one_seq {
                stored.seq = other_seq;
            } else if stored.seq == other_seq {
                stored.seq = one_seq;
            }
        }
    }
    Some(())
}
