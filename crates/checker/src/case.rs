//! A history sorted by conversation, as the rules need it.

use std::collections::HashMap;

use crate::{Action, ConversationEnd, End, Line, Membership, Message, Phase, Rule, Seen, Violation, Who};

/// Something that was asked for.
#[derive(Clone, Copy)]
pub(crate) struct Operation<'a> {
    /// The line that asks.
    pub(crate) began: usize,
    pub(crate) who: &'a Who,
    pub(crate) asked: &'a Action,
    /// The line that ends it, and what that says.
    pub(crate) ended: Option<(usize, Phase, &'a Action)>,
}

impl<'a> Operation<'a> {
    /// Where and how it was answered, if it happened.
    pub(crate) fn ok(&self) -> Option<(usize, &'a Action)> {
        self.ended.and_then(|(line, phase, action)| (phase == Phase::Ok).then_some((line, action)))
    }

    /// Whether it may have happened.
    pub(crate) fn may_have_happened(&self) -> bool {
        self.ended.is_none_or(|(_, phase, _)| phase != Phase::Fail)
    }

    /// Whether its answer says that it stored a message anew.
    pub(crate) fn is_new(&self) -> Option<bool> {
        match self.ok() {
            Some((_, Action::Send { stored: Some(stored), .. })) => stored.is_new,
            _ => None,
        }
    }

    pub(crate) fn lines(&self) -> Vec<usize> {
        std::iter::once(self.began).chain(self.ended.map(|(line, ..)| line)).collect()
    }
}

/// Something that happened to a process.
#[derive(Clone, Copy)]
pub(crate) enum Event<'a> {
    Listen(i64),
    Deliver(&'a Seen),
    Look(&'a Seen),
}

/// A message that someone sent, however often they asked.
#[derive(Clone)]
pub(crate) struct Sending<'a> {
    pub(crate) who: &'a Who,
    pub(crate) client_id: &'a str,
    /// All attempts, the first one first.
    pub(crate) attempts: Vec<Operation<'a>>,
    /// What is in the log under this name.
    pub(crate) message: Option<&'a Message>,
}

impl Sending<'_> {
    pub(crate) fn began(&self) -> usize {
        self.attempts.first().map_or(0, |attempt| attempt.began)
    }

    /// The line of its first acknowledgement. What was put off is never acknowledged as sent.
    pub(crate) fn acknowledged(&self) -> Option<usize> {
        let acks = self.attempts.iter().filter_map(|attempt| attempt.ok());
        acks.filter(|(_, answer)| matches!(answer, Action::Send { .. })).map(|(line, _)| line).min()
    }

    /// Whether it was put off, so that its place in the log says nothing of when it was asked for.
    pub(crate) fn is_put_off(&self) -> bool {
        self.attempts.iter().any(|attempt| matches!(attempt.asked, Action::PutOff { .. }))
    }

    /// The attempts that may have stored it, by what the answers say of that.
    pub(crate) fn may_have_stored(&self) -> impl Iterator<Item = &Operation<'_>> {
        let is_known = self.attempts.iter().any(|attempt| attempt.is_new() == Some(true));
        self.attempts.iter().filter(move |attempt| match attempt.is_new() {
            Some(is_new) => is_new,
            None => !is_known && attempt.may_have_happened(),
        })
    }
}

/// All about one conversation.
pub(crate) struct Room<'a> {
    pub(crate) id: &'a str,
    pub(crate) end: &'a ConversationEnd,
    /// In the order of their first attempts.
    pub(crate) sendings: Vec<Sending<'a>>,
    /// All other operations, in the order in which they were asked for.
    pub(crate) operations: Vec<Operation<'a>>,
    /// What happened to whom on which line.
    pub(crate) events: Vec<(usize, &'a Who, Event<'a>)>,
    memberships: HashMap<&'a str, Vec<&'a Membership>>,
}

impl<'a> Room<'a> {
    /// Where `user` had come in who was there at `seq`; `None` if they were not.
    pub(crate) fn membership_at(&self, user: &str, seq: i64) -> Option<i64> {
        let memberships = self.memberships.get(user)?;
        let has = |m: &&&Membership| m.from <= seq && m.until.is_none_or(|until| seq < until);
        memberships.iter().find(has).map(|m| m.from)
    }

    /// Whether the message at `seq` is for `user`.
    pub(crate) fn is_for(&self, user: &str, seq: i64) -> bool {
        self.membership_at(user, seq).is_some()
    }

    /// Where `user` came in, if they are in it still.
    pub(crate) fn present_since(&self, user: &str) -> Option<i64> {
        self.memberships.get(user)?.iter().find(|m| m.until.is_none()).map(|m| m.from)
    }

    /// A breach of `rule` here.
    pub(crate) fn violation(&self, rule: Rule, what: impl Into<String>) -> Violation {
        let conversation = self.id.to_owned();
        Violation { rule, conversation, seq: None, process: None, lines: Vec::new(), what: what.into() }
    }
}

/// Sorts a history by conversation. `nothing` stands for the end of conversations that have none.
pub(crate) fn rooms<'a>(lines: &'a [Line], end: &'a End, nothing: &'a ConversationEnd) -> Vec<Room<'a>> {
    let mut rooms: Vec<Room<'a>> = Vec::new();
    let mut places: HashMap<&str, usize> = HashMap::new();
    for conversation in &end.conversations {
        places.insert(&conversation.id, rooms.len());
        rooms.push(Room::empty(&conversation.id, conversation));
    }
    // Where the sending of (room, sender, name) is, and the operation that begins on a line.
    let mut sendings: HashMap<(usize, &str, &str), usize> = HashMap::new();
    let mut ends: HashMap<usize, (usize, Phase, &Action)> = HashMap::new();
    for (number, line) in lines.iter().enumerate() {
        if let Some(began) = line.of {
            ends.entry(began).or_insert((number, line.phase, &line.action));
        }
    }
    for (number, line) in lines.iter().enumerate().filter(|(_, line)| line.of.is_none()) {
        let place = *places.entry(&line.conversation).or_insert_with(|| {
            rooms.push(Room::empty(&line.conversation, nothing));
            rooms.len() - 1
        });
        let room = &mut rooms[place];
        let operation = Operation {
            began: number,
            who: &line.who,
            asked: &line.action,
            ended: ends.get(&number).copied(),
        };
        match &line.action {
            Action::Listen { from } => room.events.push((number, &line.who, Event::Listen(*from))),
            Action::Deliver(seen) => room.events.push((number, &line.who, Event::Deliver(seen))),
            Action::Look(seen) => room.events.push((number, &line.who, Event::Look(seen))),
            _ => match name_in_log(&operation) {
                Some(client_id) => {
                    let at = sendings.entry((place, &line.who.user, client_id)).or_insert_with(|| {
                        room.sendings.push(Sending {
                            who: &line.who,
                            client_id,
                            attempts: Vec::new(),
                            message: None,
                        });
                        room.sendings.len() - 1
                    });
                    room.sendings[*at].attempts.push(operation);
                }
                None => room.operations.push(operation),
            },
        }
    }
    for (place, room) in rooms.iter_mut().enumerate() {
        for message in &room.end.messages {
            if let Some(&at) = sendings.get(&(place, &*message.sender, &*message.client_id)) {
                room.sendings[at].message.get_or_insert(message);
            }
        }
    }
    rooms
}

/// Under which name of its sender what an operation sends will be in the log, if it sends something and that is known.
fn name_in_log<'a>(operation: &Operation<'a>) -> Option<&'a str> {
    match (operation.asked, operation.ok()) {
        (Action::Send { client_id, .. }, _) => Some(client_id),
        (_, Some((_, Action::PutOff { sent_as, .. }))) => sent_as.as_deref(),
        _ => None,
    }
}

impl<'a> Room<'a> {
    fn empty(id: &'a str, end: &'a ConversationEnd) -> Self {
        let mut memberships: HashMap<&str, Vec<&Membership>> = HashMap::new();
        for membership in &end.memberships {
            memberships.entry(&membership.user).or_default().push(membership);
        }
        Self { id, end, sendings: Vec::new(), operations: Vec::new(), events: Vec::new(), memberships }
    }
}
