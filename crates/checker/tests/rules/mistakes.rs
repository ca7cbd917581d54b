//! One mistake for each rule.

use std::collections::{HashMap, HashSet};

use alivio_checker::{Action, AuditRow, Digest, End, Line, Mark, Phase, Rule};

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
            match chance.below(2) {
                0 => last.client_id = "nobody's".into(),
                _ => last.wordings.as_mut()?.first_mut()?.digest = Digest::of("other"),
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
            let (first, second) = one_after_the_other(lines, true)?;
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
        Rule::Effects => {
            if chance.below(2) == 0 {
                let notes = conversation.notes.as_mut()?;
                let again = chance.pick(notes)?.clone();
                notes.push(again);
            } else {
                conversation.reactions.as_mut()?.first_mut()?.count += 1;
            }
        }
        Rule::Audit => {
            let audit = conversation.audit.as_mut()?;
            match chance.below(3) {
                0 => audit.push(AuditRow {
                    action: "message.removed".into(),
                    object: chance.pick(&conversation.messages)?.id.clone(),
                    actor: "nobody".into(),
                }),
                1 => audit.push(chance.pick(audit)?.clone()),
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
                    let at = audit
                        .iter()
                        .position(|row| removed.contains(&row.object) && !own.contains(&row.object))?;
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
