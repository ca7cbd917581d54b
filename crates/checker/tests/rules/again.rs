//! What is sent again, or put off.

use alivio_checker::{
    Action, ConversationEnd, Digest, End, Membership, Message, Recorder, Rule, Stored, Ticket, Who, Wording,
    check,
};

const ROOM: &str = "room";

/// One device of one person, and what is stored.
struct Device {
    recorder: Recorder,
    who: Who,
    messages: Vec<Message>,
}

impl Device {
    fn new() -> Self {
        let who = Who { process: 1, user: "ana".into() };
        Self { recorder: Recorder::default(), who, messages: Vec::new() }
    }

    fn sends(&self, name: &str) -> Ticket {
        let action = Action::Send { client_id: name.into(), digest: Digest::of(name), stored: None };
        self.recorder.invoke(&self.who, ROOM, action)
    }

    /// It is the next message of the log.
    fn stored(&mut self, name: &str) -> i64 {
        let seq = self.messages.len() as i64 + 1;
        self.messages.push(Message {
            seq,
            id: format!("id of {name}"),
            sender: self.who.user.clone(),
            client_id: name.into(),
            version: 1,
            is_deleted: false,
            corrects: None,
            wordings: Some(vec![Wording { version: 1, digest: Digest::of(name) }]),
        });
        seq
    }

    fn acknowledged(&self, ticket: Ticket, name: &str, seq: i64, is_new: bool) {
        let stored = Some(Stored { message: format!("id of {name}"), seq, is_new: Some(is_new) });
        let action = Action::Send { client_id: name.into(), digest: Digest::of(name), stored };
        self.recorder.ok(ticket, action);
    }

    /// The rules that are broken.
    fn broken(self) -> Vec<Rule> {
        let membership = Membership { user: self.who.user.clone(), from: 1, until: None, is_founder: true };
        let conversation = ConversationEnd {
            id: ROOM.into(),
            messages: self.messages,
            memberships: vec![membership],
            ..ConversationEnd::default()
        };
        let end = End { conversations: vec![conversation] };
        check(&self.recorder.lines(), &end).into_iter().map(|violation| violation.rule).collect()
    }
}

/// Two messages are on their way when the connection breaks; both are sent again in their order.
fn sent_again(stored_first: &str, is_second_new: bool) -> Vec<Rule> {
    let mut device = Device::new();
    for ticket in [device.sends("one"), device.sends("two")] {
        device.recorder.info(ticket);
    }
    let (one, two) = (device.sends("one"), device.sends("two"));
    let other = if stored_first == "one" { "two" } else { "one" };
    let (first, second) = (device.stored(stored_first), device.stored(other));
    let place = |name: &str| if name == stored_first { first } else { second };
    device.acknowledged(one, "one", place("one"), true);
    device.acknowledged(two, "two", place("two"), is_second_new);
    device.broken()
}

#[test]
fn what_was_stored_when_it_was_sent_again_is_in_order() {
    assert_eq!(sent_again("one", true), []);
    assert_eq!(sent_again("two", true), [Rule::ProgramOrder]);
    // The second was stored at once, the first was not: it has lost its turn.
    assert_eq!(sent_again("two", false), []);
}

#[test]
fn a_message_is_new_once() {
    let mut device = Device::new();
    let (first, second) = (device.sends("one"), device.sends("one"));
    let seq = device.stored("one");
    device.acknowledged(first, "one", seq, true);
    device.acknowledged(second, "one", seq, true);
    assert_eq!(device.broken(), [Rule::Duplicate]);
}

/// A message is put off, and someone hears of that or not.
fn put_off(is_answered: bool, sent_as: &str, words: &str) -> Vec<Rule> {
    let mut device = Device::new();
    let put_off =
        |sent_as| Action::PutOff { client_id: "later".into(), digest: Digest::of("words"), sent_as };
    let ticket = device.recorder.invoke(&device.who, ROOM, put_off(None));
    if is_answered {
        device.recorder.ok(ticket, put_off(Some("later-1".into())));
    } else {
        device.recorder.info(ticket);
    }
    if !sent_as.is_empty() {
        device.stored(sent_as);
        device.messages[0].wordings = Some(vec![Wording { version: 1, digest: Digest::of(words) }]);
    }
    device.broken()
}

#[test]
fn what_was_put_off_is_sent_once_with_its_words() {
    assert_eq!(put_off(true, "later-1", "words"), []);
    assert_eq!(put_off(true, "", ""), [Rule::Effects]);
    assert_eq!(put_off(true, "later-1", "others"), [Rule::Phantom]);
    assert_eq!(put_off(true, "later-2", "words"), [Rule::Phantom, Rule::Effects]);
    // Nobody knows its name, nor whether it was.
    assert_eq!(put_off(false, "later-2", "words"), []);
    assert_eq!(put_off(false, "", ""), []);
    assert_eq!(put_off(false, "later-2", "others"), [Rule::Phantom]);
}
